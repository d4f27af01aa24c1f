// Package early remembers which deliveries are to be tried again before the next tick.
//
// They are on disk like every delivery that failed, and due at the next tick, so nothing is lost
// with what is here: a crash, or a want of room, leaves them to the tick. Only their places in the
// log are kept, not the events.
package early

import (
	"container/heap"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// laneMax and allMax bound what is remembered of one target, and of all: about 60 bytes each.
	laneMax = 10_000
	allMax  = 100_000
)

// Room is what all queues share. The zero Room is all of it.
type Room struct{ used atomic.Int64 }

// Entry is one delivery that is to be tried at an instant.
type Entry struct {
	At  time.Time
	Seq uint64
	// Attempts is how many requests were made when it was added. If there were more since, a job has
	// it.
	Attempts int
	// Stage counts the early attempts, from 1.
	Stage  int
	Tenure uint64
}

// Queue is what is remembered of one target. Its loop is run by whoever Add tells to. New makes
// one; it is safe for concurrent use.
type Queue struct {
	room *Room
	wake chan struct{} // capacity 1: the first entry is another one

	mu      sync.Mutex // guards below
	waiting entries
	running bool
	// busy are those that are being tried; count is how many, for who looks without the lock.
	busy  map[uint64]struct{}
	count atomic.Int64
}

// New is an empty queue.
func New(room *Room) *Queue {
	return &Queue{room: room, wake: make(chan struct{}, 1), busy: make(map[uint64]struct{})}
}

// Add remembers a delivery if there is room. start: the loop is to be started.
func (q *Queue) Add(e Entry) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= laneMax || q.room.used.Load() >= allMax {
		return false
	}
	q.room.used.Add(1)
	heap.Push(&q.waiting, e)
	if q.waiting[0] == e {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	start = !q.running
	q.running = true
	return start
}

// First is when the first is to be tried; false: there is none, and the loop is to end.
func (q *Queue) First() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running = false
		return time.Time{}, false
	}
	return q.waiting[0].At, true
}

// Ready reports whether there is one to be tried by now.
func (q *Queue) Ready(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 && !q.waiting[0].At.After(now)
}

// Wake receives when First may be another one.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Take takes the first, which is busy until Done. Whoever takes one must be the loop.
func (q *Queue) Take() Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := heap.Pop(&q.waiting).(Entry)
	q.room.used.Add(-1)
	q.busy[e.Seq] = struct{}{}
	q.count.Store(int64(len(q.busy)))
	return e
}

// Done tells that what was taken has been settled, or was not tried.
func (q *Queue) Done(seq uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, seq)
	q.count.Store(int64(len(q.busy)))
}

// Busy are those that are being tried; nil: none.
func (q *Queue) Busy() map[uint64]struct{} {
	if q.count.Load() == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.busy)
}

// Waiting are those that wait, by their places in the log; nil: none.
func (q *Queue) Waiting() map[uint64]Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	out := make(map[uint64]Entry, len(q.waiting))
	for _, e := range q.waiting {
		out[e.Seq] = e
	}
	return out
}

// Clear forgets what waits.
func (q *Queue) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.used.Add(-int64(len(q.waiting)))
	q.waiting = nil
}

// entries are a heap.Interface, the first to be tried first.
type entries []Entry

func (s entries) Len() int           { return len(s) }
func (s entries) Less(i, j int) bool { return s[i].At.Before(s[j].At) }
func (s entries) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *entries) Push(e any)        { *s = append(*s, e.(Entry)) }
func (s *entries) Pop() any {
	old := *s
	e := old[len(old)-1]
	*s = old[:len(old)-1]
	return e
}
