// Package slots bounds how many of one kind are at work: attempts at a target, requests of senders.
package slots

import "sync"

// Slots bound what is at work. Whoever waits for one waits in line, first come, first served, so
// that none of those who share them starves another. The limit may move at any time. The zero Slots
// have a limit of 0. They are safe for concurrent use.
type Slots struct {
	mu      sync.Mutex // guards all below
	limit   int
	used    int
	waiting []chan struct{} // each is closed by passLocked to pass a slot on
}

// Acquire takes a slot, or returns false once halt is closed.
func (s *Slots) Acquire(halt <-chan struct{}) bool {
	s.mu.Lock()
	if s.used < s.limit && len(s.waiting) == 0 {
		s.used++
		s.mu.Unlock()
		return true
	}
	place := make(chan struct{})
	s.waiting = append(s.waiting, place)
	s.mu.Unlock()
	select {
	case <-place:
		return true
	case <-halt:
	}
	return s.giveUp(place)
}

// giveUp leaves the line. If the slot was passed on in the same instant it is given back.
func (s *Slots) giveUp(place chan struct{}) bool {
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == place {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return false
		}
	}
	s.mu.Unlock()
	s.Release()
	return false
}

// Keeps reports whether whoever has a slot may go on in it: not beyond the limit, nor while more
// than own wait in line.
func (s *Slots) Keeps(own int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used <= s.limit && len(s.waiting) <= own
}

// Release gives a slot back, to whoever waits first.
func (s *Slots) Release() {
	s.mu.Lock()
	s.used--
	s.passLocked()
	s.mu.Unlock()
}

// SetLimit moves the limit. Slots beyond it stay in use until they are given back.
func (s *Slots) SetLimit(n int) {
	s.mu.Lock()
	s.limit = n
	s.passLocked()
	s.mu.Unlock()
}

func (s *Slots) passLocked() {
	for s.used < s.limit && len(s.waiting) > 0 {
		s.used++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// Limit is the limit.
func (s *Slots) Limit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// InUse is how many are taken.
func (s *Slots) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Ramp moves the limit after a recovery, up to full: one more for a success, half after a failure.
// It reports whether full is reached.
func (s *Slots) Ramp(success bool, full int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if success {
		s.limit = min(s.limit+1, full)
	} else {
		s.limit = max(s.limit/2, 1)
	}
	s.passLocked()
	return s.limit >= full
}
