package relay

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// tickLoop owns the only ticker. One tick missed while the relay was down runs at the start; more
// of them are still one.
func (r *Relay) tickLoop() {
	timer := time.NewTimer(r.firstWait(r.now()))
	defer timer.Stop()
	for {
		select {
		case <-r.stopping:
			return
		case <-r.intervalC:
			timer.Reset(r.nextWait(r.now()))
		case <-timer.C:
			// The next beat counts from this one, so that a slow tick does not shift the clock.
			timer.Reset(r.interval())
			if err := r.Tick(r.now()); err != nil {
				return // the spool has said why, and stops the relay
			}
		}
	}
}

func (r *Relay) interval() time.Duration { return r.setup.Load().cfg.Retry.Interval }

// firstWait is how long the first tick is away. A spool that never ticked begins its clock now.
func (r *Relay) firstWait(now time.Time) time.Duration {
	if r.spool.LastTick().At.IsZero() {
		r.beginClock(now)
		return r.interval()
	}
	return r.nextWait(now)
}

// nextWait is how long the next tick is away, at least 0 and at most one interval: a clock that
// was set back must not put it off.
func (r *Relay) nextWait(now time.Time) time.Duration {
	interval := r.interval()
	wait := interval - now.Sub(r.spool.LastTick().At)
	return min(max(wait, 0), interval)
}

func (r *Relay) beginClock(now time.Time) {
	t := spool.Tick{Number: r.tickNumber.Load(), At: now}
	r.spool.Begin(spool.Change{Tick: &t})
}

// Tick lets one tick happen at the given instant: it is stored, then every lane with something due
// starts a job. Lanes whose last job is still running skip it, and no attempt is charged.
func (r *Relay) Tick(now time.Time) error {
	number := r.tickNumber.Add(1)
	t := spool.Tick{Number: number, At: now}
	if err := r.spool.Apply(spool.Change{Tick: &t}); err != nil {
		return fmt.Errorf("cannot store tick %d: %w", number, err)
	}
	head := r.spool.Head()
	for _, l := range r.allLanes() {
		l.order(jobOrder{tick: number, head: head})
	}
	r.wakePayers()
	return nil
}

// jobNow runs a job of one lane outside the clock, behind the one that runs; false if there is
// nothing to do now.
func (r *Relay) jobNow(l *lane) (bool, error) {
	t := spool.Tick{Number: r.tickNumber.Add(1), At: r.spool.LastTick().At}
	if err := r.spool.Apply(spool.Change{Tick: &t}); err != nil {
		return false, fmt.Errorf("cannot start a job for target %q: %w", l.name, err)
	}
	if l.order(jobOrder{tick: t.Number, head: r.spool.Head()}) {
		return true, nil
	}
	if !l.jobRunning.Load() {
		return false, nil
	}
	l.another.Store(true)
	return true, l.runAnother() // the one that ran may have ended just now
}
