package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// inBatches is a target that gets up to so many events in one request.
func inBatches(most int, more ...func(*config.Target)) func(*config.Target) {
	return func(t *config.Target) {
		t.Batch = config.Batch{MaxEvents: most, MaxWait: 50 * time.Millisecond, Format: "cloudevents"}
		for _, change := range more {
			change(t)
		}
	}
}

// elements are the data of the events of each request, by id.
func (r *receiver) elements(t *testing.T) (requests []map[string]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range r.bodies {
		var list []struct {
			ID   string          `json:"hookspooldata"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("%v: %.200s", err, body)
		}
		in := make(map[string]string)
		for _, e := range list {
			in[e.ID] = string(e.Data)
		}
		requests = append(requests, in)
	}
	return requests
}

// postHeld posts events e-0 to e-(n-1) while the lane is held, so that they go out together.
func (f *fixture) postHeld(l *lane, n int) {
	f.t.Helper()
	if err := l.hold(true, ""); err != nil {
		f.t.Fatal(err)
	}
	for i := range n {
		f.post("/v1/events/x", fmt.Sprintf(`{"n":%d}`, i), "webhook-id", fmt.Sprint("e-", i),
			"content-type", "application/json")
	}
	if err := l.hold(false, ""); err != nil {
		f.t.Fatal(err)
	}
}

// Each event of a batch is transformed by itself before it is packed. One on which the program fails
// is not in the batch, and waits uncharged with outcome transform; the others go on.
func TestBatchTransforms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, inBatches(100, func(t *config.Target) {
		t.Transform = `if .n == 0 or .n == 3 then error else {got: .n} end`
	}))
	f.start()
	l := f.laneNamed("crm")
	f.postHeld(l, 6)
	f.wait("the others", func() bool { return l.spool.Counts().Delivered == 4 })
	f.wait("those that fail to wait", func() bool { return l.spool.Counts().Fresh == 0 })
	for range 2 {
		f.runTick()
		f.synced()
	}
	f.wantUncharged(l)
	want := map[string]string{"e-1": `{"got":1}`, "e-2": `{"got":2}`, "e-4": `{"got":4}`,
		"e-5": `{"got":5}`}
	if got := rx.elements(t); len(got) != 1 || !maps.Equal(got[0], want) {
		t.Errorf("the target got %v, want one request with %v", got, want)
	}
	if n := counted(l.m().attempts[attempt.Transform]); n != 6 {
		t.Errorf("%g attempts with outcome transform; want 2, and 2 at each tick", n)
	}
	f.reload(func(c *config.Config) { c.Targets[0].Transform = `{day: .n}` })
	f.runTick()
	f.wait("the rest", func() bool { return l.spool.Counts().Pending == 0 })
	want = map[string]string{"e-0": `{"day":0}`, "e-3": `{"day":3}`}
	if got := rx.elements(t); len(got) != 2 || !maps.Equal(got[1], want) {
		t.Errorf("then the target got %v, want %v", got, want)
	}
	if got := rx.attempts(); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("attempts %v", got)
	}
}

// A delivery that is too old, also by now, is not in the batch and ends expired; the others go on.
func TestBatchExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, inBatches(100))
	f.start()
	l := f.laneNamed("crm")
	if err := l.hold(true, ""); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		at := time.Now().Add(time.Duration(i%2)*time.Hour - time.Minute).UTC().Format(time.RFC3339)
		f.post("/v1/events/x", "1", "content-type", "application/json", "ce-specversion", "1.0",
			"ce-type", "x", "ce-source", "t", "ce-id", fmt.Sprint("e-", i), "ce-expirytime", at)
	}
	if err := l.hold(false, ""); err != nil {
		t.Fatal(err)
	}
	f.wait("all", func() bool { return l.spool.Counts().Pending == 0 })
	if c := l.spool.Counts(); c.Expired != 2 || c.Delivered != 2 {
		t.Errorf("%+v; want 2 expired and 2 delivered", c)
	}
	if got := rx.elements(t); len(got) != 1 || len(got[0]) != 2 {
		t.Errorf("the target got %v, want one request with e-1 and e-3", got)
	}
}

// A batch takes one turn of a target's rate, whatever is in it; a pause and a reload are not held up
// by one that waits for its turn, and nothing of it is lost.
func TestBatchInTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, inBatches(10, rated(5, time.Second)))
	f.start()
	l := f.laneNamed("crm")
	began := time.Now()
	f.postHeld(l, 80)
	f.wait("all", func() bool { return l.spool.Counts().Pending == 0 })
	if took := time.Since(began); took < 500*time.Millisecond || took > 10*time.Second {
		t.Errorf("8 requests at 5/s, with 5 at once, took %s", took)
	}
	if n := rx.count(); n != 8 {
		t.Errorf("%d requests for 80 events in batches of 10", n)
	}
	f.reload(func(c *config.Config) { rated(1, time.Hour)(&c.Targets[0]) })
	for i := range 30 {
		f.post("/v1/events/x", "1", "webhook-id", fmt.Sprint("late-", i))
	}
	f.wait("the one turn that there is", func() bool { return rx.count() == 9 })
	began = time.Now()
	if err := errors.Join(l.hold(true, ""), l.hold(false, "")); err != nil {
		t.Fatal(err)
	}
	f.reload(func(c *config.Config) { c.Targets[0].Rate = config.Rate{} })
	f.wait("the rest", func() bool { return l.spool.Counts().Pending == 0 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a pause and a reload were held up for %s", took)
	}
}

// The answer to a batch shuts the gate: nothing more is sent, and each delivery of it was charged
// once.
func TestBatchShutsTheGate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newAsking(t, 503, "3600")
	f.target("crm", rx.URL, inBatches(5, func(t *config.Target) {
		t.RetryAfterMax, t.Concurrency = time.Hour, 1
	}))
	f.start()
	l := f.laneNamed("crm")
	f.postHeld(l, 20)
	f.wait("the gate", func() bool { return shut(l) })
	f.wait("the answer to be settled", func() bool { return l.spool.Counts().Fresh == 15 })
	f.runTick()
	f.synced()
	if c := l.spool.Counts(); rx.requests.Load() != 1 || c.Fresh != 15 || c.Pending != 20 {
		t.Errorf("%d requests, %+v; want one, which 5 of 20 were in", rx.requests.Load(), c)
	}
}

// Deliveries of a batch that failed live are retried before the tick, together.
func TestBatchRetriedEarly(t *testing.T) {
	t.Parallel()
	const n = 8
	f := newFixture(t)
	rx := newReceiver(t, func(n int) int { return []int{500, 200}[min(n, 1)] })
	f.target("crm", rx.URL, inBatches(n, earlyAfter(20*time.Millisecond)))
	f.start()
	l := f.laneNamed("crm")
	f.postHeld(l, n)
	f.wait("the early retries", func() bool { return l.spool.Counts().Delivered == n })
	got := rx.elements(t)
	if most := n/2 + 1; len(got) < 3 || len(got) > most || len(got[0]) != n {
		t.Errorf("%d requests: %v; want all in one, then halves of it", len(got), got)
	}
	again := make(map[string]string)
	for _, in := range got[1:] {
		maps.Copy(again, in)
	}
	if !maps.Equal(again, got[0]) {
		t.Errorf("retried %v of %v", again, got[0])
	}
	if a := rx.attempts(); slices.Contains(a[1:], 0) || slices.Max(a) != 1 {
		t.Errorf("attempts %v", a)
	}
	f.wait("nothing to be tried any more", func() bool { return l.early.Busy() == nil })
}

// Each delivery of a batch has the attempts that the target allows, no more and no fewer, and what
// ends a job early is counted in requests.
func TestBatchAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(500))
	f.target("crm", rx.URL, inBatches(4, func(t *config.Target) { t.MaxAttempts = 2 }))
	gone := newReceiver(t, always(500))
	f.target("gone", gone.URL, inBatches(8, func(t *config.Target) { t.Concurrency = 1 }))
	gone.Close()
	f.cfg.Retry.StopJobAfter = 3
	f.start()
	l, dead := f.laneNamed("crm"), f.laneNamed("gone")
	if err := dead.hold(true, ""); err != nil {
		t.Fatal(err)
	}
	f.postHeld(l, 4)
	for i := range 20 {
		f.post("/v1/events/x", "1", "webhook-id", fmt.Sprint("late-", i),
			"content-type", "application/json")
	}
	if err := dead.hold(false, ""); err != nil {
		t.Fatal(err)
	}
	live := func() bool { return l.spool.Counts().Fresh == 0 && dead.spool.Counts().Fresh == 0 }
	f.wait("the live attempts", live)
	failed := func() float64 { return counted(dead.m().attempts[attempt.Connect]) }
	if n := failed(); n != 24 {
		t.Errorf("%g live attempts failed, want 24", n)
	}
	f.runTick()
	// The job goes on with halves of 8, and stops after three requests.
	if n := failed() - 24; n != 12 {
		t.Errorf("the job tried %g deliveries; want 12, in three requests", n)
	}
	f.runTick()
	f.wait("exhaustion", func() bool { return l.spool.Counts().Exhausted == 24 })
	tries := make(map[string]int)
	for _, in := range rx.elements(t) {
		for id := range in {
			tries[id]++
		}
	}
	for id, n := range tries {
		if n != 3 {
			t.Errorf("%s was sent %d times, want 3", id, n)
		}
	}
	if len(tries) != 24 {
		t.Errorf("%d events were sent, want 24", len(tries))
	}
}

// A sample and a preview are a batch of one, with what the target's program makes.
func TestBatchOfOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, inBatches(10, func(t *config.Target) { t.Transform = `{made: "so"}` }))
	f.start()
	s, err := desk{f.Relay}.Sample(context.Background(), "crm", admin.SampleQuery{Type: "message"})
	if got := rx.elements(t); err != nil || !s.Acknowledged || len(got) != 1 ||
		got[0][s.ID] != `{"made":"so"}` {
		t.Errorf("%+v, %v: %v", s, err, got)
	}
	if h := rx.requests[0].Header; h.Get("webhook-sample") != "true" ||
		h.Get("content-type") != "application/cloudevents-batch+json" {
		t.Errorf("the sample's head is %v", h)
	}
	var d spool.Draft = *f.drafted("message", `{"a":1}`)
	d.ID, d.Given = "e-1", true
	l := f.laneNamed("crm")
	w := l.work.Load()
	text := string(preview(w.target, subject{client: w.client, bytesMax: 1 << 20},
		must(t)((&subject{transform: w.transform, bytesMax: 1 << 20}).transformed(&d))))
	if !strings.Contains(text, `[{"hookspooldata":"e-1"`) || !strings.Contains(text, `{"made":"so"}`) {
		t.Errorf("the preview is %s", text)
	}
}

// must is for the tests that a draft without an error is all that matters to.
func must(t *testing.T) func(*spool.Draft, error) *spool.Draft {
	return func(d *spool.Draft, err error) *spool.Draft {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}
