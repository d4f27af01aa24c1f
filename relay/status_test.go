package relay

import (
	"testing"
	"time"
)

// An error of the engine's makes the relay unready for a minute, not for ever.
func TestEngineTrouble(t *testing.T) {
	f := func(n int64, ago time.Duration, unready bool) {
		t.Helper()
		if got := engineTrouble(n, time.Now().Add(-ago)); (got != "") != unready {
			t.Errorf("%d errors, the last %s ago: %q", n, ago, got)
		}
	}
	f(0, 0, false)
	f(1, 0, true)
	f(7, engineTroubled-time.Second, true)
	f(7, engineTroubled, false)
}
