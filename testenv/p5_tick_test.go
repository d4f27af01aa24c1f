package testenv

import (
	"testing"
	"time"
)

// TestP5MissedTicks asserts that when the relay was away for several ticks exactly one job is made
// up for at the start, not one for each; that the ticks after it keep their distance; and that
// being away spends no attempt.
func TestP5MissedTicks(t *testing.T) {
	t.Parallel()
	const interval = 700 * time.Millisecond
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", interval.String())
	j.RX.Always("crm", Code(500))
	j.Start()
	id := j.SendIDs("x", 1)[0]
	j.RX.Await("crm", 2)
	if code := j.Terminate(); code != 0 {
		t.Fatalf("left with %d", code)
	}
	down := time.Now()
	made := j.RX.CountID("crm", id)
	Until(t, Patience, "five ticks to be missed", func() bool { return time.Since(down) > 5*interval })
	started := time.Now()
	j.Start()
	ready := time.Now()
	requests := j.RX.Await("crm", made+5)[made:]
	for i, r := range requests {
		if r.Attempt != made+i {
			t.Errorf("attempt %d follows %d requests", r.Attempt, made+i)
		}
	}
	// The first one at the start: no need to wait for an interval. The machine may be slow, so the
	// bound is the next tick's.
	if late := requests[0].At.Sub(ready); late > 10*interval {
		t.Errorf("the job that was missed came %s after the relay was ready", late)
	}
	// Whatever is slow makes a request later and none earlier, so the ticks are told by the time
	// that there was for them since before the start.
	for i, r := range requests {
		if ticks := r.At.Sub(started) / interval; int(ticks) < i {
			t.Errorf("there were %d intervals since the start and %d jobs", ticks, i+1)
		}
	}
}

// TestP5TickIsRemembered asserts that a restart within an interval runs no job and does not begin
// the interval again: the next tick comes when it would have come.
func TestP5TickIsRemembered(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "100ms")
	j.RX.Always("crm", Code(500))
	j.Start()
	j.SendIDs("x", 1)
	j.RX.Await("crm", 2) // attempt 0, and attempt 1 at a tick
	// Two starts fall into one interval however slow they are.
	interval := 30 * time.Minute
	j.Config.Set("retry.interval", interval.String())
	j.Reload()
	tick, made := j.Status().LastTick, j.RX.Count("crm")
	if tick == nil {
		t.Fatal("there was a tick, but last_tick is null")
	}
	j.Restart()
	j.Kill()
	j.Start()
	if s := j.Status(); s.LastTick == nil || !s.LastTick.Equal(*tick) {
		t.Errorf("the last tick was %s, is now %v", tick, s.LastTick)
	}
	var next *time.Time
	due := tick.Add(interval)
	// It is computed from two looks at the clock, between which a machine may stand still.
	if !Eventually(Patience, func() bool {
		next = j.Status().NextTick
		return next != nil && next.Sub(due).Abs() < 100*time.Millisecond
	}) {
		t.Errorf("the next tick is due at %v, want %s", next, due)
	}
	if n := j.RX.Count("crm"); n > made+j.Crashes() {
		t.Errorf("%d requests at two starts within an interval", n-made)
	}
	j.Kill()
	made = j.RX.Count("crm")
	interval = time.Since(*tick).Truncate(time.Second) + 3*time.Second
	j.Config.Set("retry.interval", interval.String())
	j.Start()
	j.RX.Await("crm", made+1)
	due = tick.Add(interval)
	if now := j.Status().LastTick; now.Before(due.Add(-time.Second)) {
		t.Errorf("a job ran at the tick of %s; it was due at %s", now, due)
	}
}

// TestP5RunningJobSkipsTick asserts that a job which is still running at the next tick makes that
// target skip it, uncharged, while other targets go on.
func TestP5RunningJobSkipsTick(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("slow", "quick")
	gate := make(chan struct{})
	j.Config.Set("retry.interval", "50ms").Set("target.slow.timeout", "60s")
	j.RX.Always("quick", Code(500))
	j.RX.On("slow", func(req *Request) Reply {
		if req.Attempt == 1 {
			return Held(gate, Code(500))
		}
		return Code(500)
	})
	j.Start()
	j.SendIDs("x", 1)
	j.RX.Await("slow", 2)
	seen := j.RX.Count("quick")
	j.RX.Await("quick", seen+10)
	if n := j.RX.Count("slow"); n != 2 {
		t.Errorf("%d requests while the job runs, want 2", n)
	}
	if n := jobsOf(j, "slow"); n != 0 {
		t.Errorf("%d jobs are counted before the first has ended", n)
	}
	close(gate)
	j.RX.Await("slow", 5) // attempts 2, 3, 4: the ledger checks that none is skipped
}

// TestP5NothingDueNoJob asserts that ticks without anything due make no jobs.
func TestP5NothingDueNoJob(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "20ms")
	j.Start()
	j.SendIDs("x", 5)
	j.Ledger.AwaitDelivered()
	j.AwaitTicks(20)
	if n := jobsOf(j, "crm"); n != 0 {
		t.Errorf("%d jobs with nothing due", n)
	}
}
