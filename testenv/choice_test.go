package testenv

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestChoiceFinds asserts that events and deliveries are found by what is in the payload, by
// conversation, session, status, error and how their ids begin, in every listing.
func TestChoiceFinds(t *testing.T) {
	t.Parallel()
	j := ExhaustedOf(t, true)
	const all = "491-0 491-1 491-2 491-3"
	j.WantFound(all, "events", "--where", "waId=491")
	j.WantFound(all, "events", "--where", `.waId == "491"`)
	j.WantFound("491-3 493-3", "events", "--where", "n=3", "--where", "waId!=492")
	j.WantFound("492-2", "events", "--where", `.n == 2 and ($id | startswith("492"))`)
	j.WantFound("", "events", "--where", "waId=4")
	j.WantFound(all, "events", "--conversation", "491")
	j.WantFound(all, "events", "--conversation", "waId=491", "--session", "inactive")
	j.WantFound("", "events", "--session", "none")
	j.WantFound(all, "events", "--id", "491*")
	j.WantFound("491-2", "events", "--id", "491-2", "--where", "n=2")
	j.WantFound("", "events", "--id", "491-2", "--where", "n=3")
	j.WantFound("", "events", "--id", "nobody")
	j.WantFound(all, "events", "491*")
	j.WantFound(all, "exhausted", "--where", "waId=491")
	j.WantFound(all, "exhausted", "--target", "crm", "--where", "waId=491", "--status", "503")
	j.WantFound("", "exhausted", "--status", "500")
	j.WantFound("493-0 493-1 493-2 493-3", "exhausted", "--error", "protocol")
	j.WantFound("493-0 493-1 493-2 493-3", "exhausted", "--error", "RESET")
	j.WantFound("492-1", "exhausted", "--status", "5xx", "--where", "waId=492", "--where", "n=1")
	j.WantFound("492-1", "exhausted", "--id", "492-1")
	j.WantFound("493-1", "events", "--error", "protocol", "--where", "n=1", "--target", "crm")
	j.WantFound("491-1", "deliveries", "--state", "delivered", "--target", "good", "--where", "n=1",
		"--conversation", "491")
	j.WantFound("491-3", "deliveries", "--state", "delivered", "--target", "good", "--id", "491-3")
	j.WantFound("491-1", "deliveries", "--state", "delivered", "--where", "n=1", "--status", "200",
		"--id", "491*", "--target", "good")
	j.WantFound("", "deliveries", "--state", "delivered", "--status", "201", "--target", "good")
	// Since when, in the forms that people write.
	j.WantFound(all, "events", "--where", "waId=491", "--since", time.Now().Add(-time.Minute).Format(
		"2006-01-02 15:04"))
	j.WantFound("", "events", "--where", "waId=491", "--until", "1h")
	// On a restart too, and with what is pending.
	j.Kill()
	j.Start()
	j.WantFound("493-3", "exhausted", "--error", "protocol", "--where", "n=3")
	j.Verb("pause", "crm")
	j.Send(Post{ID: "491-new", Body: []byte(`{"eventType":"message","waId":491}`)})
	j.WantFound("491-new", "deliveries", "--target", "crm", "--where", "waId=491")
	j.WantFound("", "deliveries", "--target", "crm", "--status", "5xx")
}

// TestChoiceSays asserts what is told of programs that are none, that fail, and of ids that nobody
// has, with the exit codes of the house.
func TestChoiceSays(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Start()
	customers(j, j.Send, 2, "491")
	j.Send(Post{ID: "list", Body: []byte(`["491"]`)})
	j.Send(Post{ID: "text", Body: []byte(`waId=491`)})
	says := func(code int, words string, args ...string) {
		t.Helper()
		out := j.CLI(args...)
		if out.Code != code || !strings.Contains(out.Stderr, words) {
			t.Errorf("hookspool %q: %d %s\nwant %d with %q", args, out.Code, out.Stderr, code, words)
		}
	}
	says(2, "--where is no jq program: line 1, column 6: unexpected token", "events", "--where",
		".a = = 1")
	says(2, "where is 4917, which looks at nothing of an event", "events", "--where", "4917")
	says(2, "--status is \"500s\"", "exhausted", "--status", "500s")
	says(2, "--session is \"open\"", "deliveries", "--session", "open")
	says(2, "no jq program", "replay", "--target", "good", "--where", "nosuch(1)")
	says(2, "no jq program", "purge", "--target", "good", "--where", "(", "--yes")
	says(2, "--since is \"noon\"", "events", "--since", "noon")
	says(1, `there is no event "491"; 2 begin with it: 491-1, 491-0`, "events", "491")
	says(1, `there is no event "x"`, "events", "x")
	says(0, "failed on 1 event, which count as no match; on the first: expected an object", "events",
		"--where", `.waId + "0" == "4910"`)
	code, body := j.Admin("GET", "/v1/events?where="+url.QueryEscape(`.n > 0`))
	var page struct {
		Events      []struct{ ID string }
		LookedAt    int `json:"looked_at"`
		Left        int
		WhereErrors int    `json:"where_errors"`
		WhereError  string `json:"where_error"`
	}
	if err := json.Unmarshal(body, &page); err != nil || code != 200 || len(page.Events) != 1 ||
		page.LookedAt != 4 || page.Left != 0 || page.WhereErrors != 1 || page.WhereError == "" {
		t.Errorf("%d %v %s", code, err, body)
	}
	code, body = j.Admin("GET", "/v1/events?where=a%3D1&where="+url.QueryEscape("\n.a |"))
	if code != 400 || !strings.Contains(string(body), "line 2, column 5") {
		t.Errorf("%d %s", code, body)
	}
}

// TestChoiceReplays asserts that a replay sends what was asked for and nothing else, that counting
// says the same, and that a purge deletes no more.
func TestChoiceReplays(t *testing.T) {
	t.Parallel()
	j := ExhaustedOf(t, false)
	j.RX.Always("crm", OK())
	from := len(j.RX.Requests("crm"))
	replay := []string{"replay", "--target", "crm", "--where", "waId=491", "--since",
		time.Now().Add(-time.Minute).Format("15:04"), "--status", "503"}
	if out := j.CLI(append(replay, "--dry-run")...); out.Stdout != "4 exhausted deliveries would be "+
		"replayed\n" {
		t.Errorf("dry run: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := j.CLI(append(replay, "--yes", "--json")...); out.Code != 0 ||
		!strings.Contains(out.Stdout, `"count": 4`) && !strings.Contains(out.Stdout, `"count":4`) {
		t.Errorf("replay: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	Until(t, Patience, "the replay", func() bool { return j.Target("crm").Pending == 0 })
	var sent []string
	for _, r := range j.RX.Requests("crm")[from:] {
		sent = append(sent, r.ID)
	}
	slices.Sort(sent)
	if got := strings.Join(sent, " "); got != "491-0 491-1 491-2 491-3" {
		t.Errorf("replayed were %q", got)
	}
	j.WantFound("", "exhausted", "--where", "waId=491")
	if n := j.Target("crm").Exhausted; n != 8 {
		t.Errorf("%d are exhausted, want 8", n)
	}
	// One event that is asked for by its id, and does not match.
	if out := j.CLI("replay", "--id", "492-1", "--where", "n=2", "--yes"); !strings.Contains(out.Stdout,
		"0 exhausted") && !strings.Contains(out.Stderr, "no exhausted") {
		t.Errorf("replay of what does not match: %+v", out)
	}
	out := j.CLI("purge", "--target", "crm", "--state", "exhausted", "--where", "waId=492", "--id",
		"492-*", "--yes")
	if out.Code != 0 || !strings.Contains(out.Stdout, "purged 4 exhausted deliveries of crm") {
		t.Errorf("purge: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	j.WantFound("493-0 493-1 493-2 493-3", "exhausted", "--target", "crm")
	out = j.CLI("purge", "--target", "crm", "--state", "exhausted", "--error", "protocol", "--where",
		"n=0", "--yes")
	if !strings.Contains(out.Stdout, "purged 1 exhausted delivery of crm") {
		t.Errorf("purge: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	// What waits in the log as well.
	j.Verb("pause", "crm")
	customers(j, j.Relay.Post, 2, "494", "495")
	out = j.CLI("purge", "--target", "crm", "--where", "waId=494", "--where", "n=1", "--yes")
	if !strings.Contains(out.Stdout, "purged 1 pending delivery of crm") {
		t.Errorf("purge: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	j.WantFound("494-0 495-0 495-1", "deliveries", "--target", "crm")
	j.Verb("resume", "crm")
	j.AwaitPending("crm", 0)
}

// TestChoiceConversation asserts that a conversation is shown under each of its keys, with who wrote
// when and what that did, and what is frozen with its events.
func TestChoiceConversation(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Start()
	say := func(typ, keys string) string {
		return j.Send(Post{Type: typ, Body: []byte(`{` + keys + `}`)}).ID
	}
	first := say("message", `"waId":"491"`)
	say("message", `"waId":"492"`)
	opened := say("sessionMessageSent", `"waId":"491","conversationId":"c"`)
	read := say("sentMessageREAD", `"conversationId":"c"`)
	say("templateMessageSent", `"waId":"493"`)
	answered := say("message", `"waId":"493"`)
	var talk struct {
		Key, State, Next string
		Keys             []string
		OpenedAt         *time.Time `json:"opened_at"`
		LastUserAt       *time.Time `json:"last_user_at"`
		Until            *time.Time
		Timeline         []struct {
			ID, Side, Session, What string
			Until                   *time.Time
			Differs                 bool
		}
		LookedAt int `json:"looked_at"`
	}
	timeline := func(key string) string {
		talk.Timeline = nil
		var all []string
		for after := ""; ; after = talk.Next {
			j.mustGet("/v1/conversations/"+url.PathEscape(key)+"?limit=1&after="+
				url.QueryEscape(after), &talk)
			for _, m := range talk.Timeline {
				all = append(all, strings.Join([]string{m.ID, m.Side, m.Session, m.What}, ","))
				if m.Differs {
					t.Errorf("%s of %s differs", m.ID, key)
				}
			}
			if talk.Next == "" {
				return strings.Join(all, " ")
			}
		}
	}
	want := first + ",user,inactive, " + opened + ",business,active,opened " + read + ",,active,"
	for _, key := range []string{"491", "waId=491", "c", "conversationId=c"} {
		if got := timeline(key); got != want {
			t.Errorf("%s: %s\nwant %s", key, got, want)
		}
		if talk.State != "active" || talk.OpenedAt == nil || talk.LastUserAt == nil ||
			talk.Until == nil || talk.Until.Sub(*talk.OpenedAt) != 24*time.Hour {
			t.Errorf("%s: %+v", key, talk)
		}
	}
	if got := timeline("493"); !strings.HasSuffix(got, " "+answered+",user,active,activated") {
		t.Errorf("493: %s", got)
	}
	if got := timeline("nobody"); got != "" || talk.State != "inactive" {
		t.Errorf("nobody: %s %+v", got, talk)
	}
	out := j.CLI("events", "--conversation", "c")
	for _, words := range []string{"session active until ", "opens a session until", "business", "user",
		"waId=491", first, read} {
		if !strings.Contains(out.Stdout, words) {
			t.Errorf("%q is not in\n%s%s", words, out.Stdout, out.Stderr)
		}
	}
	if strings.Contains(out.Stdout, answered) {
		t.Errorf("another conversation is in\n%s", out.Stdout)
	}
	var both struct {
		Conversation struct{ State string }
		Events       []struct{ ID string }
	}
	out = j.CLI("events", "--conversation", "491", "--json")
	if err := json.Unmarshal([]byte(out.Stdout), &both); err != nil || len(both.Events) != 3 ||
		both.Conversation.State != "active" {
		t.Errorf("%v %s", err, out.Stdout)
	}
}

// TestChoiceGoesOn asserts that a walk ends with Ctrl-C and says how to go on, and that what was
// found until then and what is found after is everything, each once.
func TestChoiceGoesOn(t *testing.T) {
	t.Parallel()
	const n = 2000
	j := NewJourney(t).Aim("good")
	j.Start()
	var lines [][]byte
	for i := range n {
		lines = append(lines, fmt.Appendf(nil, `{"eventType":"message","n":%d}`, i))
	}
	j.SendBatch(lines...)
	// It takes a while on each event, so that there are many pages.
	args := []string{"events", "--where", `.n % 2 == 0 and ([range(200)] | length == 200)`,
		"--config", j.ConfigPath(), "--all", "--json"}
	v := startVerb(t, args...)
	seen := make(map[string]int)
	note := func(line string) {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		seen[e.ID]++
	}
	note(v.await(v.out, "^(.+)\n$"))
	if err := v.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := v.out.ReadString('\n')
		if err != nil {
			break
		}
		note(line)
	}
	again := v.await(v.err, `go on with: hookspool ([^"\n]*)`)
	v.ends(1)
	first := len(seen)
	if first == 0 || first >= n/2 {
		t.Errorf("%d were found before it was stopped", first)
	}
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `"$0" `+again+` --json`, bin).Output()
	if err != nil {
		t.Fatalf("%s: %v", again, err)
	}
	for line := range strings.Lines(string(out)) {
		note(line)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was found %d times", id, times)
		}
	}
	if len(seen) != n/2 {
		t.Errorf("%d were found, %d of them before it was stopped; want %d", len(seen), first, n/2)
	}
}
