package spool

import (
	"testing"
	"time"
)

// Whoever wants to know hears that the engine compacts, and that it has ended.
func TestOnCompaction(t *testing.T) {
	f := open(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	told := make(chan bool, 100)
	o := f.options()
	o.OnCompaction = func(begins bool) { told <- begins }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Close() })
	f.Spool = s
	next := func(want bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told %v; want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not told %v", want)
		}
	}
	s.reclaiming.Store(true)
	s.stir()
	next(true)
	s.reclaiming.Store(false)
	s.stir()
	next(false)
	// one that closing interrupts has ended as well
	s.reclaiming.Store(true)
	s.stir()
	next(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next(false)
	if len(told) > 0 {
		t.Errorf("told %d times more", len(told))
	}
}
