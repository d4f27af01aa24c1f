package testenv

import (
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
	eventually(all, func() bool {
		looks++
		<-time.After(look)
		return false
	})
	if most := int(all/(look+pauseAfter(look))) + 2; looks < 2 || looks > most {
		t.Errorf("%d looks of %s in %s, want 2 to %d", looks, look, all, most)
	}
}
