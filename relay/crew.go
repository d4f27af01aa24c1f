package relay

import (
	"sync"
	"time"
)

// workerIdle ends a worker that had nothing to do; a lane at rest has none.
const workerIdle = 5 * time.Second

// crew is a lane's workers: hired when a delivery has a slot but nobody is idle. A worker lines up
// before it gives its slot back, so there are never more of them than slots.
type crew struct {
	mu   sync.Mutex // guards idle
	idle []*worker
}

// worker makes attempts, one after the other.
type worker struct {
	// next has capacity 1; whoever took the worker out of idle sends exactly one task.
	next chan task
}

// hire hands a task to the worker that was idle last, or to a new one.
func (l *lane) hire(t task) {
	l.crew.mu.Lock()
	if n := len(l.crew.idle); n > 0 {
		w := l.crew.idle[n-1]
		l.crew.idle = l.crew.idle[:n-1]
		l.crew.mu.Unlock()
		w.next <- t
		return
	}
	l.crew.mu.Unlock()
	w := &worker{next: make(chan task, 1)}
	l.r.spawn(func() { l.work1(w, t) })
}

// work1 is one worker's life.
func (l *lane) work1(w *worker, t task) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		settle := l.attempt(t)
		l.crew.mu.Lock()
		l.crew.idle = append(l.crew.idle, w)
		l.crew.mu.Unlock()
		l.slots.release()
		settle()
		idle.Reset(workerIdle)
		select {
		case t = <-w.next:
			continue
		case <-idle.C:
		case <-l.r.stopping:
		}
		if l.crew.leave(w) {
			return
		}
		t = <-w.next
	}
}

// leave takes a worker out of the line; false if a task is on its way to it.
func (c *crew) leave(w *worker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.idle {
		if other == w {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return true
		}
	}
	return false
}
