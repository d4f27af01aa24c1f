// Package pulse tells whether a target keeps a lane waiting, or this machine does.
package pulse

import (
	"sync/atomic"
	"time"
)

const (
	// window is how long the shortest attempt counts at least; it counts for two of them at most.
	window = 250 * time.Millisecond
	// quickFor and movesFor are how long after a success a target counts as one that is quick, and
	// as one that does not stand still.
	quickFor = 50 * time.Millisecond
	movesFor = time.Second
	// ratePerCPU is more attempts a second than one CPU makes.
	ratePerCPU = 8000
)

// Pulse is what the last attempts at a target say of it. The shortest of them says how quick the
// target is, however long the others had to wait for a CPU. The zero Pulse has had none. It is safe
// for concurrent use.
type Pulse struct {
	now, before atomic.Int64 // the shortest attempt of this window and of the last, in ns; 0: none
	turned      atomic.Int64 // when this window began, in unix ns
	last        atomic.Int64 // when the last success was, in unix ns
}

// Note takes a success and how long the attempt took.
func (p *Pulse) Note(took time.Duration, at time.Time) {
	p.last.Store(at.UnixNano())
	n := max(int64(took), 1)
	for {
		least := p.now.Load()
		if least != 0 && least <= n || p.now.CompareAndSwap(least, n) {
			return
		}
	}
}

// Look reports whether a target answers, and whether so quickly that so many attempts at once
// would be more than the CPUs can make: what waits for it waits for them. One that hangs or fails
// does not even move.
func (p *Pulse) Look(now time.Time, atOnce, cpus int) (quick, moves bool) {
	at := now.UnixNano()
	if at-p.turned.Load() >= int64(window) {
		p.turned.Store(at)
		p.before.Store(p.now.Swap(0))
	}
	least := p.now.Load()
	if b := p.before.Load(); least == 0 || b != 0 && b < least {
		least = b
	}
	since := time.Duration(at - p.last.Load())
	if least == 0 || since > movesFor {
		return false, false
	}
	rate := float64(atOnce) * float64(time.Second) / float64(least)
	return since <= quickFor && rate >= float64(ratePerCPU*cpus), true
}
