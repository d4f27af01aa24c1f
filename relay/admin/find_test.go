package admin

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/sieve"
)

func TestFind(t *testing.T) {
	f := newFixture(t)
	f.ok(f.ask("GET", "/v1/events"), `{"events":[],"next":"","looked_at":0,"left":0}`)
	if want := (EventQuery{Page: Page{100, ""}}); !reflect.DeepEqual(f.backend.events, want) {
		t.Errorf("query %+v", f.backend.events)
	}
	f.ok(f.ask("GET", "/v1/events?type=mess*&target=crm&state=delivered&limit=7&after=9"), "")
	want := EventQuery{Type: "mess*", Target: "crm", State: "delivered", Page: Page{7, "9"}}
	if !reflect.DeepEqual(f.backend.events, want) {
		t.Errorf("query %+v", f.backend.events)
	}
	f.ok(f.ask("GET", "/v1/deliveries"), `{"deliveries":[],"next":"","looked_at":0,"left":0}`)
	f.ok(f.ask("GET", "/v1/deliveries?state=delivered&type=x"), "")
	some := Query{State: "delivered", Type: "x", Page: Page{100, ""}}
	if !reflect.DeepEqual(f.backend.query, some) {
		t.Errorf("query %+v", f.backend.query)
	}
	f.ok(f.ask("GET", "/v1/attempts/a%2Fb?target=crm"), `{"id":"a/b","attempts":[],"kept_from":0}`)
	f.ok(f.ask("GET", "/v1/targets/crm/attempts?limit=3"), `{"attempts":[]}`)
	f.ok(f.ask("POST", "/v1/targets/crm/retry"), `{"name":"crm"`)
	a := f.ask("GET", "/v1/events/evt_1/payload")
	f.ok(a, "<script>")
	for name, want := range map[string]string{"Content-Type": "application/octet-stream",
		"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	asked := "attempts a/b crm, recent 3 crm, retry crm, payload evt_1"
	if got := strings.Join(f.backend.asked, ", "); got != asked {
		t.Errorf("asked %q, want %q", got, asked)
	}
}

func TestInstants(t *testing.T) {
	f := newFixture(t)
	within := func(got time.Time, ago time.Duration) {
		t.Helper()
		if d := time.Since(got) - ago; d < 0 || d > time.Minute {
			t.Errorf("%s is %s off", got, d)
		}
	}
	f.ok(f.ask("GET", "/v1/events?since=24h&until=15m"), "")
	within(f.backend.events.Since, 24*time.Hour)
	within(f.backend.events.Until, 15*time.Minute)
	f.ok(f.ask("GET", "/v1/deliveries?since=2026-01-02T03:04:05%2B01:00"), "")
	if want := time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC); !f.backend.query.Since.Equal(want) {
		t.Errorf("since is %s, want %s", f.backend.query.Since, want)
	}
	f.ok(f.ask("POST", "/v1/replay?target=crm&since=1h"), "")
	within(f.backend.replay.Since, time.Hour)
	for _, bad := range []string{"since=yesterday", "until=-1h", "since=1", "since=1m&until=1h",
		"since=25:00", "until=99999999999h"} {
		for _, call := range []string{"GET /v1/events?", "GET /v1/deliveries?",
			"POST /v1/replay?target=crm&"} {
			method, path, _ := strings.Cut(call, " ")
			f.problem(f.ask(method, path+bad), 400, codeMalformed)
		}
	}
}

func TestBadParameters(t *testing.T) {
	f := newFixture(t)
	for _, bad := range []string{
		"GET /v1/events?state=done", "GET /v1/events?state=purged", "GET /v1/events?limit=0",
		"GET /v1/events?limit=1001", "GET /v1/events?limit=x", "GET /v1/events?targets=crm",
		"GET /v1/deliveries?state=done", "GET /v1/deliveries?payload=x",
		"GET /v1/events?where=.a+%3D%3D+%3D+1", "GET /v1/deliveries?status=600",
		"GET /v1/events?session=open", "GET /v1/conversations/491?until=1h",
		"POST /v1/replay?id=a*", "POST /v1/targets/crm/purge?error=x&forget=true",
		"GET /v1/events/1?type=x", "GET /v1/events/1/payload?x=1", "GET /v1/attempts/1?limit=1",
		"GET /v1/targets/crm/attempts?limit=0", "GET /v1/targets/crm/attempts?after=1",
		"GET /v1/targets/crm/failures?limit=1", "GET /v1/history?span=2h",
		"GET /v1/history?name=crm", "GET /v1/stream?x=1", "GET /openapi.json?x=1",
		"POST /v1/replay", "POST /v1/replay?state=exhausted", "POST /v1/replay?target=a&state=pending",
		"POST /v1/replay?target=a&dry_run=maybe", "POST /v1/replay?target=a&limit=0",
		"POST /v1/targets/crm/retry?type=x", "POST /v1/explain?payload=x",
	} {
		method, path, _ := strings.Cut(bad, " ")
		p := f.problem(f.ask(method, path), 400, codeMalformed)
		if p.Detail == "" {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	if len(f.backend.asked) > 0 || !reflect.DeepEqual(f.backend.replay, ReplayQuery{}) {
		t.Errorf("asked %q, %+v", f.backend.asked, f.backend.replay)
	}
}

// What narrows a walk is the same for every call that walks.
func TestChoices(t *testing.T) {
	f := newFixture(t)
	const asked = "where=waId%3D49&where=.n+%3E+1&conversation=49&session=none&status=5xx&" +
		"error=tls&failure=8c883e5a7502&id=a*"
	want := sieve.Choice{Where: []string{"waId=49", ".n > 1"}, Conversation: "49", Session: "none",
		Status: "5xx", Error: "tls", Failure: "8c883e5a7502", IDPrefix: "a"}
	f.ok(f.ask("GET", "/v1/events?"+asked), "")
	f.ok(f.ask("GET", "/v1/deliveries?"+asked), "")
	f.ok(f.ask("POST", "/v1/replay?target=crm&"+asked), "")
	for what, got := range map[string]sieve.Choice{"events": f.backend.events.Choice,
		"deliveries": f.backend.query.Choice, "replay": f.backend.replay.Choice} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	p := f.problem(f.ask("GET", "/v1/events?where=a%3D1&where=.a+|+nosuch"), 400, codeMalformed)
	if p.Detail != "where is no jq program: line 1, column 6: function not defined: nosuch/0" ||
		p.Hint != sieve.WhereHint {
		t.Errorf("%+v", p)
	}
	f.ok(f.ask("GET", "/v1/conversations/waId%3D49?since=1h&limit=3&after=x"), `{"key":"waId=49"`)
	if q := f.backend.talk; q.Key != "waId=49" || q.Limit != 3 || q.After != "x" || q.Since.IsZero() {
		t.Errorf("%+v", q)
	}
}

// A history is of a day unless it is asked for otherwise; failures are asked for page by page.
func TestHistoryAndFailures(t *testing.T) {
	f := newFixture(t)
	f.ok(f.ask("GET", "/v1/history"), `{"target":"","span":"24h",`)
	f.ok(f.ask("GET", "/v1/history?target=crm&span=30d"), `{"target":"crm","span":"30d",`)
	f.ok(f.ask("GET", "/v1/targets/crm/failures?after=pending-7"),
		`{"target":"crm","looked_at":0,"next":"","groups":[],"others":0}`)
	want := []string{"history 24h ", "history 30d crm", "failures pending-7 crm"}
	if !slices.Equal(f.backend.asked, want) {
		t.Errorf("asked %q, want %q", f.backend.asked, want)
	}
}

func TestReplayCall(t *testing.T) {
	f := newFixture(t)
	f.ok(f.ask("POST", "/v1/replay?id=x"), `{"count":3,"next":"","dry_run":false,`)
	f.ok(f.ask("POST", "/v1/replay?id=x"), `"sends":false,"run":"run"}`)
	one := ReplayQuery{ID: "x", State: "exhausted", Page: Page{100, ""}}
	if !reflect.DeepEqual(f.backend.replay, one) {
		t.Errorf("query %+v", f.backend.replay)
	}
	f.ok(f.ask("POST", "/v1/replay?target=crm&state=delivered&type=a*&dry_run=true&limit=1000&after=z"),
		`"dry_run":true`)
	want := ReplayQuery{Target: "crm", State: "delivered", Type: "a*", DryRun: true,
		Page: Page{1000, "z"}}
	if !reflect.DeepEqual(f.backend.replay, want) {
		t.Errorf("query %+v", f.backend.replay)
	}
}

func TestExplainCall(t *testing.T) {
	f := newFixture(t)
	f.ok(f.askBody("POST", "/v1/explain?type=a&id=b&content_type="+url.QueryEscape("text/plain"),
		strings.Repeat("x", 100_000)), `"session":null,"targets":[]`)
	if got := strings.Join(f.backend.asked, ", "); got != "explain a b text/plain 100000" {
		t.Errorf("asked %q", got)
	}
	f.problem(f.askBody("POST", "/v1/explain", strings.Repeat("x", f.backend.BodyBytesMax()+1)), 413,
		codeTooLarge)
	f.problem(f.askBody("POST", "/v1/explain", "{}", "Origin: http://evil.example"), 403,
		codeForbidden)
	f.token = "secret"
	f.problem(f.askBody("POST", "/v1/explain", "{}"), 401, codeUnauthorized)
}

func TestExplanationsAreBounded(t *testing.T) {
	f := newFixture(t)
	f.backend.wait, f.backend.entered = make(chan struct{}), make(chan struct{})
	got := make(chan int)
	for range explainsMax {
		go func() { got <- f.askBody("POST", "/v1/explain", "{}").StatusCode }()
		<-f.backend.entered
	}
	a := f.askBody("POST", "/v1/explain", "{}")
	f.problem(a, 503, codeOverloaded)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(f.backend.wait)
	for range explainsMax {
		if status := <-got; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}
