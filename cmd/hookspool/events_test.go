package main

import (
	"errors"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// TestDeliveriesText names targets by state, what needs a look first.
func TestDeliveriesText(t *testing.T) {
	t.Parallel()
	f := func(want string, states ...string) {
		t.Helper()
		var list []admin.DeliveryState
		for i, state := range states {
			list = append(list, admin.DeliveryState{Target: string(rune('a' + i)), State: state})
		}
		if got := deliveriesText(list, time.Now()); got != want {
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
		one := filter{since: text}
		err := one.checkWindow(now)
		got := one.since
		if err != nil {
			got = ""
		}
		var no *failure
		if want == "" && text != "" && (!errors.As(err, &no) || no.code != exitUsage) || got != want {
			t.Errorf("%q became %q, %v, want %q", text, got, err, want)
		}
	}
	f("", "")
	f("15m", "2026-03-08T11:45:00Z")
	f("7d", "2026-03-01T12:00:00Z")
	f("0s", "2026-03-08T12:00:00Z")
	f("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z")
	f("13:00", "2026-03-07T13:00:00Z")
	f("2026-03-01 12:30", "2026-03-01T12:30:00Z")
	f("-5m", "")
	f("yesterday", "")
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
