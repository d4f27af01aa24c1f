// Package gate tells until when a target that asked for time is left alone.
//
// A target that answers 429 or 503 with Retry-After asks to be left alone for a while, all of it
// and not only one delivery. Its gate is shut until then: no attempt is begun, live or in a job,
// what is in flight finishes, and what nobody has tried stays where it is and is charged nothing.
// The instant is part of the target's standing, so that it survives a restart and goes with the
// lane to another relay.
package gate

import "time"

// never is as good as that.
const never = 10 * 365 * 24 * time.Hour

// Gate wakes whoever opens it. New makes one; it is safe for concurrent use.
type Gate struct{ timer *time.Timer }

// New is an open gate.
func New() Gate { return Gate{time.NewTimer(never)} }

// Wake receives when it is time to look whether the gate is open.
func (g Gate) Wake() <-chan time.Time { return g.timer.C }

// Shut lets Wake receive after d, and not before.
func (g Gate) Shut(d time.Duration) { g.timer.Reset(d) }

// Until is until when a gate is shut at now; zero: it is open. kept is what the standing says, most
// how long a target may ask for, and 0 if it may not. An instant further away than that (most was
// made less, or the clock set back) is as far from now.
func Until(kept, now time.Time, most time.Duration) time.Time {
	if most == 0 || !kept.After(now) {
		return time.Time{}
	}
	if last := now.Add(most); kept.After(last) {
		return last
	}
	return kept
}

// For is until when a gate is shut that is asked for d at now. It counts in whole seconds, as those
// who ask do, so that answers which come together ask for the same, which is written once.
func For(d, most time.Duration, now time.Time) time.Time {
	d = min(d, most)
	until := now.Add(d)
	whole := until.Truncate(time.Second)
	switch {
	case d < time.Second:
		return until
	case d < most && whole.Before(until):
		return whole.Add(time.Second)
	}
	return whole
}
