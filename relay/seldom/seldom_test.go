package seldom

import (
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	var g Gate
	start := time.Now()
	f := func(after time.Duration, n int, ok bool) {
		t.Helper()
		if gotN, got := g.Pass(start.Add(after), time.Minute); gotN != n || got != ok {
			t.Errorf("after %s: %d, %v; want %d, %v", after, gotN, got, n, ok)
		}
	}
	f(0, 1, true)
	f(time.Second, 0, false)
	f(59*time.Second, 0, false)
	f(time.Minute, 3, true)
	f(time.Hour, 1, true)
}
