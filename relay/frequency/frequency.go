// Package frequency counts how often something happens.
package frequency

import (
	"sync/atomic"
	"time"
)

// Counter counts what happened in each of the last seconds, without a lock and at a fixed size: the
// hot path pays one atomic operation. The zero value is ready.
type Counter struct {
	// seconds hold a second in the upper half and its count in the lower one.
	seconds [secondsMax]atomic.Uint64
}

// secondsMax is above the longest span that is asked for, by the running second and one more.
const secondsMax = 16

// Add counts n that happened now. At most 2^32-1 are counted in a second.
func (c *Counter) Add(now time.Time, n uint64) {
	second := uint64(now.Unix()) << 32
	slot := &c.seconds[now.Unix()%secondsMax]
	for {
		old := slot.Load()
		next := second | n
		if old&^0xffffffff == second {
			next = old + n
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// Mean is how many there were a second, in the whole seconds of a span, 14 at most, and the one
// that runs.
func (c *Counter) Mean(now time.Time, span int) float64 {
	n := uint64(0)
	for i := range c.seconds {
		v := c.seconds[i].Load()
		if ago := now.Unix() - int64(v>>32); ago >= 0 && ago <= int64(span) {
			n += v & 0xffffffff
		}
	}
	return float64(n) / (float64(span) + float64(now.Nanosecond())/1e9)
}
