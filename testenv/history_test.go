package testenv

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestHistory asserts that what happened to each target and to the relay is told exactly, in every
// span; that a restart loses nothing of it, and a kill nothing that was kept before; and that the
// history of a target that is forgotten goes with it.
func TestHistory(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "erp")
	j.Config.Target("gone", j.RX.URL("gone"), "events", []string{"other"})
	j.Config.Target("plain", j.RX.URL("plain"), "events", []string{"message"}, "transform", `error("no")`)
	j.Config.Target("none", "http://127.0.0.1:1/", "events", []string{"other"})
	j.RX.Always("erp", Code(503))
	j.Start()
	begin := time.Now().Add(-time.Minute)
	j.SendIDs("a", 20)
	j.Send(Post{Type: "other", Body: []byte(`{}`)})
	if a := j.Relay.Post(Post{Type: "message", ID: "a b", Body: []byte(`{}`)}); a.Status != 400 {
		t.Fatalf("an id with a space was answered %d", a.Status)
	}
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"message"})
	j.Config.Target("erp", j.RX.URL("erp"), "events", []string{"message"})
	j.Reload()
	j.Send(Post{Type: "nobody", Body: []byte(`{}`)})
	check := func() {
		t.Helper()
		j.WantHistory("crm", "21 accepted, 21 delivered")
		j.WantHistory("erp", "21 accepted, 0 delivered, 21 status")
		j.WantHistory("gone", "1 accepted, 1 delivered")
		j.WantHistory("none", "1 accepted, 0 delivered, 1 connect")
		j.WantHistory("plain", "20 accepted, 0 delivered, 20 transform")
		j.WantHistory("", "22 accepted, 22 delivered, 21 status, 1 connect, 20 transform, 1 refused, "+
			"1 unmatched")
	}
	check()
	h := j.history("crm", "24h")
	if len(h.Accepted) != 24*60 || len(h.P99) != 24*60 || h.StepSeconds != 60 {
		t.Errorf("a day has %d minutes of %d s", len(h.Accepted), h.StepSeconds)
	}
	for i, n := range h.Delivered {
		at := h.From.Add(time.Duration(i) * time.Minute)
		if n > 0 && (at.Before(begin) || h.P50[i] == nil || *h.P50[i] <= 0 || *h.P99[i] < *h.P50[i]) {
			t.Errorf("at %s %d deliveries took %v and %v ms", at, n, h.P50[i], h.P99[i])
		}
		if n == 0 && h.P50[i] != nil {
			t.Errorf("at %s nothing took %v ms", at, *h.P50[i])
		}
	}
	j.Restart()
	check()
	j.Kill()
	j.Start()
	check()
	j.checkHistoryWords()
	j.Config.Remove("target.gone")
	j.Config.Target("crm", j.RX.URL("crm"))
	j.Reload()
	if code, text := j.Admin("POST", "/v1/targets/gone/purge?forget=true"); code != 200 {
		t.Fatalf("forgetting answered %d %s", code, text)
	}
	j.Config.Target("gone", j.RX.URL("gone"))
	j.Reload()
	j.WantHistory("gone", "0 accepted, 0 delivered")
	if out := j.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("spool verify says %s%s", out.Stdout, out.Stderr)
	}
}

// checkHistoryWords asserts what the command line says of it.
func (j *Journey) checkHistoryWords() {
	t := j.t
	t.Helper()
	out := j.CLI("history", "erp", "--span", "1h")
	for _, want := range []string{"erp, the last 1h; a sign is 2m, a row 5m", "accepted", "█  21\n",
		"status 21", "FAILED WITH", "p99"} {
		if out.Code != 0 || !strings.Contains(out.Stdout, want) {
			t.Errorf("hookspool history says\n%s%s\nwithout %q", out.Stdout, out.Stderr, want)
		}
	}
	for _, span := range []string{"1h", "24h", "30d"} {
		for line := range strings.Lines(j.CLI("history", "erp", "--span", span).Stdout) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("a line has %d columns: %s", n, line)
			}
		}
	}
	if out := j.CLI("history", "--json"); !json.Valid([]byte(out.Stdout)) ||
		!strings.Contains(out.Stdout, `"unmatched"`) {
		t.Errorf("hookspool history --json says %s%s", out.Stdout, out.Stderr)
	}
	if out := j.CLI("history", "crm", "--span", "2h"); out.Code != 2 {
		t.Errorf("--span 2h: %d %s", out.Code, out.Stderr)
	}
	if out := j.CLI("history", "nobody"); out.Code != 1 {
		t.Errorf("history of no target: %d %s", out.Code, out.Stderr)
	}
	if code, _ := j.Admin("GET", "/v1/history?span=2h"); code != 400 {
		t.Errorf("span=2h is answered %d", code)
	}
}

// TestHistoryAcrossMinutes asserts that a minute that has ended survives a kill, and that the next
// one is told beside it.
func TestHistoryAcrossMinutes(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	j := NewJourney(t).Aim("crm", "erp")
	j.RX.Always("erp", Code(500))
	j.Start()
	j.SendIDs("a", 30)
	j.AwaitFailed("erp", 30)
	j.WantHistory("crm", "30 accepted, 30 delivered")
	minute := time.Now().Truncate(time.Minute)
	// A look each second keeps what has ended.
	Until(t, 2*time.Minute, "the end of the minute", func() bool {
		return time.Now().After(minute.Add(time.Minute + 3*time.Second))
	})
	j.Kill()
	j.Start()
	j.WantHistory("crm", "30 accepted, 30 delivered")
	j.WantHistory("erp", "30 accepted, 0 delivered, 30 status")
	j.WantHistory("", "30 accepted, 30 delivered, 30 status, 0 refused, 0 unmatched")
	j.SendIDs("b", 5)
	j.WantHistory("crm", "35 accepted, 35 delivered")
	some := 0
	for _, n := range j.history("crm", "1h").Accepted {
		if n > 0 {
			some++
		}
	}
	if some < 2 {
		t.Errorf("all was accepted in %d minute", some)
	}
}

// failing is an answer of GET /v1/targets/{name}/failures.
type failing struct {
	LookedAt int    `json:"looked_at"`
	Next     string `json:"next"`
	Others   int    `json:"others"`
	Groups   []struct {
		Outcome   string    `json:"outcome"`
		Status    int       `json:"status"`
		Error     string    `json:"error"`
		Line      string    `json:"line"`
		Count     int       `json:"count"`
		Pending   int       `json:"pending"`
		Exhausted int       `json:"exhausted"`
		Expired   int       `json:"expired"`
		First     time.Time `json:"first_seen"`
		Last      time.Time `json:"last_seen"`
		Example   string    `json:"example"`
		ByStatus  string    `json:"by_status"`
		ByError   string    `json:"by_error"`
	} `json:"groups"`
}

// wantFailures waits until the failures of a target are these, group by group.
func (j *Journey) wantFailures(target string, want ...string) {
	j.t.Helper()
	id := regexp.MustCompile("req_[0-9]+")
	var got []string
	if !Eventually(Patience, func() bool {
		var f failing
		j.mustGet("/v1/targets/"+target+"/failures", &f)
		got = nil
		for _, g := range f.Groups {
			got = append(got, fmt.Sprintf("%d of %s %d %q: %d pending, %d exhausted, %d expired by %s%s",
				g.Count, g.Outcome, g.Status, id.ReplaceAllString(g.Line, "req_"), g.Pending, g.Exhausted, g.Expired, g.ByStatus,
				g.ByError))
			if g.Example == "" || g.Last.Before(g.First) || time.Since(g.First) > time.Hour {
				return false
			}
		}
		return f.Next == "" && f.Others == 0 && strings.Join(got, "\n") == strings.Join(want, "\n")
	}) {
		j.t.Errorf("at %s fails\n%s\nwant\n%s", target, strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// TestFailures asserts that what fails at a target is grouped by what came back, with exact counts
// of what waits, is exhausted and has expired, across a kill; that ids in answers tell nothing
// apart; and that what succeeds is in no group any more.
func TestFailures(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "max_attempts", 1)
	j.Config.Target("old", j.RX.URL("old"), "expire", "1h")
	j.Config.Target("down", "http://127.0.0.1:1/")
	j.Config.Target("good", j.RX.URL("good"))
	j.Config.Set("retry.interval", "500ms")
	j.RX.On("crm", func(req *Request) Reply {
		switch {
		case strings.HasPrefix(req.ID, "a"):
			return Answering(503, "<html>\n<title>Melted &amp; gone</title>")
		case strings.HasPrefix(req.ID, "b"):
			return Answering(422, fmt.Sprintf(`{"error":"no","request":"req_%016d"}`, req.Nth))
		}
		return Answering(422, "another reason\nand more")
	})
	j.RX.Always("old", Close())
	j.Start()
	j.SendIDs("a", 12)
	j.SendIDs("b", 7)
	j.SendIDs("c", 2)
	j.AwaitFailed("old", 21)
	j.Config.Set("target.old.expire", "1s")
	j.Reload()
	check := func(crm ...string) {
		t.Helper()
		j.wantFailures("crm", crm...)
		j.wantFailures("old", `21 of expired 0 "": 0 pending, 0 exhausted, 21 expired by `+
			`cannot read answer: the target closed the connection`)
		j.wantFailures("down", `21 of connect 0 "": 21 pending, 0 exhausted, 0 expired by `+
			`connect: connection refused`)
		j.wantFailures("good")
	}
	all := []string{
		`12 of status 503 "Melted &amp; gone": 0 pending, 12 exhausted, 0 expired by 503`,
		`7 of status 422 "{\"error\":\"no\",\"request\":\"req_\"}": ` +
			`0 pending, 7 exhausted, 0 expired by 422`,
		`2 of status 422 "another reason": 0 pending, 2 exhausted, 0 expired by 422`,
	}
	check(all...)
	j.Kill()
	j.Start()
	check(all...)
	out := j.CLI("failures", "crm")
	for _, want := range []string{"COUNT", "status 503", "Melted &amp; gone", "another reason"} {
		if out.Code != 0 || !strings.Contains(out.Stdout, want) {
			t.Errorf("hookspool failures says\n%s%s\nwithout %q", out.Stdout, out.Stderr, want)
		}
	}
	if want := "hookspool replay --target crm --status 503"; !strings.Contains(out.Stderr, want) {
		t.Errorf("hookspool failures advises\n%s", out.Stderr)
	}
	if out := j.CLI("failures", "good"); out.Code != 0 || !strings.Contains(out.Stderr, "nothing fails") {
		t.Errorf("failures of a good target: %s%s", out.Stdout, out.Stderr)
	}
	for _, path := range []string{"crm/failures?after=1", "crm/failures?after=pending-x"} {
		if code, text := j.Admin("GET", "/v1/targets/"+path); code != 400 {
			t.Errorf("%s is answered %d %s", path, code, text)
		}
	}
	if code, _ := j.Admin("GET", "/v1/targets/nobody/failures"); code != 404 {
		t.Errorf("failures of nobody are answered %d", code)
	}
	// What succeeds fails no more.
	j.RX.Always("crm", OK())
	if out := j.CLI("replay", "--target", "crm", "--yes"); out.Code != 0 {
		t.Fatalf("replay: %s", out.Stderr)
	}
	j.wantFailures("crm")
}
