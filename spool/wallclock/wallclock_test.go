package wallclock

import (
	"testing"
	"time"
)

// What was stamped while the clock was ahead ages from when that was noticed, also after a restart;
// what is a little ahead is left alone.
func TestWas(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	future := now.AddDate(2, 0, 0)
	var c Clock
	c.Begin(time.Time{}, now.Add(-time.Hour), now)
	if _, stores := c.Store(); stores || c.Steps() != 0 {
		t.Error("a clock that goes on went back")
	}
	was := func(what string, at, now, want time.Time) {
		t.Helper()
		if got := c.Was(at, now); !got.Equal(want) {
			t.Errorf("%s: got %s; want %s", what, got, want)
		}
	}
	c.See(future)
	was("in the glitch", future, future, future)
	right := now.Add(time.Second)
	c.See(right)
	c.See(right)
	if n := c.Steps(); n != 1 {
		t.Errorf("%d steps; it went back once", n)
	}
	later := right.Add(time.Hour)
	c.See(later)
	was("the future", future, later, right)
	was("the past", now, later, now)
	was("a little ahead", later.Add(Slack), later, later.Add(Slack))

	stored, changed := c.Store()
	if _, again := c.Store(); !stored.Equal(right) || !changed || again {
		t.Errorf("stored is %s, %v, again %v", stored, changed, again)
	}
	c = Clock{}
	c.Begin(stored, later, later.Add(time.Hour))
	was("after a restart", future, later.Add(time.Hour), right)
	c.See(right.Add(-24 * time.Hour))
	was("back again", future, right.Add(-23*time.Hour), right.Add(-24*time.Hour))

	c = Clock{}
	if c.Begin(time.Time{}, future, now); c.Steps() != 1 {
		t.Error("stopped in the glitch: nobody notices")
	}
	was("stopped in the glitch", future, later, now)
	c = Clock{}
	was("nobody saw it", future, now, now)
	was("nobody saw it, later", future, later, now)

	c = Clock{Several: true}
	c.See(now)
	c.See(now.Add(-time.Hour))
	was("another's", later, now, now)
}

// The wall clock is compared with one that nobody sets.
func TestCompare(t *testing.T) {
	var c Clock
	wall, ran := time.Unix(1_700_000_000, 0), time.Duration(0)
	pass := func(d, set time.Duration, steps uint64, sure bool) {
		t.Helper()
		wall, ran = wall.Add(d+set), ran+d
		c.Compare(wall, ran)
		if n := c.Steps(); n != steps {
			t.Errorf("set by %s: %d steps forward; want %d", set, n, steps)
		}
		if got := c.Sure(); got != sure {
			t.Errorf("set by %s: sure %v", set, got)
		}
	}
	pass(time.Second, 0, 0, true)
	pass(time.Second, Slack, 0, true)
	pass(time.Second, 2*time.Hour, 1, false)
	pass(time.Second, -2*time.Hour, 1, true) // See tells
	pass(time.Second, 2*time.Hour, 2, false)
	pass(Unsure-time.Second, 0, 2, false)
	pass(time.Second, 0, 2, true)
}

// An instant of time.Now has a monotonic reading as well, which nobody sets.
func TestMonotonicReading(t *testing.T) {
	var c Clock
	now := time.Now()
	c.See(now.Add(time.Hour))
	c.See(now)
	if at, changed := c.Store(); !changed || at != at.Round(0) {
		t.Errorf("%v has a monotonic reading", at)
	}
}
