package moment

import (
	"testing"
	"time"
)

// Every form means one instant.
func TestRead(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	now := time.Date(2026, 11, 28, 3, 10, 0, 0, zone)
	f := func(text, want string) {
		t.Helper()
		at, err := Read(text, now)
		if want == "" {
			if err == nil {
				t.Errorf("%q is %s, and should be nothing", text, at)
			}
			return
		}
		if err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("%q is %s, %v; want %s", text, at.Format(time.RFC3339), err, want)
		}
	}
	// How long ago.
	f("24h", "2026-11-27T03:10:00+02:00")
	f("7d", "2026-11-21T03:10:00+02:00")
	f("0s", "2026-11-28T03:10:00+02:00")
	// The last time that it was that.
	f("22:00", "2026-11-27T22:00:00+02:00")
	f("3:10", "2026-11-28T03:10:00+02:00")
	f("03:10:01", "2026-11-27T03:10:01+02:00")
	f("00:00", "2026-11-28T00:00:00+02:00")
	// A day and a time, in the zone of the clock.
	f("2026-11-27 22:00", "2026-11-27T22:00:00+02:00")
	f("2026-11-27T22:00:30", "2026-11-27T22:00:30+02:00")
	f("2026-11-27", "2026-11-27T00:00:00+02:00")
	// With a zone of its own.
	f("2026-11-27T22:00:00Z", "2026-11-27T22:00:00Z")
	for _, none := range []string{"", "yesterday", "-1h", "25:00", "2026-13-01", "22", "1",
		"2026-11-27 22:00Z", "99999999999h"} {
		f(none, "")
	}
}

// From 22:00 until 06:00 is one night, whenever it is asked.
func TestWindow(t *testing.T) {
	f := func(now, since, until, from, to string) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		a, b, err := Window(since, until, at)
		if err != nil || a.Format(time.RFC3339) != from || b.Format(time.RFC3339) != to {
			t.Errorf("at %s %q to %q is %s to %s, %v; want %s to %s", now, since, until,
				a.Format(time.RFC3339), b.Format(time.RFC3339), err, from, to)
		}
	}
	const open = "0001-01-01T00:00:00Z"
	// In the morning after, and in that night.
	f("2026-11-28T09:00:00Z", "22:00", "06:00", "2026-11-27T22:00:00Z", "2026-11-28T06:00:00Z")
	f("2026-11-28T03:00:00Z", "22:00", "06:00", "2026-11-27T22:00:00Z", "2026-11-28T06:00:00Z")
	// Until the last time that it was six, of a week.
	f("2026-11-28T03:00:00Z", "7d", "06:00", "2026-11-21T03:00:00Z", "2026-11-27T06:00:00Z")
	// One end is open.
	f("2026-11-28T03:00:00Z", "", "06:00", open, "2026-11-27T06:00:00Z")
	f("2026-11-28T03:00:00Z", "1h", "", "2026-11-28T02:00:00Z", open)
	// Two instants stay as they are, in whichever order.
	f("2026-11-28T03:00:00Z", "1m", "1h", "2026-11-28T02:59:00Z", "2026-11-28T02:00:00Z")
	if _, _, err := Window("1h", "soon", time.Now()); err == nil || err.(*Error).What != "until" {
		t.Errorf("soon: %v", err)
	}
}
