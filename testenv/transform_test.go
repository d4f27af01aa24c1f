package testenv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const transformKey = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// TestTransform asserts that a target gets what its transform makes of an event, signed as it is
// sent, while another one gets the bytes as they came; and that a sample shows both.
func TestTransform(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("plain")
	j.Ledger.Transforms("crm")
	j.Config.Target("crm", j.RX.URL("crm"), "secret", transformKey,
		"transform", "{ id: $id, type: $type,\n  n: ((.n // 1) * 2), big: .big } # what it takes")
	j.Start()
	const body = `{"n": 2, "big": 12345678901234567890123}`
	id := j.Send(Post{Type: "message", ContentType: "text/plain", Body: []byte(body)}).ID
	got := j.RX.AwaitID("crm", id)
	want := `{"big":12345678901234567890123,"id":"` + id + `","n":4,"type":"message"}`
	if string(got.Body) != want || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("crm got %s %q, want %s", got.Body, got.Header.Get("Content-Type"), want)
	}
	file := writeTemp(t, string(got.Body))
	if out := CLI(t, nil, "verify", "--secret", transformKey, "--id", id, "--timestamp",
		got.Header.Get("webhook-timestamp"), "--signature", got.Header.Get("webhook-signature"),
		file); out.Code != 0 {
		t.Errorf("the signature is not that of what was sent: %+v", out)
	}
	if plain := j.RX.AwaitID("plain", id); string(plain.Body) != body {
		t.Errorf("plain got %s", plain.Body)
	}
	sample := j.CLI("sample", "crm", "message")
	for _, words := range []string{"\n  before\n", "\n  sent\n", `"n":2,"type":"message"}`} {
		if !strings.Contains(sample.Stdout, words) || sample.Code != 0 {
			t.Errorf("the sample lacks %q: %d %s", words, sample.Code, sample.Stdout)
		}
	}
}

// TestTransformHolds asserts that a program that fails holds the delivery without a request, an
// attempt or a failed job, across ticks and a kill; and that the program of the day makes what is
// sent then, to a replay as well.
func TestTransformHolds(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.Transforms("crm")
	program := func(text string) {
		j.Config.Target("crm", j.RX.URL("crm"), "transform", text)
	}
	program(`{twice: (.n * 2)}`)
	j.Config.Set("retry.interval", "50ms").Set("defect.after_failed_jobs", 2)
	j.Start()
	var ids []string
	for _, text := range []string{`{"n":4}`, `{"n":{}}`, `n=2`} {
		ids = append(ids, j.Send(Post{Body: []byte(text)}).ID)
	}
	if first := j.RX.AwaitID("crm", ids[0]); string(first.Body) != `{"twice":8}` {
		t.Errorf("crm got %s", first.Body)
	}
	j.AwaitTicks(6)
	j.Kill()
	j.Start()
	j.AwaitTicks(6)
	if target := j.Target("crm"); target.Pending != 2 || target.FailedJobs != 0 ||
		target.Status != "Enabled" || j.RX.Count("crm") != 1 {
		t.Errorf("%+v, %d requests", target, j.RX.Count("crm"))
	}
	if last := j.Target("crm").LastError; last == nil || !strings.Contains(*last, "transform") {
		t.Error("the target does not say what is wrong")
	}
	n := j.Metrics().Get("attempts_total", "target", "crm", "outcome", "transform")
	if n < 10 {
		t.Errorf("%d attempts with outcome transform, want one of each delivery a tick", n)
	}
	if out := j.CLI("attempts", ids[1]); !strings.Contains(out.Stdout, "transform") {
		t.Errorf("attempts shows %s%s", out.Stdout, out.Stderr)
	}
	if strings.Contains(j.Log(), "n=2") {
		t.Error("the log quotes a payload")
	}
	program(`{type: $type, all: .}`) // it begins with what is JSON
	j.Reload()
	if late := j.RX.AwaitID("crm", ids[1]); late.Attempt != 0 ||
		string(late.Body) != `{"all":{"n":{}},"type":""}` {
		t.Errorf("attempt %d got %s", late.Attempt, late.Body)
	}
	if out := j.CLI("replay", "--id", ids[0], "--target", "crm", "--state", "delivered",
		"--yes"); out.Code != 0 {
		t.Fatalf("replay: %+v", out)
	}
	Until(t, Patience, "the replay", func() bool { return j.RX.CountID("crm", ids[0]) == 2 })
	for _, r := range j.RX.Requests("crm") {
		if r.Replay && string(r.Body) != `{"all":{"n":4},"type":""}` {
			t.Errorf("the replay got %s", r.Body)
		}
	}
	program("")
	j.Reload()
	if last := j.RX.AwaitID("crm", ids[2]); string(last.Body) != "n=2" || last.Attempt != 0 {
		t.Errorf("attempt %d got %q", last.Attempt, last.Body)
	}
	j.AwaitPending("crm", 0)
}

// writeTemp writes a file of the test's own.
func writeTemp(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProgramsExplained asserts that explain shows what where says and what would be sent, by a
// relay, and by the config alone.
func TestProgramsExplained(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "where", `.n > 1`, "transform", `{twice: (.n * 2)}`)
	j.Start()
	f := func(body, refused, note, sent string) {
		t.Helper()
		out := j.CLI("explain", "--file", writeTemp(t, body), "--type", "x", "--json")
		var e struct {
			Targets []struct {
				RefusedBy string `json:"refused_by"`
				Note      string
				Request   string
			}
		}
		if err := json.Unmarshal([]byte(out.Stdout), &e); err != nil || len(e.Targets) != 1 {
			t.Fatalf("explain: %+v, %v", out, err)
		}
		got := e.Targets[0]
		_, payload, _ := strings.Cut(got.Request, "\r\n\r\n")
		if got.RefusedBy != refused || !strings.Contains(got.Note, note) || payload != sent {
			t.Errorf("%s: %+v; want %q, %q and %s", body, got, refused, note, sent)
		}
	}
	for range 2 { // the second time the relay is gone
		f(`{"n":2}`, "", "", `{"twice":4}`)
		f(`{"n":1}`, "where", "does not hold", "")
		f(`n=2`, "where", "not JSON", "")
		f(`{"n":[]}`, "", "its transform fails", "")
		f(`[]`, "", "its where failed", "")
		if j.Running() {
			j.Terminate()
		}
	}
}
