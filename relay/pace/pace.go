// Package pace bounds how many requests a second a target gets, of whatever kind.
//
// Whoever wants to make a request takes a turn first, before anything else that others may want,
// and waits for it in line: two that always want one have every other turn each. A second's worth
// of turns, at least one, is saved up while nobody wants any.
package pace

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Pace gives turns. The zero Pace gives as many as are asked for. It is safe for concurrent use.
type Pace struct {
	limiter atomic.Pointer[rate.Limiter] // nil: no bound

	mu    sync.Mutex // guards below, and who stores limiter
	moved chan struct{}
}

// On reports whether turns are bounded.
func (p *Pace) On() bool { return p.limiter.Load() != nil }

// Set bounds the turns a second; 0: no bound. It takes effect for those who wait as well, and lets
// them look whether they still want a turn.
func (p *Pace) Set(perSecond float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limiter := p.limiter.Load()
	switch {
	case perSecond == 0:
		limiter = nil
	case limiter == nil || limiter.Limit() != rate.Limit(perSecond):
		limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
	}
	p.limiter.Store(limiter)
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// Take waits for a turn. It returns false, and takes none, once stopping is closed, or wanted,
// which is asked at every Set, says no. wanted must not take long.
func (p *Pace) Take(stopping <-chan struct{}, wanted func() bool) bool {
	for {
		moved := p.nextMove()
		limiter := p.limiter.Load()
		if !wanted() {
			return false
		}
		if limiter == nil {
			return true
		}
		turn := limiter.Reserve()
		wait := turn.Delay()
		if wait == 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			return wanted()
		case <-moved:
			timer.Stop()
			turn.Cancel()
		case <-stopping:
			timer.Stop()
			turn.Cancel()
			return false
		}
	}
}

// Use takes a turn without waiting for it: those who come after wait longer.
func (p *Pace) Use() {
	if limiter := p.limiter.Load(); limiter != nil {
		limiter.Reserve()
	}
}

// nextMove is closed by the next Set.
func (p *Pace) nextMove() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}
