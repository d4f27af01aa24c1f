package testenv

import (
	"path/filepath"
	"testing"
	"time"
)

// TestUntilIsGentle asserts that waiting for something costs a fraction of the time, however much a
// look costs, and that what is cheap to look at is seen at once.
func TestUntilIsGentle(t *testing.T) {
	t.Parallel()
	f := func(look, want time.Duration) {
		t.Helper()
		if got := pauseAfter(look); got != want {
			t.Errorf("the pause after a look of %s is %s, want %s", look, got, want)
		}
	}
	f(0, pollEvery)
	f(time.Millisecond, pollEvery)
	f(10*time.Millisecond, 30*time.Millisecond)
	f(time.Minute, pollMost)

	const look, all = 20 * time.Millisecond, 400 * time.Millisecond
	looks := 0
	Eventually(all, func() bool {
		looks++
		<-time.After(look)
		return false
	})
	if most := int(all/(look+pauseAfter(look))) + 2; looks < 2 || looks > most {
		t.Errorf("%d looks of %s in %s, want 2 to %d", looks, look, all, most)
	}
}

// TestWaitForEnded asserts that a process which has ended tells its code, however short the wait.
func TestWaitForEnded(t *testing.T) {
	t.Parallel()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(bin, filepath.Join(t.TempDir(), "log"), nil, "--no-such-flag")
	if err != nil {
		t.Fatal(err)
	}
	Until(t, Patience, "the process to end", p.Ended)
	for range 100 {
		if code, err := p.Wait(0); code != 2 || err != nil {
			t.Fatalf("it left with code %d, %v; want 2", code, err)
		}
	}
}
