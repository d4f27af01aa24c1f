package accept

import (
	"testing"
	"time"
)

func TestTurnsFor(t *testing.T) {
	f := func(sync time.Duration, cpus, want int) {
		t.Helper()
		if got := turnsFor(sync, cpus); got != want {
			t.Errorf("a sync takes %s, %d CPUs: %d; want %d", sync, cpus, got, want)
		}
	}
	// not known yet: as many as are in hand
	f(0, 2, inHandMax)
	// a quick disk, a slow one, one that hangs
	f(250*time.Microsecond, 2, 50)
	f(10*time.Millisecond, 2, 128)
	f(10*time.Second, 2, inHandMax)
	f(time.Hour*1000, 64, inHandMax)
	f(250*time.Microsecond, 16, 400)
}

func TestTurnsBeside(t *testing.T) {
	f := func(w Waiting, turns, batches int) {
		t.Helper()
		s := &Server{cpus: 2}
		if a, b := s.turnsBeside(w, 50); a != turns || b != batches {
			t.Errorf("%+v: %d turns, %d batches; want %d, %d", w, a, b, turns, batches)
		}
	}
	// nobody who is quick: all that may be in hand
	f(Waiting{}, inHandMax, inHandMax)
	// a turn for each delivery that leaves
	f(Waiting{AnyQuick: true}, 100, inHandMax)
	f(Waiting{AnyQuick: true, Quick: 60}, 40, inHandMax)
	// but a few in any case, and hardly a batch
	f(Waiting{AnyQuick: true, Quick: 92}, 8, 2)
	f(Waiting{AnyQuick: true, Quick: backlogAt - 1}, 8, 2)
	// a backlog is drained while half of those that keep disk and CPUs busy go on
	f(Waiting{AnyQuick: true, Quick: backlogAt}, 25, 2)
	f(Waiting{AnyQuick: true, Quick: 1 << 63}, 25, 2)
}

// What waits at a slow target takes no turn below those that keep disk and CPUs busy, and those as
// well again when little waits.
func TestKeepPace(t *testing.T) {
	var w Waiting
	s := &Server{cpus: 2, o: Options{Waiting: func() Waiting { return w }}}
	at := time.Unix(1000, 0)
	f := func(now Waiting, want int) {
		t.Helper()
		w, at = now, at.Add(time.Second)
		if s.KeepPace(at, 250*time.Microsecond); s.turns.Limit() != want {
			t.Errorf("%+v: %d turns; want %d", now, s.turns.Limit(), want)
		}
	}
	f(Waiting{}, inHandMax)
	f(Waiting{Slow: lagAt}, inHandMax)
	f(Waiting{Slow: lagAt + 1}, 50)
	f(Waiting{Slow: 1 << 40}, 50)
	f(Waiting{Slow: lagLeft + 1}, 50)
	f(Waiting{Slow: lagLeft}, inHandMax)
	f(Waiting{Slow: 1 << 40, AnyQuick: true}, 50)
	f(Waiting{AnyQuick: true, Quick: 80}, 20)
	at = at.Add(time.Second)
	if s.KeepPace(at, 0); s.turns.Limit() != 2*turnsFor(syncGuess, 2)-80 {
		t.Errorf("%d turns while it is not known what a sync takes", s.turns.Limit())
	}
	w = Waiting{AnyQuick: true, Quick: 80}
	at = at.Add(time.Second)
	s.KeepPace(at, 250*time.Microsecond)
	// too soon for another look
	w = Waiting{}
	if s.KeepPace(at.Add(lagLook-1), 0); s.turns.Limit() != 20 {
		t.Errorf("%d turns; want those of the last look", s.turns.Limit())
	}
}

func TestPace(t *testing.T) {
	p := pace{gap: time.Millisecond}
	at := time.Unix(1000, 0)
	f := func(after, want time.Duration) {
		t.Helper()
		at = at.Add(after)
		if got := p.delay(at); got != want {
			t.Errorf("waits %s; want %s", got, want)
		}
	}
	// alone; others at once; after a pause
	f(0, 0)
	f(0, time.Millisecond)
	f(0, 2*time.Millisecond)
	f(time.Millisecond, 2*time.Millisecond)
	f(time.Second, 0)
	// a flood is not held back for longer than the bound, and what follows it is not either
	for range 10_000 {
		p.delay(at)
	}
	f(0, refusalDelayMax)
	f(refusalDelayMax, 0)
}
