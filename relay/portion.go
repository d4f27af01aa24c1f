package relay

import (
	"sync"
	"sync/atomic"

	"github.com/hookspool/hookspool/spool"
)

// portion are the deliveries that were fetched last and wait for a slot.
type portion struct {
	// inLine is 1 while whoever hands them out waits for a slot.
	inLine atomic.Int32
	mu     sync.Mutex // guards below
	events []*spool.Event
	halt   <-chan struct{} // closed: they may not be sent any more
}

func (p *portion) give(events []*spool.Event, halt <-chan struct{}) {
	p.mu.Lock()
	p.events, p.halt = append(p.events, events...), halt
	p.mu.Unlock()
}

// take is the first of them; nil: there is none that may be sent.
func (p *portion) take() *spool.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) == 0 || closed(p.halt) {
		return nil
	}
	e := p.events[0]
	p.events[0] = nil // its payload must not outlive its delivery
	p.events = p.events[1:]
	return e
}

// back puts back what was taken last.
func (p *portion) back(e *spool.Event) {
	p.mu.Lock()
	p.events = append([]*spool.Event{e}, p.events...)
	p.mu.Unlock()
}

// drop forgets what is left, and returns the first of it.
func (p *portion) drop() (seq uint64, left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) > 0 {
		seq, left = p.events[0].Seq, true
	}
	p.events = nil
	return seq, left
}
