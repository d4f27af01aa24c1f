package early

import (
	"testing"
	"time"
)

func TestQueue(t *testing.T) {
	var room Room
	q, other := New(&room), New(&room)
	now := time.Now()
	if !q.Add(Entry{At: now.Add(2), Seq: 2}) || q.Add(Entry{At: now.Add(1), Seq: 1}) {
		t.Error("the loop is to be started by the first one alone")
	}
	select {
	case <-q.Wake():
	default:
		t.Error("nobody is told that the first is another one")
	}
	if at, ok := q.First(); !ok || !at.Equal(now.Add(1)) {
		t.Errorf("the first is at %v", at)
	}
	if e := q.Take(); e.Seq != 1 || len(q.Busy()) != 1 {
		t.Errorf("took %+v, %v are busy", e, q.Busy())
	}
	q.Done(1)
	if q.Busy() != nil {
		t.Errorf("%v are busy; want none", q.Busy())
	}
	for i := range uint64(2 * laneMax) {
		q.Add(Entry{At: now, Seq: i})
	}
	if n := room.used.Load(); n != laneMax {
		t.Errorf("%d are remembered of one target; want %d", n, laneMax)
	}
	q.Clear()
	if _, ok := q.First(); ok || room.used.Load() != 0 {
		t.Error("it is not empty")
	}
	if !q.Add(Entry{At: now}) {
		t.Error("the loop has ended, and is not to be started again")
	}
	room.used.Store(allMax)
	if other.Add(Entry{At: now}); len(other.waiting) != 0 {
		t.Error("more are remembered than there is room for")
	}
}
