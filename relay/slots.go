package relay

import "sync"

// slots bound the attempts in flight to one target. Live attempts and a job wait in one line,
// first come, first served, so that neither starves the other. The limit moves: after a defect it
// grows from 1.
type slots struct {
	mu      sync.Mutex // guards all below
	limit   int
	used    int
	waiting []chan struct{} // each is closed by release or grow to pass a slot on
}

// acquire takes a slot, or returns false once halt is closed.
func (s *slots) acquire(halt <-chan struct{}) bool {
	s.mu.Lock()
	if s.used < s.limit && len(s.waiting) == 0 {
		s.used++
		s.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-halt:
	}
	return s.giveUp(turn)
}

// giveUp leaves the line. If the slot was passed on in the same instant it is given back.
func (s *slots) giveUp(turn chan struct{}) bool {
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == turn {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return false
		}
	}
	s.mu.Unlock()
	s.release()
	return false
}

func (s *slots) release() {
	s.mu.Lock()
	s.used--
	s.passLocked()
	s.mu.Unlock()
}

func (s *slots) setLimit(n int) {
	s.mu.Lock()
	s.limit = n
	s.passLocked()
	s.mu.Unlock()
}

func (s *slots) passLocked() {
	for s.used < s.limit && len(s.waiting) > 0 {
		s.used++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// most is the limit.
func (s *slots) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// ramp follows the limit after a recovery: one more for a success, half after a failure. It says
// whether the full concurrency is reached.
func (s *slots) ramp(success bool, full int) bool {
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
