package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pastMax bounds the minutes that a Counter holds until somebody takes them: while the disk is full
// nobody does. The oldest go first.
const pastMax = 64

// Minute is what happened in one minute.
type Minute struct {
	At int64 // since 1970
	Tally
}

// minuteOf is the minute of an instant, since 1970.
func minuteOf(at time.Time) int64 { return at.Unix() / 60 }

// Counter counts what happens to a target, minute by minute. The zero value is ready. It is safe
// for concurrent use.
type Counter struct {
	mu   sync.Mutex // guards below
	now  Minute
	past []Minute // before now, in their order
}

// Attempt counts one attempt that ended at an instant; see Tally.Attempt.
func (c *Counter) Attempt(at time.Time, outcome uint8, success bool, took time.Duration) {
	minute := minuteOf(at)
	c.mu.Lock()
	c.inLocked(minute).Attempt(outcome, success, took)
	c.mu.Unlock()
}

// Add adds to a counter of a minute.
func (c *Counter) Add(minute int64, counter int, n uint64) {
	c.mu.Lock()
	c.inLocked(minute).Add(counter, n)
	c.mu.Unlock()
}

// inLocked is the tally of a minute; mu is held.
func (c *Counter) inLocked(minute int64) *Tally {
	switch {
	case minute == c.now.At:
	case minute > c.now.At:
		if !c.now.Empty() {
			c.past = append(c.past, c.now)
			c.past = c.past[max(0, len(c.past)-pastMax):]
		}
		c.now = Minute{At: minute}
	default:
		i, found := slices.BinarySearchFunc(c.past, minute, func(m Minute, at int64) int {
			return int(m.At - at)
		})
		if !found {
			c.past = slices.Insert(c.past, i, Minute{At: minute})
		}
		return &c.past[i].Tally
	}
	return &c.now.Tally
}

// Take takes the minutes before one out.
func (c *Counter) Take(before int64) []Minute {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.past
	c.past = nil
	if c.now.At < before && !c.now.Empty() {
		out = append(out, c.now)
		c.now = Minute{}
	}
	return out
}

// Look is what nobody has taken.
func (c *Counter) Look() []Minute {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.past)
	if !c.now.Empty() {
		out = append(out, c.now)
	}
	return out
}

// ringMinutes bound a Ring, the minute under way among them.
const ringMinutes = 4

// Ring counts one thing by minutes, without a lock: it costs an atomic addition. Somebody has to
// empty it every other minute. The zero value is ready, and it is safe for concurrent use.
type Ring struct {
	// minutes hold a minute in the upper half and its count in the lower one.
	minutes [ringMinutes]atomic.Uint64
}

// Add counts n in the minute of an instant.
func (r *Ring) Add(at time.Time, n uint64) {
	minute := uint64(minuteOf(at))
	slot := &r.minutes[minute%ringMinutes]
	for {
		old := slot.Load()
		next := minute<<32 | n
		switch was := old >> 32; {
		case was == minute:
			next = old + n
		case was > minute:
			return // nobody has counted for minutes
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// EmptyInto moves what was counted to a counter.
func (r *Ring) EmptyInto(c *Counter, counter int) {
	for i := range r.minutes {
		slot := &r.minutes[i]
		for {
			old := slot.Load()
			if old&0xffffffff == 0 {
				break
			}
			if slot.CompareAndSwap(old, old&^0xffffffff) {
				c.Add(int64(old>>32), counter, old&0xffffffff)
				break
			}
		}
	}
}
