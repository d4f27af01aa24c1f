package relay

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
)

// asking is a receiver that answers one thing until it is told another, with a Retry-After.
type asking struct {
	*httptest.Server
	status, requests atomic.Int64
	mu               sync.Mutex
	after            string
}

func newAsking(t *testing.T, status int, after string) *asking {
	a := &asking{after: after}
	a.status.Store(int64(status))
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.ReadAll(q.Body)
		a.requests.Add(1)
		a.mu.Lock()
		if a.after != "" {
			w.Header().Set("Retry-After", a.after)
		}
		a.mu.Unlock()
		w.WriteHeader(int(a.status.Load()))
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *asking) says(status int, after string) {
	a.mu.Lock()
	a.after = after
	a.mu.Unlock()
	a.status.Store(int64(status))
}

// A target that asks to be left alone gets nothing until then, neither live nor by a job. What it was
// not sent stays in the log, goes out by itself when the time has come, and was charged nothing.
func TestGateHoldsTheTarget(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newAsking(t, 429, "3600")
	const most = 1500 * time.Millisecond
	f.target("crm", rx.URL, func(t *config.Target) { t.RetryAfterMax = most })
	f.start()
	f.post("/v1/events/x", "first")
	l := f.laneNamed("crm")
	f.failedLive("crm")
	until := shutUntil(l)
	if until.IsZero() || time.Until(until) > most {
		t.Fatalf("the gate is shut until %v; want at most %s", until, most)
	}
	rx.says(200, "")
	for range 5 {
		f.post("/v1/events/x", "later")
	}
	f.runTick()
	if c := l.spool.Counts(); time.Now().Before(until) && (rx.requests.Load() != 1 || c.Fresh != 5) {
		t.Errorf("%d requests, %d fresh; want 1 and 5", rx.requests.Load(), c.Fresh)
	}
	if got, _ := f.Target("crm"); time.Now().Before(until) &&
		(got.HeldUntil == nil || !got.HeldUntil.Equal(until)) {
		t.Errorf("the target says it is held until %v; want %v", got.HeldUntil, until)
	}
	f.wait("what is fresh", func() bool { return l.spool.Counts().Delivered == 5 })
	if now := time.Now(); now.Before(until) {
		t.Errorf("it went on %s too early", until.Sub(now))
	}
	if c := l.spool.Counts(); c.Pending != 1 {
		t.Errorf("%d are pending; what failed waits for its tick", c.Pending)
	}
	f.runTick()
	f.wait("the rest", func() bool { return l.spool.Counts().Pending == 0 })
	if n := rx.requests.Load(); n != 7 {
		t.Errorf("%d requests; want 7", n)
	}
}

// A job whose target asks to be left alone ends, and charges only what it tried. It has failed if
// that was all. A restart changes nothing of the gate.
func TestGateEndsAJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newAsking(t, 500, "")
	f.target("crm", rx.URL, func(t *config.Target) { t.Concurrency = 1 })
	f.start()
	for range 20 {
		f.post("/v1/events/x", "body")
	}
	f.wait("the live attempts", func() bool { return f.laneNamed("crm").spool.Counts().Fresh == 0 })
	rx.says(503, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	f.runTick()
	if n := rx.requests.Load(); n != 21 {
		t.Errorf("the job made %d requests; want 1", n-20)
	}
	until := shutUntil(f.laneNamed("crm"))
	if left := time.Until(until); left < 58*time.Minute || left > time.Hour+time.Second {
		t.Errorf("the gate is shut for %s", left)
	}
	f.restart()
	l := f.laneNamed("crm")
	if got := shutUntil(l); !got.Equal(until) {
		t.Errorf("after a restart it is shut until %v; want %v", got, until)
	}
	if n := l.failedJobs(); n != 1 {
		t.Errorf("%d failed jobs; want 1", n)
	}
	f.runTick()
	page, err := f.Deliveries(admin.Query{Target: "crm", State: "pending",
		Page: admin.Page{Limit: 100}})
	charged := 0
	for _, d := range page.Deliveries {
		charged += d.Attempts
	}
	if n := int(rx.requests.Load()); err != nil || n != 21 || charged != 21 {
		t.Errorf("%d requests, %d charged (%v); want 21", n, charged, err)
	}
}

// An operator cannot send to a target that is held but by releasing it, or by a reload that makes
// it ask for less.
func TestGateByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newAsking(t, 503, "600")
	f.target("crm", rx.URL)
	f.start()
	f.post("/v1/events/x", "body")
	f.failedLive("crm")
	var no *admin.Error
	if _, err := f.Retry(order("crm")); !errors.As(err, &no) || no.Code != "held" ||
		!strings.Contains(no.Detail, "left alone until") {
		t.Errorf("retry says %v", err)
	}
	rx.says(200, "")
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.post("/v1/events/x", "fresh")
	l := f.laneNamed("crm")
	f.wait("a live attempt", func() bool { return l.spool.Counts().Delivered == 1 })
	rx.says(503, "600")
	f.post("/v1/events/x", "again")
	f.wait("the gate", func() bool { return shut(l) })
	f.post("/v1/events/x", "behind it")
	rx.says(200, "")
	next := f.cfg
	next.Targets = append([]config.Target(nil), f.cfg.Targets...)
	next.Targets[0].RetryAfterMax = 0
	if err := f.apply(&next); err != nil {
		t.Fatal(err)
	}
	f.wait("a live attempt", func() bool { return l.spool.Counts().Delivered == 2 })
}

// What is no Retry-After, or has passed, or comes with another status, holds nothing.
func TestGateIgnores(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newAsking(t, 503, "soon")
	f.target("crm", rx.URL)
	f.start()
	l := f.laneNamed("crm")
	for i, c := range []struct {
		status int
		after  string
	}{{503, "soon"}, {429, "0"}, {429, "-5"}, {503, "Sat, 28 Nov 2015 12:00:30 GMT"}, {500, "60"},
		{301, "60"}, {200, "60"}} {
		rx.says(c.status, c.after)
		f.post("/v1/events/x", "body")
		f.wait("the attempt", func() bool { return l.spool.Counts().Fresh == 0 })
		if n := rx.requests.Load(); n != int64(i+1) || shut(l) {
			t.Errorf("%d with %q: %d requests, shut: %t", c.status, c.after, n, shut(l))
		}
	}
}

// The gate goes with the lane: whoever has it next leaves the target alone until the same instant.
func TestGateGoesWithTheLane(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	rx := newAsking(t, 503, "600")
	f.target("crm", rx.URL)
	f.start()
	f.post("/v1/events/x", "body")
	f.failedLive("crm")
	l := f.laneNamed("crm")
	f.wait("the gate", func() bool { return shut(l) })
	f.wait("its storing", func() bool { return !l.spool.Standing().ShutUntil.IsZero() })
	until := shutUntil(l)
	f.give(o, "crm", 0)
	f.post("/v1/events/x", "for whoever has it")
	if got := shutUntil(l); !got.Equal(until) {
		t.Errorf("elsewhere it is shut until %v; want %v", got, until)
	}
	f.give(o, "crm", 7)
	f.runTick()
	if got := shutUntil(l); !got.Equal(until) || rx.requests.Load() != 1 {
		t.Errorf("back again it is shut until %v, after %d requests; want %v, 1", got,
			rx.requests.Load(), until)
	}
}
