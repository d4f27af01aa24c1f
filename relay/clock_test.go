package relay

import (
	"sync/atomic"
	"testing"
	"time"
)

// wallClock is a clock that somebody sets.
type wallClock struct{ ahead atomic.Int64 }

func (c *wallClock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *wallClock) jump(d time.Duration) { c.ahead.Add(int64(d)) }

// jumps are what a clock does: an hour back, a day forward, and the change to and from a wrong year.
func jumps() map[string]time.Duration {
	return map[string]time.Duration{"an hour back": -time.Hour, "a day forward": 24 * time.Hour,
		"a year back": -365 * 24 * time.Hour, "a year forward": 365 * 24 * time.Hour}
}

func clockFixture(t *testing.T) (*fixture, *wallClock) {
	c := new(wallClock)
	f := newFixture(t)
	f.now = c.now
	f.cfg.Server.DrainTimeout = 200 * time.Millisecond
	return f, c
}

// A jump while the relay runs neither holds the ticks up nor makes a burst of them: they follow the
// monotonic clock.
func TestClockJumpWhileTicking(t *testing.T) {
	for name, d := range jumps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, clock := clockFixture(t)
			bad := newReceiver(t, always(500))
			f.target("bad", bad.URL)
			f.cfg.Retry.Interval = 100 * time.Millisecond
			f.start()
			f.post("/v1/events/x", "body")
			f.wait("two retries", func() bool { return bad.count() >= 3 })
			before, began := f.spool.LastTick().Number, time.Now()
			clock.jump(d)
			f.wait("five more ticks", func() bool { return f.spool.LastTick().Number >= before+5 })
			took := time.Since(began)
			ticks := f.spool.LastTick().Number - before
			if most := uint64(took/f.cfg.Retry.Interval) + 2; ticks > most {
				t.Errorf("%d ticks in %s: a burst", ticks, took)
			}
			for i, n := range bad.attempts() {
				if n != i {
					t.Fatalf("request %d has attempt %d", i, n)
				}
			}
		})
	}
}

// A jump while the relay was away: forward is one missed tick, back puts the next one off by no
// more than the interval.
func TestClockJumpWhileAway(t *testing.T) {
	for name, d := range jumps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, clock := clockFixture(t)
			bad := newReceiver(t, always(500))
			f.target("bad", bad.URL)
			f.start()
			f.post("/v1/events/x", "body")
			l := f.laneNamed("bad")
			f.wait("attempt 0", func() bool { return l.spool.Counts().Fresh == 0 && bad.count() == 1 })
			f.stop()
			clock.jump(d)
			f.start()
			if d > 0 {
				f.wait("the missed tick", func() bool { return bad.count() == 2 })
			}
			if wait := f.clock.nextWait(clock.now()); wait > f.cfg.Retry.Interval {
				t.Errorf("the next tick is %s away; the interval is %s", wait, f.cfg.Retry.Interval)
			}
			f.stop() // the relay reads the fixture's config
			f.cfg.Retry.Interval = 50 * time.Millisecond
			f.start()
			n := bad.count()
			f.wait("the clock to go on", func() bool { return bad.count() >= n+2 })
		})
	}
}

// Whatever the clock did, what is owed stays: the sweep never takes a pending delivery. A clock that
// was set back keeps delivered events for longer, and an id is still the same event's.
func TestClockJumpKeepsEvents(t *testing.T) {
	for name, d := range jumps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, clock := clockFixture(t)
			bad, good := newReceiver(t, always(500)), newReceiver(t, always(200))
			f.target("bad", bad.URL)
			f.target("good", good.URL)
			f.start()
			f.post("/v1/events/x", "body", "webhook-id", "one")
			f.wait("both attempts", func() bool { return bad.count() == 1 && good.count() == 1 })
			l := f.laneNamed("bad")
			f.wait("the settling", func() bool { return l.spool.Counts().Fresh == 0 })
			clock.jump(d)
			if err := f.spool.Sweep(f.now()); err != nil {
				t.Fatal(err)
			}
			if n := l.spool.Counts().Pending; n != 1 {
				t.Errorf("%d deliveries are pending after the jump; want 1", n)
			}
			if p, ok := l.spool.OldestPending(); !ok || p.Seq != 1 {
				t.Errorf("the oldest pending is %+v, %v; want event 1", p, ok)
			}
			// Back is inside the window; a day forward is the end of it.
			code, got := f.post("/v1/events/x", "body", "webhook-id", "one")
			if code != 200 || got["duplicate"] != (d < 0) {
				t.Errorf("the same id after the jump: %d %v", code, got)
			}
			n := bad.count()
			f.tick = clock.now()
			f.runTick()
			if bad.count() <= n {
				t.Error("a tick after the jump retried nothing")
			}
		})
	}
}
