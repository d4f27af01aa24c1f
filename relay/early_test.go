package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

func earlyAfter(waits ...time.Duration) func(*config.Target) {
	return func(t *config.Target) { t.EarlyRetries = waits }
}

// everyOnce fails if an attempt of an event came twice, or one is missing between two.
func (r *receiver) everyOnce(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]int)
	for _, q := range r.requests {
		id, attempt := q.Header.Get("webhook-id"), q.Header.Get("webhook-attempt")
		if want := fmt.Sprint(next[id]); attempt != want {
			t.Errorf("event %s: attempt %s came where %s was to", id, attempt, want)
		}
		next[id]++
	}
}

// A live attempt that failed is made again before the tick. Those that fail, too, are no failed job,
// and each is one of the delivery's attempts.
func TestEarlyRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	crm := newReceiver(t, func(n int) int {
		if n == 0 {
			return 503
		}
		return 200
	})
	dead := newReceiver(t, always(500))
	f.target("crm", crm.URL, earlyAfter(20*time.Millisecond))
	f.target("dead", dead.URL, earlyAfter(10*time.Millisecond, 20*time.Millisecond))
	f.cfg.Retry.MaxAttempts = 4
	f.start()
	began := time.Now()
	f.post("/v1/events/x", "body")
	f.wait("the early retry", func() bool { return f.laneNamed("crm").spool.Counts().Delivered == 1 })
	f.wait("the early retries", func() bool { return dead.count() == 3 })
	// One whose outcome is not written yet is no job's.
	f.wait("the last outcome", func() bool { return len(f.laneNamed("dead").early.Busy()) == 0 })
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("two early retries came within %s", took)
	}
	if n := f.laneNamed("dead").failedJobs(); n != 0 {
		t.Errorf("%d failed jobs without a job", n)
	}
	for range 4 {
		f.runTick()
	}
	if n := f.laneNamed("dead").failedJobs(); n != 2 {
		t.Errorf("%d failed jobs; want 2", n)
	}
	if n, c := dead.count(), f.laneNamed("dead").spool.Counts(); n != 5 || c.Exhausted != 1 {
		t.Errorf("%d requests, %d exhausted; want 5 and 1", n, c.Exhausted)
	}
	dead.everyOnce(t)
	if got, _ := f.Target("dead"); fmt.Sprint(got.EarlyRetries) != "[10ms 20ms]" {
		t.Errorf("the target says %v", got.EarlyRetries)
	}
}

// Jobs, pauses and early retries at the same time make no attempt twice, and leave none out.
func TestEarlyRetriesAndJobs(t *testing.T) {
	t.Parallel()
	const n, most = 200, 30
	f := newFixture(t)
	rx := newReceiver(t, always(500))
	f.target("dead", rx.URL, func(t *config.Target) {
		t.MaxAttempts, t.Concurrency = most, 8
		for range 16 {
			t.EarlyRetries = append(t.EarlyRetries, 10*time.Millisecond)
		}
	})
	f.start()
	for i := range n {
		f.post("/v1/events/x", fmt.Sprint(i))
	}
	l := f.laneNamed("dead")
	for i := 0; l.spool.Counts().Exhausted < n; i++ {
		f.runTick()
		switch i {
		case 5:
			if err := f.Pause(order("dead")); err != nil {
				t.Fatal(err)
			}
			if err := f.Resume(order("dead")); err != nil {
				t.Fatal(err)
			}
		case 2 * most:
			t.Fatalf("after %d ticks %+v", i, l.spool.Counts())
		}
	}
	if got := rx.count(); got != n*(most+1) {
		t.Errorf("%d requests; want %d", got, n*(most+1))
	}
	rx.everyOnce(t)
}

// What is purged, paused or removed is not tried early, and a reload without the key leaves what
// waits to the tick.
func TestEarlyRetriesAreLeftOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(500))
	const wait = 300 * time.Millisecond
	f.target("paused", rx.URL+"/paused", earlyAfter(wait))
	f.target("plain", rx.URL+"/plain", earlyAfter(wait))
	f.target("watch", rx.URL+"/watch", earlyAfter(wait, wait))
	f.start()
	f.post("/v1/events/x", "body")
	for _, name := range []string{"paused", "plain", "watch"} {
		f.failedLive(name)
	}
	if err := f.Pause(order("paused")); err != nil {
		t.Fatal(err)
	}
	next := f.cfg
	next.Targets = append([]config.Target(nil), f.cfg.Targets...)
	for i := range next.Targets {
		if next.Targets[i].Name == "plain" {
			next.Targets[i].EarlyRetries = nil
		}
	}
	if err := f.apply(&next); err != nil {
		t.Fatal(err)
	}
	f.wait("the early retries of another target", func() bool { return rx.count() == 5 })
	for name, want := range map[string]int{"paused": 1, "plain": 1, "watch": 3} {
		got := 0
		for _, q := range rx.requests {
			if q.URL.Path == "/"+name {
				got++
			}
		}
		if got != want {
			t.Errorf("%s got %d requests; want %d", name, got, want)
		}
	}
}
