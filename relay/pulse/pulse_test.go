package pulse

import (
	"testing"
	"time"
)

func TestLook(t *testing.T) {
	var p Pulse
	at := time.Unix(1000, 0)
	f := func(after time.Duration, atOnce, cpus int, quick, moves bool) {
		t.Helper()
		at = at.Add(after)
		if q, m := p.Look(at, atOnce, cpus); q != quick || m != moves {
			t.Errorf("%d at once, %d CPUs: quick %v, moves %v; want %v, %v", atOnce, cpus, q, m, quick,
				moves)
		}
	}
	// nothing is known
	f(0, 32, 2, false, false)
	// the shortest counts
	p.Note(time.Second, at)
	f(0, 32, 2, false, true)
	p.Note(time.Millisecond, at)
	p.Note(time.Second, at)
	f(0, 32, 2, true, true)
	// few at once, or many CPUs, would wait for the target
	f(0, 15, 2, false, true)
	f(0, 32, 4, true, true)
	f(0, 32, 5, false, true)
	// no success any more
	f(quickFor, 32, 2, true, true)
	f(time.Nanosecond, 32, 2, false, true)
	f(movesFor-quickFor, 32, 2, false, false)
	// it has become slow: what was quick counts until its second window ends
	p = Pulse{}
	f(0, 32, 2, false, false)
	p.Note(time.Millisecond, at)
	slow := func(after time.Duration, quick bool) {
		t.Helper()
		p.Note(100*time.Millisecond, at.Add(after))
		f(after, 32, 2, quick, true)
	}
	slow(window-1, true)
	slow(1, true)
	slow(window-1, true)
	slow(1, false)
}
