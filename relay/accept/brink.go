package accept

import (
	"runtime/metrics"
	"sync"
	"time"
)

// brinkLook lies between two looks at the memory in use.
const brinkLook = 10 * time.Millisecond

// brink says when a process has more memory than it may keep. The collector has done what it can by
// then: what is in use is needed, most of it by the spool's engine, which gives it back once it is
// not given more to write.
type brink struct {
	most int64 // bytes; 0: no bound
	used func() int64

	mu     sync.Mutex // guards below
	at     time.Time
	beyond bool
}

// reached reports whether so much is in use.
func (b *brink) reached(now time.Time) bool {
	if b.most <= 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.at) >= brinkLook {
		b.at, b.beyond = now, b.used() >= b.most
	}
	return b.beyond
}

// shortOfMemory refuses what comes beyond the brink, and says so to the operator.
func (s *Server) shortOfMemory() *Refusal {
	now := time.Now()
	if !s.brink.reached(now) {
		return nil
	}
	if count, say := s.short.Pass(now, saySeldom); say {
		s.o.Log.Warn("events are refused with 503 while so much memory is in use; if that lasts, the "+
			"relay needs a larger limit", "bytes", s.brink.used(), "limit", s.brink.most, "refused", count)
	}
	no := overloaded()
	no.Detail = "as much memory is in use as there is; send again in a second"
	return no
}

// memoryUsed is what the process has of the system, without what it has given back.
func memoryUsed() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
