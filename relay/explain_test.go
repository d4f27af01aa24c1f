package relay

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
)

// explainFixture has a target for every verdict.
func explainFixture(t *testing.T) *fixture {
	f := newFixture(t)
	f.target("all", "http://user:pass@127.0.0.1:1/hook?key=secret", func(t *config.Target) {
		t.Headers = []config.Header{{Name: "X-Key", Value: config.Secret("hidden")}}
		t.Secrets = []config.Secret{config.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	})
	f.target("active", "http://127.0.0.1:1/", func(t *config.Target) { t.Session = "active" })
	f.target("held", "http://127.0.0.1:1/", func(t *config.Target) {
		t.Status = config.StatusPaused
		t.Events = []config.Pattern{"x*", "mess*"}
	})
	f.target("off", "http://127.0.0.1:1/", func(t *config.Target) { t.Status = config.StatusDisabled })
	f.target("other", "http://127.0.0.1:1/", func(t *config.Target) {
		t.Events = []config.Pattern{"other"}
	})
	f.start()
	return f
}

func TestExplain(t *testing.T) {
	t.Parallel()
	f := explainFixture(t)
	var e admin.Explanation
	const body = `{"eventType":"message","waId":"1"}`
	if code := f.api("POST", "/v1/explain", &e, body); code != 200 {
		t.Fatalf("%d", code)
	}
	s := e.Session
	if e.Type != "message" || e.TypeSource != "field" || e.IDGiven || s == nil || s.Key != "waId=1" ||
		s.StateBefore != "inactive" || s.StateAfter != "inactive" || s.OpenedAt != nil ||
		s.EndsAt != nil || s.UserWroteAt == nil ||
		s.Why != "no business message has opened a session; the user wrote with this event" {
		t.Errorf("explanation %+v %+v", e, e.Session)
	}
	refused := map[string]string{}
	for _, x := range e.Targets {
		refused[x.Target] = x.RefusedBy
		if (x.Request != "") != (x.RefusedBy == "") || (x.Note == "") != (x.Target == "all") {
			t.Errorf("target %+v", x)
		}
	}
	for name, want := range map[string]string{"all": "", "active": "session", "held": "",
		"off": "disabled", "other": "events"} {
		if got, ok := refused[name]; !ok || got != want {
			t.Errorf("%s is refused by %q, want %q", name, got, want)
		}
	}
	all, held := e.Targets[0], e.Targets[2]
	for _, want := range []string{"POST /hook?<redacted> HTTP/1.1\r\n", "X-Key: <redacted>\r\n",
		"Authorization: <redacted>\r\n", "webhook-session: inactive\r\n", "\r\n\r\n" + body,
		"webhook-id: " + explainedIDText, "webhook-signature: <redacted>\r\n"} {
		if !strings.Contains(all.Request, want) {
			t.Errorf("the request lacks %q:\n%s", want, all.Request)
		}
	}
	for _, secret := range []string{"secret", "pass", "hidden", "v1,"} {
		if strings.Contains(all.Request, secret) {
			t.Errorf("the request holds %q:\n%s", secret, all.Request)
		}
	}
	if held.Pattern != "mess*" || held.Status != "Paused" {
		t.Errorf("held %+v", held)
	}
}

// Explaining a message that would open a session leaves it closed, and nothing is spooled.
func TestExplainChangesNothing(t *testing.T) {
	t.Parallel()
	f := explainFixture(t)
	f.post("/v1/events/message", `{"waId":"1"}`)
	head := f.spool.Head()
	for range 2 {
		var e admin.Explanation
		f.api("POST", "/v1/explain?type=sessionMessageSent&id=mine", &e, `{"waId":"1","bsuid":"b"}`)
		if e.TypeSource != "path" || !e.IDGiven || e.Session == nil ||
			e.Session.StateBefore != "inactive" || e.Session.StateAfter != "active" {
			t.Fatalf("explanation %+v %+v", e, e.Session)
		}
	}
	if f.spool.Head() != head {
		t.Error("something was spooled")
	}
	f.post("/v1/events/sessionMessageSent", `{"waId":"1"}`)
	var e admin.Explanation
	f.api("POST", "/v1/explain?type=message", &e, `{"waId":"1"}`)
	if e.Session.StateBefore != "active" || e.Session.StateAfter != "active" {
		t.Errorf("the true event did not open the session: %+v", e.Session)
	}
}

func TestExplainSources(t *testing.T) {
	t.Parallel()
	f := explainFixture(t)
	_, address := f.Addresses()
	ask := func(query, body string, headers ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+address+"/v1/explain"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		var e admin.Explanation
		res := f.decode(req, &e)
		return res, e.Type + " by " + e.TypeSource
	}
	check := func(code int, got string, want string) {
		t.Helper()
		if code != 200 || got != want {
			t.Errorf("%d %q, want %q", code, got, want)
		}
	}
	code, got := ask("", "plain")
	check(code, got, " by default")
	code, got = ask("", "{}", "webhook-event-type", "x")
	check(code, got, "x by header")
	code, got = ask("", "{}", "ce-specversion", "1.0", "ce-id", "1", "ce-source", "/", "ce-type", "y")
	check(code, got, "y by header")
	code, got = ask("?content_type=application/cloudevents%2Bjson",
		`{"specversion":"1.0","id":"1","source":"/","type":"z"}`)
	check(code, got, "z by field")
	for _, bad := range [][]string{{"?type=%0a", "{}"}, {"?id=a.b", "{}"},
		{"?content_type=application/x-ndjson", "{}"}, {"?content_type=application/cloudevents%2Bjson", "{}"},
		{"?wrong=1", "{}"}} {
		if code, _ := ask(bad[0], bad[1]); code != 400 && code != 415 {
			t.Errorf("%v: %d", bad, code)
		}
	}
	// As large as an event may be.
	most := strings.Repeat("x", f.BodyBytesMax())
	if code, _ := ask("?type=message", most); code != 200 {
		t.Errorf("the largest event: %d", code)
	}
}

// What waits for what is told with the value that decides it.
func TestExplainOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, o := range map[string]config.Order{"all": {All: true}, "by": {By: ".waId"},
		"no": {By: ".other"}} {
		f.target(name, "http://127.0.0.1:1/", func(t *config.Target) { t.Order = o })
	}
	f.start()
	var e admin.Explanation
	if code := f.api("POST", "/v1/explain", &e, `{"eventType":"message","waId":"1"}`); code != 200 {
		t.Fatalf("%d", code)
	}
	want := map[string]string{"all": "it would wait for all that is pending for the target",
		"by": `it would wait for what is pending with .waId = "1"`,
		"no": "it has no value for its order (.other), so it would wait for none"}
	for _, x := range e.Targets {
		if x.Note != want[x.Target] {
			t.Errorf("%s: %q; want %q", x.Target, x.Note, want[x.Target])
		}
	}
}
