package testenv

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// failureGroup is a group of failures as the command line has it in JSON.
type failureGroup struct {
	Failure, Line, Outcome string
	ByStatus               string `json:"by_status"`
	ByError                string `json:"by_error"`
	Pending, Exhausted     int
	Expired                int
}

// failureGroups are those of a target, by the first line of the answer or, without one, the outcome.
func (j *Journey) failureGroups(target string) map[string]failureGroup {
	j.t.Helper()
	out := j.CLI("failures", target, "--json")
	var all struct{ Groups []failureGroup }
	if err := json.Unmarshal([]byte(out.Stdout), &all); err != nil || out.Code != 0 {
		j.t.Fatalf("hookspool failures: %v: %+v", err, out)
	}
	groups := make(map[string]failureGroup)
	for _, g := range all.Groups {
		groups[cmp.Or(g.Line, g.Outcome)] = g
	}
	return groups
}

// TestFailuresChoose asserts that the name of a group of failures selects exactly its deliveries,
// exhausted, expired and pending ones: in a search, a listing, a replay and a purge, counted before
// and done after, also after a kill; and that a name that is none is refused.
func TestFailuresChoose(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "max_attempts", 1)
	j.Config.Target("old", j.RX.URL("old"), "expire", "1h")
	j.Config.Target("slow", j.RX.URL("slow"))
	j.Config.Set("retry.interval", "500ms")
	j.FailingAlike()
	j.RX.Always("old", Answering(500, "old"))
	j.RX.Always("slow", Answering(503, "too busy"))
	j.Ledger.AllowForeign() // some are purged
	j.Start()
	const a, b, c = "a-0 a-1 a-2", "b-0 b-1", "c-0 c-1 c-2 c-3"
	for _, id := range strings.Fields(a + " " + b + " " + c) {
		j.Relay.Post(Post{ID: id, Type: "message", Body: []byte(`{}`)})
	}
	j.AwaitFailed("old", 9)
	j.Config.Set("target.old.expire", "1s")
	j.Reload()
	Until(t, Patience, "crm to be exhausted, old to expire", func() bool {
		return j.Target("crm").Exhausted == 9 && j.failureGroups("old")["expired"].Expired == 9
	})
	Until(t, Patience, "slow to fail", func() bool {
		return j.failureGroups("slow")["too busy"].Pending == 9
	})
	j.Kill()
	j.Start()
	var names []string
	for _, g := range j.failureGroups("crm") {
		names = append(names, g.Failure)
	}
	if len(names) != 3 {
		t.Fatalf("there are groups %q, want 3", names)
	}
	of := func(target, what string) string {
		t.Helper()
		for key, g := range j.failureGroups(target) {
			if strings.HasPrefix(key, what) {
				return g.Failure
			}
		}
		t.Fatalf("%s has no group %q", target, what)
		return ""
	}
	for what, want := range map[string]string{"no database": a, "too busy": b, "protocol": c} {
		j.WantFound(want, "exhausted", "--target", "crm", "--failure", of("crm", what))
		j.WantFound(want, "events", "--target", "crm", "--failure", of("crm", what))
	}
	all := strings.Join([]string{a, b, c}, " ")
	j.WantFound(all, "deliveries", "--target", "old", "--state", "expired", "--failure",
		of("old", "expired"))
	j.WantFound(all, "deliveries", "--target", "slow", "--failure", of("slow", "too busy"))
	j.WantFound("", "deliveries", "--target", "slow", "--failure", of("crm", "no database"))
	j.WantFound("", "deliveries", "--target", "old", "--state", "delivered", "--failure",
		of("old", "expired"))

	// The command that failures advises counts and sends that group, as one action.
	j.RX.Always("crm", OK())
	from := j.RX.Count("crm")
	j.tells(0, []string{"hookspool replay --target crm --failure " + of("crm", "protocol")},
		"failures", "crm")
	j.tells(0, []string{"3 exhausted deliveries would be replayed"}, "replay", "--target", "crm",
		"--failure", of("crm", "no database"), "--dry-run")
	name := of("crm", "no database")
	j.tells(0, []string{"replayed 3 exhausted deliveries"}, "replay", "--target", "crm", "--failure",
		name, "--yes")
	j.AwaitPending("crm", 0)
	sent := make(map[string]bool)
	for _, r := range j.RX.Requests("crm")[from:] {
		sent[r.ID] = true
	}
	if got := fmt.Sprint(len(sent), sent["a-0"], sent["a-1"], sent["a-2"]); got != "3 true true true" {
		t.Errorf("the replay sent %v", sent)
	}
	if list := j.Actions("--verb", "replay"); len(list) != 1 || list[0].Count != 3 ||
		list[0].Filter != "failure="+name+" state=exhausted" && list[0].Filter != "failure="+name {
		t.Errorf("the log of actions has %+v", list)
	}
	// One event by its id is asked alike.
	j.tells(0, []string{"0 exhausted deliveries would be replayed"}, "replay", "--id", "b-0",
		"--failure", of("crm", "protocol"), "--dry-run")
	j.tells(0, []string{"purged 2 exhausted deliveries of crm"}, "purge", "--target", "crm",
		"--state", "exhausted", "--failure", of("crm", "too busy"), "--yes")
	j.WantFound(c, "exhausted", "--target", "crm")
	j.tells(0, []string{"purged 9 pending deliveries of slow"}, "purge", "--target", "slow",
		"--failure", of("slow", "too busy"), "--type", "mess*", "--yes")
	j.tells(0, []string{"purged 9 expired deliveries of old"}, "purge", "--target", "old",
		"--state", "expired", "--failure", of("old", "expired"), "--yes")

	j.tells(2, []string{`--failure is "503"`, "hookspool failures lists them"}, "exhausted",
		"--failure", "503")
	for _, wrong := range []string{"503", "ABCDEF012345", "0123456789abcd"} {
		if code, text := j.Admin("POST", "/v1/replay?target=crm&failure="+
			url.QueryEscape(wrong)); code != 400 || !strings.Contains(string(text), "failure is") {
			t.Errorf("failure=%s is answered %d %s", wrong, code, text)
		}
	}
}

// TestDeliveriesTellTheSession asserts that lists of deliveries say whether the conversation was
// active, as every attempt at them says it, whatever the state of the delivery.
func TestDeliveriesTellTheSession(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "held")
	j.Start()
	j.Verb("pause", "held")
	j.Send(Post{ID: "first", Type: "message", Body: []byte(`{"waId":"1"}`)})
	j.Send(Post{ID: "second", Type: "sessionMessageSent", Body: []byte(`{"waId":"1"}`)})
	j.Send(Post{ID: "none", Type: "other", Body: []byte(`{}`)})
	j.AwaitPending("crm", 0)
	want := map[string]string{"first": "inactive", "second": "active", "none": ""}
	for _, target := range []string{"crm", "held"} {
		state := "delivered"
		if target == "held" {
			state = "pending"
		}
		var page struct {
			Deliveries []struct{ ID, Session string }
		}
		j.mustGet("/v1/deliveries?target="+target+"&state="+state, &page)
		if len(page.Deliveries) != len(want) {
			t.Errorf("%s has %+v", target, page)
		}
		for _, d := range page.Deliveries {
			if d.Session != want[d.ID] {
				t.Errorf("%s to %s: session %q, want %q", d.ID, target, d.Session, want[d.ID])
			}
		}
	}
	for _, r := range j.RX.Requests("crm") {
		if got := r.Header.Get("webhook-session"); got != want[r.ID] {
			t.Errorf("%s was sent with session %q, want %q", r.ID, got, want[r.ID])
		}
	}
	j.tells(0, []string{"SESSION", "inactive"}, "deliveries", "--target", "crm", "--state",
		"delivered")
	j.Verb("resume", "held")
}

// TestEventAsCurl asserts that an event tells the command that brings it in again, that the command
// does it with nothing but the token added, and that the token is not in it.
func TestEventAsCurl(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-32-bytes-or-even-more"
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.event_token", token)
	j.Start()
	body := `{"text":"it's \"ü\""}`
	headers := map[string]string{"Authorization": "Bearer " + token}
	posts := []Post{
		{ID: "json", Type: "message", ContentType: "application/json", Body: []byte(body)},
		{ID: "bytes", Type: "blob", ContentType: "application/octet-stream",
			Body: []byte("\x00\xff\r\n")},
		{ID: "bare", ContentType: "-", Body: []byte("@not-a-file")},
	}
	for i := range posts {
		posts[i].Header = headers
		j.Send(posts[i])
	}
	j.AwaitPending("crm", 0)
	j.Ledger.AllowForeign()
	for _, p := range posts {
		var e struct{ Curl string }
		j.mustGet("/v1/events/"+p.ID, &e)
		if strings.Contains(e.Curl, token) || !strings.Contains(e.Curl, "$EVENT_TOKEN") {
			t.Errorf("the command of %s is\n%s", p.ID, e.Curl)
		}
		from := j.RX.Count("crm")
		out := j.Shell(e.Curl, "EVENT_TOKEN="+token)
		if !strings.Contains(out, "200 OK") || strings.Contains(out, `"duplicate":true`) {
			t.Fatalf("%s\nanswers\n%s", e.Curl, out)
		}
		Until(t, Patience, "it to come again", func() bool { return j.RX.Count("crm") == from+1 })
		r := j.RX.Requests("crm")[from]
		if string(r.Body) != string(p.Body) ||
			r.Header.Get("Content-Type") != strings.Trim(p.ContentType, "-") || p.Type != "" && r.Header.Get("webhook-event-type") != p.Type || r.ID == p.ID {
			t.Errorf("%s came again as %+v", p.ID, r)
		}
	}
	var page struct{ Events []struct{ ID, Curl string } }
	if j.mustGet("/v1/events", &page); len(page.Events) == 0 || page.Events[0].Curl != "" {
		t.Errorf("a list has %+v", page)
	}
}
