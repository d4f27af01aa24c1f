package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusal is one request that must be refused and how.
type refusal struct {
	what   string
	status int
	code   string
	post   Post
	raw    string // instead of post
}

func refusals() []refusal {
	body := []byte(`{"eventType":"message"}`)
	header := func(name, value string) Post {
		return Post{Header: map[string]string{name: value}, Body: body}
	}
	big := []byte(`{"x":"` + strings.Repeat("x", 512<<10) + `"}`)
	return []refusal{
		{"dot in id", 400, "malformed", Post{ID: "a.b", Body: body}, ""},
		{"space in id", 400, "malformed", Post{ID: "a b", Body: body}, ""},
		{"long id", 400, "malformed", Post{ID: strings.Repeat("a", 257), Body: body}, ""},
		{"bad key", 400, "malformed", header("Idempotency-Key", "a.b"), ""},
		{"long type", 400, "malformed", Post{Type: strings.Repeat("a", 257), Body: body}, ""},
		{"type with NUL", 400, "malformed", Post{Path: "/v1/events/a%00b", Body: body}, ""},
		{"type not UTF-8", 400, "malformed", Post{Path: "/v1/events/%ff", Body: body}, ""},
		{"no type in path", 400, "malformed", Post{Path: "/v1/events/", Body: body}, ""},
		{"newline in a type of the body", 400, "malformed",
			Post{Body: []byte(`{"eventType":"a\nb"}`)}, ""},
		{"CloudEvent without id", 400, "malformed", Post{Header: map[string]string{
			"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s"}, Body: body}, ""},
		{"CloudEvent of 2.0", 400, "malformed", Post{Header: map[string]string{"ce-id": "1",
			"ce-specversion": "2.0", "ce-type": "t", "ce-source": "/s"}, Body: body}, ""},
		{"structured CloudEvent that is not JSON", 400, "malformed",
			Post{ContentType: "application/cloudevents+json", Body: []byte(`{"id":`)}, ""},
		{"another version", 505, "malformed", Post{},
			"POST /v1/events HTTP/9.9\r\nHost: relay\r\nContent-Length: 2\r\n\r\n{}"},
		{"length and chunks", 400, "malformed", Post{},
			RawPost("/v1/events", "0\r\n\r\n", "Transfer-Encoding: chunked")},
		{"not HTTP", 400, "malformed", Post{}, "hello\r\n\r\n"},
		{"unknown path", 404, "not_found", Post{Path: "/v1/nothing", Body: body}, ""},
		{"root", 404, "not_found", Post{Path: "/", Body: body}, ""},
		{"two segments", 404, "not_found", Post{Path: "/v1/events/a/b", Body: body}, ""},
		{"PUT", 405, "method_not_allowed", Post{Method: "PUT", Body: body}, ""},
		{"DELETE", 405, "method_not_allowed", Post{Method: "DELETE"}, ""},
		{"other body", 409, "id_conflict", Post{ID: "taken", Body: body}, ""},
		{"one byte too large", 413, "too_large", Post{Body: big}, ""},
		{"declared far too large", 413, "too_large", Post{}, "POST /v1/events HTTP/1.1\r\n" +
			"Host: relay\r\nContent-Length: 99999999\r\n\r\n"},
		{"gzip", 415, "unsupported_media_type", header("Content-Encoding", "gzip"), ""},
		{"unknown encoding", 415, "unsupported_media_type", header("Content-Encoding", "x"), ""},
		{"CloudEvents in Avro", 415, "unsupported_media_type",
			Post{ContentType: "application/cloudevents+avro", Body: body}, ""},
		{"CloudEvents batch in Avro", 415, "unsupported_media_type",
			Post{ContentType: "application/cloudevents-batch+avro", Body: body}, ""},
	}
}

// TestP7Refusals asserts every refusal of CONTRACT §4 that a caller can cause: status, code, a
// problem+json with a detail, Allow; that each is counted under its reason; and that nothing of a
// refused event is spooled.
func TestP7Refusals(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.Send(Post{ID: "taken", Body: []byte("something else")})
	counts := map[string]int{}
	for _, r := range refusals() {
		var a Answer
		if r.raw != "" {
			a = j.Raw(r.raw)
		} else {
			a = j.Relay.Post(r.post)
		}
		counts[r.code]++
		checkProblem(t, r.what, a, r.status, r.code)
		if allow := a.Header.Get("Allow"); r.status == 405 && allow != "GET, HEAD, POST" {
			t.Errorf("%s: Allow is %q", r.what, allow)
		}
	}
	m := j.Metrics()
	for code, want := range counts {
		if got := m.Get("events_refused_total", "reason", code); got != want {
			t.Errorf("events_refused_total{reason=%q} is %d, want %d", code, got, want)
		}
	}
	j.Ledger.AwaitDelivered()
	if s := j.Status(); s.Accepted != 1 || j.RX.Count("crm") != 1 {
		t.Errorf("%d events were accepted and %d delivered, want one", s.Accepted,
			j.RX.Count("crm"))
	}
}

func checkProblem(t *testing.T, what string, a Answer, status int, code string) {
	t.Helper()
	if a.Err != nil {
		t.Errorf("%s: no answer: %v", what, a.Err)
		return
	}
	p := a.Problem
	if a.Status != status || p.Code != code || p.Status != status {
		t.Errorf("%s: answered %d with code %q status %d, want %d %q: %s", what, a.Status, p.Code,
			p.Status, status, code, a.Body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: content type %q", what, got)
	}
	if p.Title == "" || p.Detail == "" || p.Type == "" {
		t.Errorf("%s: the problem does not say enough: %s", what, a.Body)
	}
}

// TestP7Token asserts that events need the token when there is one, that the refusal names the
// scheme, and that the token's value is nowhere in the answer.
func TestP7Token(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	const token = "canary-event-token-value"
	j.Config.Set("server.event_token", "env:EVENT_TOKEN")
	j.Env = []string{"EVENT_TOKEN=" + token}
	j.Start()
	f := func(status int, authorization string) {
		t.Helper()
		p := Post{Body: []byte(`{"eventType":"message"}`), Header: map[string]string{}}
		if authorization != "" {
			p.Header["Authorization"] = authorization
		}
		a := j.Post(p)
		if status == 200 && a.Status != 200 {
			t.Errorf("%q: answered %d", authorization, a.Status)
		}
		if status == 401 {
			checkProblem(t, authorization, a, 401, "unauthorized")
			if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%q: WWW-Authenticate is %q", authorization,
					a.Header.Get("WWW-Authenticate"))
			}
		}
		if strings.Contains(string(a.Body), token) {
			t.Errorf("%q: the answer shows the token", authorization)
		}
	}
	f(401, "")
	f(401, "Bearer wrong")
	f(401, "Bearer "+token+"x")
	f(401, "Bearer")
	f(401, "Basic "+token)
	f(200, "Bearer "+token)
	f(200, "bearer "+token)
}

// TestP7SpoolFull asserts that a full spool refuses with 507, Retry-After and a reason, accepts
// nothing of what it refused, keeps everything it had accepted, and accepts again when deliveries
// have made room: the smallest that may be, in which each file counts.
func TestP7SpoolFull(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "status", "paused")
	j.Config.Set("spool.max_size", "4MiB").Set("spool.keep_delivered", "0s")
	j.Start()
	accepted := 0
	var full Answer
	for i := range 400 {
		full = j.Post(Post{ID: fmt.Sprint("big-", i), Body: Payload(rng, "message", 60<<10)})
		if full.Status != 200 {
			break
		}
		accepted++
	}
	checkProblem(t, "full", full, 507, "spool_full")
	if full.Header.Get("Retry-After") == "" || accepted < 20 {
		t.Errorf("after %d events: Retry-After %q", accepted, full.Header.Get("Retry-After"))
	}
	if s := j.Status(); int(s.Pending) != accepted {
		t.Errorf("%d accepted, %d pending", accepted, s.Pending)
	}
	j.Config.Set("target.crm.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
	Until(t, 2*Patience, "room for events again", func() bool {
		return j.Post(Post{ID: "after", Body: Payload(rng, "message", 60<<10)}).Status == 200
	})
}

// TestP7DiskShort asserts that too little free disk refuses events with 507, and is said before:
// the relay is not ready, and says why.
func TestP7DiskShort(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("spool.min_free_disk", "900TiB")
	if err := j.StartUnready(); err != nil {
		t.Fatal(err)
	}
	s := j.Status()
	if s.Ready || len(s.Unready) == 0 {
		t.Errorf("it is ready: %v %q", s.Ready, s.Unready)
	}
	if code, _ := j.Admin("GET", "/readyz"); code != 503 {
		t.Errorf("readyz answers %d", code)
	}
	Until(t, Patience, "the events listener", func() bool {
		s = j.Status()
		return listenURL(s.Listen) != ""
	})
	url := listenURL(s.Listen)
	j.events.Store(&url)
	a := j.Post(Post{Body: []byte(`{"eventType":"message"}`)})
	checkProblem(t, "short", a, 507, "spool_full")
}

// TestP7CloudEvents asserts the three modes of CloudEvents 1.0: binary, structured and batch; that
// id and source make the id; that attributes are delivered; and that one bad event refuses a batch.
func TestP7CloudEvents(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	binary := Post{Header: map[string]string{"ce-specversion": "1.0", "ce-type": "order.paid",
		"ce-source": "/shop a.b", "ce-id": "1 2.3", "ce-extra": "yes"}, Body: []byte(`{"n":1}`)}
	a := j.Send(binary)
	got := j.RX.AwaitID("crm", a.ID)
	if got.Type != "order.paid" || got.Header.Get("ce-id") != "1 2.3" ||
		got.Header.Get("ce-extra") != "yes" || strings.ContainsAny(a.ID, ". ") {
		t.Errorf("binary: id %q, type %q, headers %v", a.ID, got.Type, got.Header)
	}
	if again := j.Send(binary); !again.Duplicate || again.ID != a.ID {
		t.Errorf("binary again: %+v", again.Accepted)
	}
	const event = `{"specversion":"1.0","type":"order.paid","source":"/shop","id":"%s","data":{"n":%d}}`
	structured := Post{ContentType: "application/cloudevents+json; charset=utf-8",
		Body: fmt.Appendf(nil, event, "s", 1)}
	a = j.Send(structured)
	if got := j.RX.AwaitID("crm", a.ID); got.Type != "order.paid" {
		t.Errorf("structured: type %q", got.Type)
	}
	if again := j.Send(structured); !again.Duplicate {
		t.Errorf("structured again: %+v", again.Accepted)
	}
	batchCE(t, j, event)
}

func batchCE(t *testing.T, j *Journey, event string) {
	t.Helper()
	j.Ledger.AllowForeign()
	batch := func(ids ...string) Answer {
		var all []string
		for n, id := range ids {
			all = append(all, fmt.Sprintf(event, id, n))
		}
		return j.Relay.Post(Post{ContentType: "application/cloudevents-batch+json",
			Body: []byte("[" + strings.Join(all, ", ") + "]")})
	}
	a := batch("b0", "b1", "b2")
	if a.Status != 200 || len(a.Events) != 3 {
		t.Fatalf("batch: answered %d %s", a.Status, a.Body)
	}
	for n, e := range a.Events {
		got := j.RX.AwaitID("crm", e.ID)
		if want := fmt.Sprintf(event, fmt.Sprint("b", n), n); string(got.Body) != want ||
			got.Header.Get("Content-Type") != "application/cloudevents+json" {
			t.Errorf("batch: event %d arrived as %q %q", n, got.Header.Get("Content-Type"),
				got.Body)
		}
	}
	// The same place: duplicates. Another place in the batch: the same id with another body.
	if a := batch("b0", "b1"); a.Status != 200 || !a.Events[0].Duplicate || !a.Events[1].Duplicate {
		t.Errorf("batch again: %d %s", a.Status, a.Body)
	}
	a = batch("new", "b0", "b1")
	checkProblem(t, "conflict in a batch", a, 409, "id_conflict")
	if !slices.Equal(a.Problem.Lines, []int{2, 3}) {
		t.Errorf("conflict in a batch: lines %v, want 2 and 3", a.Problem.Lines)
	}
	a = batch("new2", "", "new3")
	checkProblem(t, "bad event in a batch", a, 400, "malformed")
	if !slices.Equal(a.Problem.Lines, []int{2}) {
		t.Errorf("bad event in a batch: lines %v, want 2", a.Problem.Lines)
	}
	if n := j.RX.Count("crm"); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
}

// TestP7ReadTimeout asserts that a request which does not arrive within read_timeout is refused and
// cut off, and that a connection which is merely idle for longer than that hears nothing, as an
// answer there would be taken for that of the next request, and can go on.
func TestP7ReadTimeout(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "300ms")
	j.Start()
	a := j.Raw("POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Length: 10\r\n\r\n12345")
	checkProblem(t, "half a request", a, 400, "malformed")
	conn, err := net.Dial("tcp", j.EventsAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range 2 {
		_ = conn.SetDeadline(time.Now().Add(requestTimeout))
		if _, err := io.WriteString(conn, RawPost("/v1/events", "{}")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.Ledger.Note(Post{Body: []byte("{}")}, readAnswer(resp))
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		rest, err := in.Peek(1)
		if netErr := net.Error(nil); !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Fatalf("on an idle connection the relay said %q, %v", rest, err)
		}
		in.Reset(conn)
	}
}
