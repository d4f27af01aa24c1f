package frequency

import (
	"testing"
	"time"
)

// TestCounter asserts a mean over whole seconds and the running one, with what is older left out,
// also once the slots are used again.
func TestCounter(t *testing.T) {
	var c Counter
	start := time.Unix(1_000_000, 0)
	f := func(at time.Duration, span int, want float64) {
		t.Helper()
		if got := c.Mean(start.Add(at), span); got != want {
			t.Errorf("after %v over %d s: %v, want %v", at, span, got, want)
		}
	}
	f(0, 5, 0)
	for i := range 40 {
		c.Add(start.Add(time.Duration(i)*time.Second), 6)
		c.Add(start.Add(time.Duration(i)*time.Second+time.Millisecond), 4)
	}
	f(39500*time.Millisecond, 4, 50/4.5)
	f(39500*time.Millisecond, 14, 150/14.5)
	f(41*time.Second, 4, 30/4.0)
	f(44*time.Second, 4, 0)
	f(-time.Hour, 4, 0)
}
