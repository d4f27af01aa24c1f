// Package seldom lets something through now and then: a line of the log that would otherwise be
// written for every event.
package seldom

import (
	"sync"
	"time"
)

// Gate lets something through at most once in a while. The zero value is ready. It is safe for
// concurrent use.
type Gate struct {
	mu   sync.Mutex // guards below
	next time.Time
	n    int
}

// Pass reports whether it is time, and how many came since the last one that was let through, this
// one included.
func (g *Gate) Pass(now time.Time, every time.Duration) (n int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	if now.Before(g.next) {
		return 0, false
	}
	n, g.n, g.next = g.n, 0, now.Add(every)
	return n, true
}
