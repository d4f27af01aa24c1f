package spool

import (
	"sync/atomic"
	"testing"
	"time"
)

// The outcome of a failure rides with the next event, and goes by itself when there is none.
func TestOutcomesRide(t *testing.T) {
	const events = 100
	f := open(t)
	var groups atomic.Int64
	f.patience = time.Second                                // longer than a slow sync, and set before anything is committed
	f.onCommit = func(int, time.Duration) { groups.Add(1) } // before anything is committed
	l := f.lane("a")
	l.Open(true)
	for range events {
		f.append("first", "a")
	}
	groups.Store(0)
	for _, e := range f.fetch(l, events) {
		f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 9, Verdict: Retry,
			At: f.now})
		f.append("next", "a")
	}
	if n := groups.Load(); n > events*3/2 {
		t.Errorf("%d outcomes and as many events took %d groups", events, n)
	}
	last := f.fetch(l, events)[0]
	f.Settle(Settlement{Lane: l.id, Seq: last.Seq, Fresh: true, Attempts: 1, Due: 9, Verdict: Retry,
		At: f.now})
	deadline := time.Now().Add(testPatience)
	for len(f.due(l, 9)) != events+1 {
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries are due", len(f.due(l, 9)))
		}
		time.Sleep(time.Millisecond)
	}
}

// A full line of outcomes does not wait.
func TestCanWait(t *testing.T) {
	s := &Spool{}
	for range patientMax - 1 {
		s.carry = append(s.carry, &op{patient: true})
	}
	if !s.canWait() {
		t.Error("a few outcomes cannot wait")
	}
	s.carry = append(s.carry, &op{patient: true})
	if s.canWait() {
		t.Error("many outcomes wait")
	}
	s.carry = []*op{{patient: true}, {}}
	if s.canWait() {
		t.Error("an event waits with an outcome")
	}
}
