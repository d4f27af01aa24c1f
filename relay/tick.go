package relay

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/relay/tally"
)

// clock beats the ticks, one for all targets. Of several relays that share a spool the one that
// leads does.
type clock struct {
	r *Relay
	// changed has capacity 1: a token means that retry.interval changed, or that this relay leads.
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
			timer.Reset(c.firstWait(c.r.now()))
		case <-timer.C:
			// The next beat counts from this one, so that a slow tick does not shift the clock.
			timer.Reset(c.interval())
			if !c.r.company.Leads() {
				continue // whoever leads from now on goes on where the last tick was
			}
			if err := c.r.Tick(c.r.now()); c.r.company.EndedBy(err) {
				return // the spool has said why, and stops the relay
			}
		}
	}
}

// wake lets the loop look when the next tick is.
func (c *clock) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *clock) interval() time.Duration { return c.r.setup.Load().cfg.Retry.Interval }

// firstWait is how long the first tick is away. A spool that never ticked begins its clock now.
func (c *clock) firstWait(now time.Time) time.Duration {
	if c.r.spool.LastTick().At.IsZero() {
		if c.r.company.Leads() {
			c.begin(now)
		}
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

// begin begins the clock. That is no tick: nobody is to hear of it and run jobs.
func (c *clock) begin(now time.Time) {
	c.r.company.Hears(now)
	_, _ = c.r.spool.Beat(now) // a spool that cannot store it has said why, and stops the relay
}

// Tick lets one tick happen at the given instant: it is stored, then every lane with something due
// starts a job. Lanes whose last job is still running skip it, and no attempt is charged.
func (r *Relay) Tick(now time.Time) error {
	number, err := r.spool.Beat(now)
	if err != nil {
		return err
	}
	if r.company.Hears(now) {
		r.clock.order(number)
	}
	return nil
}

// order orders the jobs of a tick, and lets alerts be tried.
func (c *clock) order(tick uint64) {
	head, beat := c.r.spool.Head(), c.r.spool.LastTick().Beat
	for _, l := range c.r.allLanes() {
		if l.target().Joins(beat) && !l.order(jobOrder{tick: tick, head: head}) &&
			l.jobRunning.Load() {
			l.outlasted.Add(1)
		}
	}
	c.r.wakePayers()
}

// sendReplays runs a job of what was replayed to a lane while nothing was sent, and was not tried
// yet: it waits for no tick. What has failed waits for the next, as ever.
func sendReplays(l *lane) {
	const noTick = 0
	if l.status() != Enabled {
		return
	}
	first, err := l.spool.Due(noTick).Next(1)
	if err != nil || len(first) == 0 { // a job would say that it cannot be read
		return
	}
	l.order(jobOrder{tick: noTick, head: l.r.spool.Head()})
}

// jobNow runs a job of one lane outside the clock, after the one that runs, and returns its number,
// or one below that of the job that runs after it; 0 if there is nothing to do now. tell, when set,
// is called when that job has ended, or if nothing was left for it, with the one before it.
func (r *Relay) jobNow(l *lane, tell func(*tally.Job)) (uint64, error) {
	number, err := r.spool.Beat(r.spool.LastTick().At)
	if err != nil {
		return 0, fmt.Errorf("cannot start a job for target %q: %w", l.name, err)
	}
	l.asking.Lock()
	if tell != nil {
		l.board.Ask(number, tell)
	}
	if l.order(jobOrder{tick: number, head: r.spool.Head()}) {
		l.asking.Unlock()
		return number, nil
	}
	if !l.jobRunning.Load() {
		l.board.Withdraw(number)
		l.asking.Unlock()
		return 0, nil
	}
	l.another.Store(true)
	l.asking.Unlock()
	return number, l.runAnother() // the one that ran may have ended just now
}
