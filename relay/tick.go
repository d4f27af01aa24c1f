package relay

import (
	"fmt"
	"time"
)

// clock beats the ticks, one for all targets.
type clock struct {
	r *Relay
	// changed has capacity 1: a token means that retry.interval changed.
	changed chan struct{}
}

func newClock(r *Relay) clock { return clock{r, make(chan struct{}, 1)} }

// loop owns the only ticker. One tick missed while the relay was down runs at the start; more
// of them are still one.
func (c *clock) loop() {
	timer := time.NewTimer(c.firstWait(c.r.now()))
	defer timer.Stop()
	for {
		select {
		case <-c.r.stopping:
			return
		case <-c.changed:
			timer.Reset(c.nextWait(c.r.now()))
		case <-timer.C:
			// The next beat counts from this one, so that a slow tick does not shift the clock.
			timer.Reset(c.interval())
			if err := c.r.Tick(c.r.now()); err != nil {
				return // the spool has said why, and stops the relay
			}
		}
	}
}

func (c *clock) interval() time.Duration { return c.r.setup.Load().cfg.Retry.Interval }

// firstWait is how long the first tick is away. A spool that never ticked begins its clock now.
func (c *clock) firstWait(now time.Time) time.Duration {
	if c.r.spool.LastTick().At.IsZero() {
		c.begin(now)
		return c.interval()
	}
	return c.nextWait(now)
}

// nextWait is how long the next tick is away, at least 0 and at most one interval: a clock that
// was set back must not put it off.
func (c *clock) nextWait(now time.Time) time.Duration {
	interval := c.interval()
	wait := interval - now.Sub(c.r.spool.LastTick().At)
	return min(max(wait, 0), interval)
}

func (c *clock) begin(now time.Time) {
	_, _ = c.r.spool.Beat(now) // a spool that cannot store it has said why, and stops the relay
}

// Tick lets one tick happen at the given instant: it is stored, then every lane with something due
// starts a job. Lanes whose last job is still running skip it, and no attempt is charged.
func (r *Relay) Tick(now time.Time) error {
	number, err := r.spool.Beat(now)
	if err != nil {
		return err
	}
	head := r.spool.Head()
	for _, l := range r.allLanes() {
		l.order(jobOrder{tick: number, head: head})
	}
	r.wakePayers()
	return nil
}

// jobNow runs a job of one lane outside the clock, after the one that runs; false if there is
// nothing to do now.
func (r *Relay) jobNow(l *lane) (bool, error) {
	number, err := r.spool.Beat(r.spool.LastTick().At)
	if err != nil {
		return false, fmt.Errorf("cannot start a job for target %q: %w", l.name, err)
	}
	if l.order(jobOrder{tick: number, head: r.spool.Head()}) {
		return true, nil
	}
	if !l.jobRunning.Load() {
		return false, nil
	}
	l.another.Store(true)
	return true, l.runAnother() // the one that ran may have ended just now
}
