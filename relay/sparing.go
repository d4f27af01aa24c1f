package relay

import (
	"sync"
	"time"
)

// sparingPause lies between two lines about the same thing.
const sparingPause = time.Minute

// sparing lets a line through that says how often something happened, at most once in sparingPause.
// The zero sparing lets the first through.
type sparing struct {
	mu   sync.Mutex // guards below
	said time.Time
	n    int
}

// count counts one more, and says whether it is time for a line, and how many that line stands for.
func (s *sparing) count(now time.Time) (n int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if !s.said.IsZero() && now.Sub(s.said) < sparingPause {
		return 0, false
	}
	n, s.n, s.said = s.n, 0, now
	return n, true
}
