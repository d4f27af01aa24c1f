package relay

import (
	"sync/atomic"
	"time"
)

// rate counts what happened in each of the last seconds, without a lock and at a fixed size: the
// hot path pays one atomic operation. The zero value is ready.
type rate struct {
	// seconds hold a second in the upper half and its count in the lower one.
	seconds [rateSeconds]atomic.Uint64
}

// rateSeconds is above the longest span that is asked for, by the running second and one more.
const rateSeconds = 16

func (r *rate) add(now time.Time, n uint64) {
	second := uint64(now.Unix()) << 32
	slot := &r.seconds[now.Unix()%rateSeconds]
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

// mean is how many there were a second, in the whole seconds of a span and the running one.
func (r *rate) mean(now time.Time, span int) float64 {
	n := uint64(0)
	for i := range r.seconds {
		v := r.seconds[i].Load()
		if ago := now.Unix() - int64(v>>32); ago >= 0 && ago <= int64(span) {
			n += v & 0xffffffff
		}
	}
	return float64(n) / (float64(span) + float64(now.Nanosecond())/1e9)
}
