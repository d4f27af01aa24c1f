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
