package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// rated is a target with so many requests in a time.
func rated(n int, per time.Duration) func(*config.Target) {
	return func(t *config.Target) { t.Rate = config.Rate{N: n, Per: per} }
}

// What is new and what failed before share the turns of a rate evenly, all together stay within it,
// and a job that takes longer than a tick says so.
func TestRateIsShared(t *testing.T) {
	t.Parallel()
	const n, rate = 80, 40
	f := newFixture(t)
	healed := false
	rx := newReceiver(t, func(int) int {
		if healed {
			return 200
		}
		return 500
	})
	began := time.Now()
	f.target("crm", rx.URL, rated(rate, time.Second))
	f.start()
	l := f.laneNamed("crm")
	for i := range n {
		f.post("/v1/events/x", fmt.Sprint("old ", i))
	}
	f.wait("the live attempts", func() bool { c := l.spool.Counts(); return c.Fresh == 0 })
	rx.mu.Lock()
	healed = true
	rx.mu.Unlock()
	if err := l.hold(true, ""); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		f.post("/v1/events/x", fmt.Sprint("new ", i))
	}
	if err := l.hold(false, ""); err != nil {
		t.Fatal(err)
	}
	f.tick = f.tick.Add(time.Hour)
	if err := f.Tick(f.tick); err != nil {
		t.Fatal(err)
	}
	if err := f.Tick(f.tick.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Target("crm"); !got.JobRunning || got.TicksOutlasted != 1 {
		t.Errorf("a job runs: %t, and has outlasted %d ticks; want 1", got.JobRunning, got.TicksOutlasted)
	}
	f.wait("everything", func() bool { return l.spool.Counts().Pending == 0 })
	took := time.Since(began)
	if most := rate + int(rate*took.Seconds()) + 1; rx.count() > most {
		t.Errorf("%d requests in %s; want at most %d", rx.count(), took, most)
	}
	shared := map[int]int{}
	// What was saved up may go to one of them before the other is there.
	for _, attempt := range rx.attempts()[n+rate : n+2*rate] {
		shared[attempt]++
	}
	if shared[0] < rate/4 || shared[1] < rate/4 {
		t.Errorf("of %d requests %d are live, %d a job's", rate, shared[0], shared[1])
	}
	f.wait("the job to be over", func() bool {
		got, _ := f.Target("crm")
		return !got.JobRunning && got.TicksOutlasted == 0 && got.Rate == "40/s"
	})
}

// Waiting for a turn holds up neither a pause nor a reload nor a stop, and costs no attempt.
func TestRateHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, rated(1, time.Hour))
	f.start()
	for range 3 {
		f.post("/v1/events/x", "body")
	}
	l := f.laneNamed("crm")
	f.wait("the first", func() bool { return rx.count() == 1 })
	for range 2 {
		if err := f.Pause(order("crm")); err != nil {
			t.Fatal(err)
		}
		if err := f.Resume(order("crm")); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	f.restart() // which has a turn of its own
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the restart took %s", took)
	}
	l = f.laneNamed("crm")
	f.wait("the second", func() bool { return rx.count() == 2 })
	next := f.cfg
	next.Targets = append([]config.Target(nil), f.cfg.Targets...)
	next.Targets[0].Rate = config.Rate{}
	if err := f.apply(&next); err != nil {
		t.Fatal(err)
	}
	f.wait("the rest", func() bool { return l.spool.Counts().Pending == 0 })
	for i, n := range rx.attempts() {
		if n != 0 {
			t.Errorf("request %d is attempt %d", i, n)
		}
	}
}
