// Package wallclock judges instants that a wall clock gave and that are stored. Such a clock may be
// years ahead for a second (a bad answer of NTP, a machine that is restored or resumed, a board
// without a battery), and what was stamped then must not be young, or known, or active, until those
// years are over.
//
// An instant that is ahead of now says only that the clock has gone back since. So it counts as
// having been when that was noticed, which it was not after, and ages from there as all others do.
package wallclock

import (
	"log/slog"
	"sync"
	"time"
)

// Slack is how far instants may be apart without anybody having set a clock: they are taken on
// their way to being stored, and clocks are slewed.
const Slack = time.Minute

// Unsure is how long the clock must have been where it is after it was set forward, before anything
// is removed because of its age: what comes back within that has only been a mistake.
const Unsure = 10 * time.Minute

// Clock is what is known of the wall clock. The zero value knows nothing, and notices by the first
// instant that is ahead. It is safe for concurrent use.
type Clock struct {
	Log *slog.Logger // nil: nobody is told
	// Several clocks stamp: what is ahead of this one may only be another's, and counts as now.
	Several bool

	mu sync.Mutex // guards below
	// latest is the newest instant that was seen, back when the clock was noticed to have gone back.
	latest, back time.Time
	stored       time.Time // of back
	// wall and ran are those compared last, unsure what ran must come to.
	wall        time.Time
	ran, unsure time.Duration
	steps       uint64
}

// Begin takes what is stored of a clock, when it was noticed to have gone back, and the newest
// instant that was stamped.
func (c *Clock) Begin(back, newest, now time.Time) {
	c.mu.Lock()
	c.back, c.stored, c.latest = back, back, newest
	c.mu.Unlock()
	c.See(now)
}

// See takes an instant as of now, and tells if that is before the newest that it has seen.
func (c *Clock) See(now time.Time) {
	now = now.Round(0) // its monotonic reading would make of every step none
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.latest.Sub(now)
	if c.latest.IsZero() || by < 0 {
		c.latest = now
	}
	if by <= Slack {
		return
	}
	c.latest, c.back = now, now
	c.tell("the wall clock was ahead and has gone back; what was stamped meanwhile counts as having "+
		"been now", by)
}

// Compare takes an instant of the wall clock, and for how long one has run that nobody sets, and
// tells if the former was set forward since the last time.
func (c *Clock) Compare(wall time.Time, ran time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := wall.Sub(c.wall) - (ran - c.ran)
	if c.wall.IsZero() {
		by = 0
	}
	c.wall, c.ran = wall, ran
	if by < -Slack {
		c.unsure = 0
	}
	if by > Slack {
		c.unsure = ran + Unsure
		c.tell("the wall clock was set forward; nothing goes because of its age until it has been there "+
			"for ten minutes", by)
	}
}

// tell counts a step; mu is held.
func (c *Clock) tell(what string, by time.Duration) {
	c.steps++
	if c.Log != nil {
		c.Log.Warn(what, "by", by.Round(time.Second))
	}
}

// Sure reports whether the age of things may be believed, as of the last comparison.
func (c *Clock) Sure() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran >= c.unsure
}

// Was is when what has an instant happened at the latest, as of now. The first that is ahead is how
// a clock that nobody saw going back is noticed.
func (c *Clock) Was(at, now time.Time) time.Time {
	if now = now.Round(0); !at.After(now.Add(Slack)) {
		return at
	}
	if c.Several {
		return now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back.IsZero() || c.back.After(now) {
		c.back = now
	}
	return c.back
}

// Store is when the clock was noticed to have gone back, for who stores it now; false: that is
// stored.
func (c *Clock) Store() (back time.Time, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed = !c.back.Equal(c.stored)
	c.stored = c.back
	return c.back, changed
}

// Steps is how often the clock was set by more than Slack since the start, forward or back.
func (c *Clock) Steps() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}
