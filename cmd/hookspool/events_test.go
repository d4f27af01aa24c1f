package main

import (
	"errors"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// TestNextOf asserts what is said of a delivery that has not arrived, most pressing reason first.
func TestNextOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tick := now.Add(9*time.Minute + 30*time.Second)
	f := func(d admin.DeliveryState, target admin.Target, want string) {
		t.Helper()
		target.Name = "crm"
		if got := nextOf(&d, &target, &admin.Status{NextTick: &tick}, now); got != want {
			t.Errorf("%+v at %+v: %q, want %q", d, target, got, want)
		}
	}
	tried := admin.DeliveryState{State: statePending, Attempts: 1}
	f(tried, admin.Target{Status: "Enabled"}, "the next job is in 9m; now: hookspool retry crm")
	f(tried, admin.Target{Status: "Enabled", JobRunning: true}, "a job runs now, oldest first")
	f(tried, admin.Target{Status: "Defective"},
		"Defective; the next job is in 9m; now: hookspool enable crm")
	f(tried, admin.Target{Status: "Paused"}, "Paused; release it: hookspool resume crm")
	f(tried, admin.Target{Status: "Disabled"}, "Disabled by the config; what is spooled is frozen")
	f(tried, admin.Target{Status: "Disabled", Orphan: true},
		"not in the config any more; put its table back and reload, or purge it")
	// One that was not tried waits for a live attempt, a replay for a job.
	f(admin.DeliveryState{State: statePending}, admin.Target{Status: "Enabled", Pending: 7},
		"it waits for its turn; 7 are pending")
	f(admin.DeliveryState{State: statePending, Replay: true}, admin.Target{Status: "Enabled"},
		"the next job is in 9m; now: hookspool retry crm")
}

// TestDeliveriesText names targets by state, what needs a look first.
func TestDeliveriesText(t *testing.T) {
	t.Parallel()
	f := func(want string, states ...string) {
		t.Helper()
		var list []admin.DeliveryState
		for i, state := range states {
			list = append(list, admin.DeliveryState{Target: string(rune('a' + i)), State: state})
		}
		if got := deliveriesText(list); got != want {
			t.Errorf("%v became %q, want %q", states, got, want)
		}
	}
	f("-")
	f("delivered: a", stateDelivered)
	f("exhausted: c; pending: b; delivered: a, d", stateDelivered, statePending, stateExhausted,
		stateDelivered)
	f("purged: a; delivered: b", "purged", stateDelivered)
}

// TestNotKept counts the attempts that are missing before one.
func TestNotKept(t *testing.T) {
	t.Parallel()
	kept := []admin.Attempt{{Target: "crm", Attempt: 0}, {Target: "erp", Attempt: 0},
		{Target: "crm", Attempt: 7}, {Target: "crm", Attempt: 8}, {Target: "crm", Replay: true}}
	for i, want := range []int{0, 0, 6, 0, 0} {
		if got := notKept(kept[:i], &kept[i]); got != want {
			t.Errorf("before attempt %d of the list %d are missing, want %d", i, got, want)
		}
	}
}

// TestInstant reads points in time and how long ago; what is neither is wrong usage.
func TestInstant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	f := func(text, want string) {
		t.Helper()
		got, err := instant("--since", text, now)
		var no *failure
		if want == "" && text != "" && (!errors.As(err, &no) || no.code != exitUsage) || got != want {
			t.Errorf("%q became %q, %v, want %q", text, got, err, want)
		}
	}
	f("", "")
	f("15m", "2026-03-08T11:45:00Z")
	f("7d", "2026-03-01T12:00:00Z")
	f("0s", "2026-03-08T12:00:00Z")
	f("2026-03-01T12:00:00+01:00", "2026-03-01T12:00:00+01:00")
	f("-5m", "")
	f("yesterday", "")
	f("2026-03-01", "")
}

// TestShellQuote makes one word of a shell, to be typed as it is printed.
func TestShellQuote(t *testing.T) {
	t.Parallel()
	f := func(word, want string) {
		t.Helper()
		if got := shellQuote(word); got != want {
			t.Errorf("%q became %s, want %s", word, got, want)
		}
	}
	f("order-17", "order-17")
	f("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z")
	f("", "''")
	f("mess*", "'mess*'")
	f("it's", `'it'\''s'`)
	f("$HOME;", "'$HOME;'")
	f("=cmd", "'=cmd'")
}
