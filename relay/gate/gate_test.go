package gate

import (
	"testing"
	"time"
)

func TestFor(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 5, time.UTC)
	f := func(d, most time.Duration, want time.Time) {
		t.Helper()
		if got := For(d, most, now); !got.Equal(want) {
			t.Errorf("%s of at most %s: shut until %s; want %s", d, most, got, want)
		}
	}
	f(3*time.Second, time.Hour, now.Truncate(time.Second).Add(4*time.Second))
	f(3*time.Hour, time.Hour, now.Truncate(time.Second).Add(time.Hour))
	f(1<<63-1, 300*time.Millisecond, now.Add(300*time.Millisecond))
}

func TestUntil(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 5, time.UTC)
	f := func(kept time.Time, most time.Duration, want time.Time) {
		t.Helper()
		if got := Until(kept, now, most); !got.Equal(want) {
			t.Errorf("kept %s, at most %s: shut until %s; want %s", kept, most, got, want)
		}
	}
	f(time.Time{}, time.Hour, time.Time{})
	f(now, time.Hour, time.Time{})
	f(now.Add(time.Minute), time.Hour, now.Add(time.Minute))
	f(now.Add(time.Minute), 0, time.Time{})
	// A reload made it less, or the clock was set back.
	f(now.Add(time.Minute), time.Second, now.Add(time.Second))
}
