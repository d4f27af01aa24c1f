package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestP1AnswerMeansSpooled kills the relay directly after each answer, while the target is down,
// and asserts that every answered event is delivered after the restart: lone events and a batch.
func TestP1AnswerMeansSpooled(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "50ms")
	j.Ledger.AllowGaps() // connections refused are attempts that the receiver cannot see
	j.Start()
	for round := range 4 {
		j.RX.Down()
		if round%2 == 0 {
			j.Send(Post{ID: fmt.Sprint("lone-", round), Body: Payload(rng, "message", 700)})
		} else {
			var lines [][]byte
			for range 200 {
				lines = append(lines, Payload(rng, "message", 300))
			}
			j.SendBatch(lines...)
		}
		j.Kill()
		j.RX.Up()
		j.Start()
		j.Ledger.AwaitDelivered()
	}
	j.Ledger.Check()
}

// TestP1BatchIsAllOrNothing asserts that one bad line refuses an NDJSON batch with the numbers of
// all bad lines, that nothing of a refused batch is spooled, that a good one is answered in order
// and reaches the disk with one sync.
func TestP1BatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("held", j.RX.URL("held"), "status", "paused")
	j.Config.Set("server.max_body_size", "2KiB")
	j.Start()
	good := `{"eventType":"message","n":1}`
	long := `{"eventType":"message","x":"` + strings.Repeat("x", 3000) + `"}`
	f := func(status int, code string, lines []int, body ...string) {
		t.Helper()
		a := j.Post(Post{ContentType: "application/x-ndjson",
			Body: []byte(strings.Join(body, "\n"))})
		if a.Status != status || a.Problem.Code != code || !slices.Equal(a.Problem.Lines, lines) {
			t.Errorf("answered %d %q lines %v, want %d %q %v; %s", a.Status, a.Problem.Code,
				a.Problem.Lines, status, code, lines, a.Body)
		}
	}
	f(400, "malformed", []int{2}, good, `{"eventType":`, good)
	f(400, "malformed", []int{1, 3}, `nope`, good, `{]`)
	// Blank lines hold no event but have a number.
	f(400, "malformed", []int{4}, good, "", good, `{`)
	f(413, "too_large", []int{2}, good, long)
	f(413, "too_large", nil, slices.Repeat([]string{`1`}, 10_001)...)
	if s := j.Status(); s.Accepted != 0 || s.Pending != 0 {
		t.Fatalf("refused batches left %d accepted, %d pending", s.Accepted, s.Pending)
	}
	before := j.Metrics()
	var lines [][]byte
	for i := range 1000 {
		lines = append(lines, fmt.Appendf(nil, `{"eventType":"message","n":%d}`, i))
	}
	a := j.SendBatch(lines...)
	if len(a.Events) != 1000 || a.Events[999].Duplicate || len(a.Events[7].Targets) != 1 {
		t.Fatalf("a batch of 1000 was answered with %d events", len(a.Events))
	}
	after := j.Metrics()
	syncs := after.Get("spool_commit_events_count") - before.Get("spool_commit_events_count")
	if syncs > 2 {
		t.Errorf("a batch of 1000 took %d syncs, want one", syncs)
	}
	pending := j.Deliveries("held", "pending")
	if len(pending) != 1000 || pending[0].ID != a.Events[0].ID || pending[999].ID != a.Events[999].ID {
		t.Errorf("the batch is not pending in its order: %d deliveries", len(pending))
	}
	// What the config holds the API cannot release.
	if code, body := j.Admin("POST", "/v1/targets/held/resume"); code != 409 {
		t.Errorf("resume of a target that the config holds answered %d: %s", code, body)
	}
	if n := j.RX.Count("held"); n != 0 {
		t.Errorf("a paused target got %d requests", n)
	}
}

// TestP1Dedupe asserts what an id supplied by the app means: the same id and body again is a
// duplicate (200, nothing spooled), another body is a conflict, both also after a kill and a clean
// restart; of concurrent posts of one id exactly one is not a duplicate.
func TestP1Dedupe(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	ask := func(when string, want int, duplicate bool, p Post) {
		t.Helper()
		a := j.Post(p)
		if a.Status != want || a.Duplicate != duplicate {
			t.Fatalf("%s: answered %d duplicate %v, want %d %v: %s", when, a.Status, a.Duplicate,
				want, duplicate, a.Body)
		}
		if want == 409 && a.Problem.Code != "id_conflict" {
			t.Fatalf("%s: the code is %q", when, a.Problem.Code)
		}
	}
	one := Post{ID: "order-1", Body: []byte(`{"eventType":"message","a":1}`)}
	other := Post{ID: "order-1", Body: []byte(`{"eventType":"message","a":2}`)}
	key := Post{Header: map[string]string{"Idempotency-Key": "order-1"}, Body: one.Body}
	ask("first", 200, false, one)
	for _, when := range []string{"at once", "after kill -9", "after a restart"} {
		ask(when, 200, true, one)
		ask(when, 200, true, key)
		ask(when, 409, false, other)
		switch when {
		case "at once":
			j.Kill()
			j.Start()
		case "after kill -9":
			j.Ledger.AwaitDelivered() // or the restart might repeat what was in flight
			j.Restart()
		}
	}
	fresh := concurrentPosts(j, Post{ID: "order-2", Body: one.Body}, 32)
	if fresh != 1 {
		t.Errorf("of 32 concurrent posts of one id, %d were answered as new", fresh)
	}
	j.Ledger.AwaitDelivered()
	if n := j.RX.CountID("crm", "order-2"); n != 1 {
		t.Errorf("the event was sent %d times", n)
	}
	if n := j.Metrics().Get("events_duplicate_total"); n != 31+2 {
		t.Errorf("events_duplicate_total is %d, want 33 since the restart", n)
	}
}

// concurrentPosts posts the same at once n times and counts the answers that are no duplicate.
func concurrentPosts(j *Journey, p Post, n int) int {
	var all sync.WaitGroup
	answers := make([]Answer, n)
	for i := range n {
		all.Go(func() { answers[i] = j.Post(p) })
	}
	all.Wait()
	fresh := 0
	for _, a := range answers {
		if a.Status == 200 && !a.Duplicate {
			fresh++
		}
	}
	return fresh
}

// TestP1DedupeWindowEnds asserts that an id is forgotten when its window is over.
func TestP1DedupeWindowEnds(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Ledger.AllowForeign()
	j.Config.Set("event.dedupe_window", "1h")
	j.Start()
	p := Post{ID: "again", Body: []byte(`{"eventType":"message"}`)}
	if a := j.Relay.Post(p); a.Status != 200 || a.Duplicate {
		t.Fatalf("answered %d %s", a.Status, a.Body)
	}
	if a := j.Relay.Post(p); !a.Duplicate {
		t.Fatalf("within the window: answered %d %s", a.Status, a.Body)
	}
	j.Config.Set("event.dedupe_window", "1s")
	j.Reload()
	Until(t, Patience, "the window to end", func() bool { return !j.Relay.Post(p).Duplicate })
	j.RX.Await("crm", 2)
}

// TestP1UnixSocket asserts that events and the admin API are served over Unix sockets, which
// survive a kill -9: the next start takes the path over.
func TestP1UnixSocket(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	events := filepath.Join(j.Dir, "events.sock")
	j.Config.Set("server.listen", []string{"unix:" + events, "127.0.0.1:0"})
	j.Config.Set("server.admin_listen", "unix:"+filepath.Join(j.Dir, "admin.sock"))
	j.Start()
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", events)
		}}}
	for _, id := range []string{"by-socket-1", "by-socket-2"} {
		p := Post{ID: id, Body: []byte(`{"eventType":"message"}`)}
		a := (&Client{http: client}).post("http://localhost", p)
		j.Ledger.Note(p, a)
		if a.Err != nil || a.Status != 200 {
			t.Fatalf("answered %d %v", a.Status, a.Err)
		}
		j.RX.AwaitID("crm", id)
		j.Kill()
		j.Start()
	}
}

// TestP1Probes asserts that GET and HEAD on the event paths answer 200 and accept nothing.
func TestP1Probes(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{"/v1/events", "/v1/events/message"} {
			if a := j.Relay.Post(Post{Method: method, Path: path}); a.Status != 200 {
				t.Errorf("%s %s answered %d", method, path, a.Status)
			}
		}
	}
	if n := j.Status().Accepted; n != 0 {
		t.Errorf("probes made %d events", n)
	}
}

// TestP1NobodyWantsIt asserts that an event without a target is answered 200 with no targets, is
// counted and not spooled, and that made ids are sortable, have their prefix and no dot.
func TestP1NobodyWantsIt(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"order*", "exactly"})
	j.Start()
	wanted := map[string]bool{"order": true, "orderPaid": true, "exactly": true, "exactly_v2": false,
		"Order": false, "message": false, "": false}
	n := 0
	for typ, want := range wanted {
		a := j.Send(Post{Body: fmt.Appendf(nil, `{"eventType":%q}`, typ)})
		if (len(a.Targets) == 1) != want || bytes.Contains(a.Body, []byte("null")) {
			t.Errorf("type %q was answered %s", typ, a.Body)
		}
		if !want {
			n++
		}
	}
	var ids []string
	for range 20 {
		ids = append(ids, j.Send(Post{Type: "order", Body: []byte("x")}).ID)
	}
	if !slices.IsSorted(ids) || !strings.HasPrefix(ids[0], "evt_") ||
		strings.ContainsAny(ids[0], ". ") {
		t.Errorf("ids %v are not sorted evt_ ids", ids)
	}
	m := j.Metrics()
	if got := m.Get("events_unmatched_total"); got != n {
		t.Errorf("events_unmatched_total is %d, want %d", got, n)
	}
	j.Ledger.AwaitDelivered()
}

// TestP1TypePrecedence asserts where a type comes from: path, webhook-event-type, ce-type, the
// field of the body, default_type.
func TestP1TypePrecedence(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("event.type_field", "meta.kind").Set("event.default_type", "fallback")
	j.Start()
	const inBody = `{"meta":{"kind":"body"}}`
	f := func(want string, p Post) {
		t.Helper()
		id := j.Send(p).ID
		if got := j.RX.AwaitID("crm", id).Type; got != want {
			t.Errorf("the type is %q, want %q", got, want)
		}
	}
	ce := map[string]string{"ce-type": "cloud"}
	f("path", Post{Path: "/v1/events/path", Type: "header", Header: ce, Body: []byte(inBody)})
	f("header", Post{Type: "header", Header: ce, Body: []byte(inBody)})
	f("cloud", Post{Header: ce, Body: []byte(inBody)})
	f("body", Post{Body: []byte(inBody)})
	f("fallback", Post{Body: []byte(`{"eventType":"not asked for"}`)})
	// What is not JSON, or has no string there, is opaque and accepted.
	f("fallback", Post{Body: []byte(`{"meta":{"kind":7}}`)})
	f("fallback", Post{Body: []byte(`{"meta":{"kind":"body"`)})
	f("fallback", Post{ContentType: "text/plain", Body: []byte("hello")})
	f("fallback", Post{Body: nil})
	// The path is one segment, percent-decoded.
	f("a/b c%", Post{Path: "/v1/events/a%2Fb%20c%25", Body: []byte(`{}`)})
}

// TestP1LoneEventIsNotHeldBack asserts that a lone event does not wait for a group to fill.
func TestP1LoneEventIsNotHeldBack(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.SendIDs("warm", 5)
	// What holds an event back holds every one back; a busy machine delays some.
	i := 0
	Until(t, Patience, "a lone event to be answered within 100 ms", func() bool {
		i++
		began := time.Now()
		j.Send(Post{ID: fmt.Sprint("lone-", i), Body: []byte(`{"eventType":"message"}`)})
		return time.Since(began) < 100*time.Millisecond
	})
}
