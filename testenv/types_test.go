package testenv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// catalogueAim has a target for each answer that the catalogue gives.
func catalogueAim(t *testing.T) *Journey {
	j := NewJourney(t)
	j.Config.Target("all", j.RX.URL("all"))
	j.Config.Target("live", j.RX.URL("live"), "events", []string{"mess*", "order.*"}, "session", "active")
	j.Config.Target("never", j.RX.URL("never"), "events", []string{"message"}, "where", `.none == 1`)
	return j
}

// TestTypes asserts that the catalogue lists every type with a sample, and tells of each when it is
// sent, its fields, its sample and who gets it, by the API and by the verb, with a relay and without
// one, with a config and without; and that a typing error is answered with what was meant.
func TestTypes(t *testing.T) {
	t.Parallel()
	j := catalogueAim(t)
	j.Start()
	var list struct {
		Types []struct {
			Type, When, Side, Session string
			WantedBy                  int `json:"wanted_by"`
		}
	}
	decode := func(out Output, to any) {
		t.Helper()
		if err := json.Unmarshal([]byte(out.Stdout), to); err != nil || out.Code != 0 {
			t.Fatalf("%v: %+v", err, out)
		}
	}
	decode(j.CLI("types", "--json"), &list)
	var names []string
	for _, e := range list.Types {
		names = append(names, e.Type)
		if e.When == "" || e.Session == "" || e.Side == "" || e.WantedBy < 1 {
			t.Errorf("%+v", e)
		}
	}
	for _, typ := range catalogue() {
		if !slices.Contains(names, typ) {
			t.Errorf("%s is not listed", typ)
		}
	}
	var one struct {
		Payload string
		Fields  []struct{ Name, Type, Example string }
		Targets []struct {
			Target, Note string
			Wanted       bool
		}
	}
	decode(j.CLI("types", "message", "--json"), &one)
	if got := one.Targets; len(got) != 3 || got[0].Target != "all" || !got[0].Wanted ||
		got[1].Target != "live" || !got[1].Wanted || !strings.Contains(got[1].Note, "is active") ||
		got[2].Target != "never" || got[2].Wanted || !strings.Contains(got[2].Note, "where") {
		t.Errorf("targets %+v", got)
	}
	if len(one.Fields) < 20 || one.Fields[0].Name != "eventType" || one.Fields[0].Example != `"message"` {
		t.Errorf("fields %+v", one.Fields)
	}
	f := func(code int, words string, args ...string) {
		t.Helper()
		out := j.CLI(args...)
		if out.Code != code || !strings.Contains(out.Stdout+out.Stderr, words) {
			t.Errorf("%q: %d, without %q\n%s%s", args, out.Code, words, out.Stdout, out.Stderr)
		}
	}
	all := func() {
		t.Helper()
		f(0, "\nmessage ", "types")
		f(0, "the user sends a message of any kind", "types", "message")
		f(0, "sentMessageREPLIED_v2", "types")
		f(1, "did you mean message?", "types", "mesage")
		f(1, "did you mean message?", "types", "mesage", "--print")
		f(2, "--print wants a TYPE", "types", "--print")
	}
	all()
	if code, body := j.Admin("GET", "/v1/types/mesage"); code != 404 ||
		!strings.Contains(string(body), "did you mean message?") {
		t.Errorf("a typing error: %d %s", code, body)
	}
	for _, args := range [][]string{{"types", "message", "--print"}, {"sample", "--print", "message"},
		{"sample", "--print"}} {
		if out := j.CLI(args...); out.Code != 0 || out.Stdout != one.Payload {
			t.Errorf("%q is not the sample: %+v", args, out)
		}
	}
	j.Terminate()
	all()
	f(0, "only of a session that is active", "types", "message")
	if out := CLI(t, nil, "types", "message", "--json"); out.Code != 0 ||
		!strings.Contains(out.Stdout, `"targets":[]`) && !strings.Contains(out.Stdout, `"targets": null`) &&
			!strings.Contains(out.Stdout, `"targets": []`) {
		t.Errorf("without a config: %+v", out)
	}
}

// TestSampleOfAFile asserts that an edited payload is sent as it is, with its content type, by its
// own type or a given one, within the bound of an event; that a type which is none of the target's
// is refused with what was meant; and that a made-up payload is called one.
func TestSampleOfAFile(t *testing.T) {
	t.Parallel()
	j := catalogueAim(t)
	j.Start()
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, "payload")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(content, kind, wantType string, args ...string) {
		t.Helper()
		before := j.RX.Count("live")
		out := j.CLI(append([]string{"sample", "live", "--file", file(content)}, args...)...)
		if out.Code != 0 {
			t.Fatalf("%q: %+v", args, out)
		}
		r := j.RX.Await("live", before+1)[before]
		if string(r.Body) != content || r.Type != wantType || !r.Sample ||
			r.Header.Get("Content-Type") != kind {
			t.Errorf("%q: %q of type %q, %q came", args, r.Body, r.Type, r.Header.Get("Content-Type"))
		}
	}
	f("{\n \"eventType\": \"message\", \"text\": \"e\u0301dited\"}\n", "application/json", "message")
	f(`{"eventType":"message"}`, "application/json", "mesage", "mesage")
	f("\x00\xff", "application/octet-stream", "x", "x")
	f("<a/>", "text/xml", "x", "x", "--content-type", "text/xml")
	n := j.RX.Count("live")
	no := func(code int, words string, args ...string) {
		t.Helper()
		out := j.CLI(args...)
		if out.Code != code || !strings.Contains(out.Stderr, words) {
			t.Errorf("%q: %d, without %q: %s", args, out.Code, words, out.Stderr)
		}
	}
	no(1, "names no type", "sample", "live", "--file", file(`{"text":"x"}`))
	no(1, "is empty", "sample", "live", "x", "--file", file(""))
	no(1, "a body has", "sample", "live", "x", "--file", file(strings.Repeat("x", 512<<10+1)))
	no(1, "did you mean message?", "sample", "live", "mesagee")
	no(1, "no event of live matches it", "sample", "live", "mesagee")
	no(2, "goes with --file", "sample", "live", "--content-type", "text/xml")
	no(2, "--print writes a payload", "sample", "--print", "--file", "x")
	if got := j.RX.Count("live"); got != n {
		t.Errorf("%d samples were sent that were refused", got-n)
	}
	out := j.CLI("sample", "live", "order.paid")
	if out.Code != 0 || !strings.Contains(out.Stdout, "made up: there is no sample of this type") {
		t.Errorf("a made-up payload: %+v", out)
	}
	if out = j.CLI("sample", "live", "message"); strings.Contains(out.Stdout, "made up") {
		t.Errorf("a sample is called made up: %+v", out)
	}
	j.Terminate()
	out = j.CLI("sample", "live", "--file", file(`{"eventType":"message","n":2}`))
	all := j.RX.Requests("live")
	if r := all[len(all)-1]; out.Code != 0 || string(r.Body) != `{"eventType":"message","n":2}` {
		t.Errorf("without a relay: %+v, %q", out, r.Body)
	}
	no(1, "did you mean message?", "sample", "live", "mesagee")
}

// TestExplainSample asserts that an explanation needs no file, and says what makes a session active
// or not.
func TestExplainSample(t *testing.T) {
	t.Parallel()
	j := catalogueAim(t)
	j.Start()
	f := func(code int, args []string, words ...string) {
		t.Helper()
		out := j.CLI(append([]string{"explain"}, args...)...)
		for _, w := range words {
			if out.Code != code || !strings.Contains(out.Stdout+out.Stderr, w) {
				t.Errorf("%q: %d, without %q\n%s%s", args, out.Code, w, out.Stdout, out.Stderr)
			}
		}
	}
	f(0, []string{"--sample", "message"}, "all would get", "is inactive",
		"no business message has opened a session; the user wrote with this event", "live", "no")
	j.CLI("send", "--sample", "message")
	f(0, []string{"--sample", "templateMessageSent"}, "is active by this event, inactive before",
		"a business message opened it with this event, the user wrote at 20", "; it ends at 20")
	j.CLI("send", "--sample", "templateMessageSent")
	f(0, []string{"--sample", "sentMessageREAD"}, "is active",
		"a business message opened it at 20", ", the user wrote at 20", "; it ends at 20")
	f(0, []string{"--sample", "accountDeleted"}, "no conversation")
	f(0, []string{"--sample", "message", "--type", "order.x"}, "live would get", "order.x")
	f(1, []string{"--sample", "mesage"}, "did you mean message?")
	f(2, []string{"--sample", "message", "--file", "x"}, "--sample has a payload of its own")
	f(2, nil, "--file is missing", "--sample TYPE")
	if code, body := j.Admin("POST", "/v1/explain?sample=message"); code != 200 ||
		!strings.Contains(string(body), `"user_wrote_at":"20`) {
		t.Errorf("%d %s", code, body)
	}
	j.Terminate()
	f(0, []string{"--sample", "message"}, "all would get", "is unknown")
}
