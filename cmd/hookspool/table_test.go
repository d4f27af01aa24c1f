package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"github.com/hookspool/hookspool/relay/admin"
)

// layouts are the tables of the verbs with rows that are too long for any screen.
func layouts() map[string]*table {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before := now.Add(-3 * time.Hour)
	reason := "answered 503 Service Unavailable: 日本語のエラー and a very long explanation of it"
	id := "evt_0abcdefghijklmnopqrstuvwxyz01"
	failing := admin.DeliveryState{Target: "the-target-with-a-long-name", State: stateExhausted,
		Attempts: 145, FirstFailure: &before, LastAttempt: &before, LastError: reason, Replay: true}
	tried := admin.Attempt{Target: failing.Target, Attempt: 144, At: before, Outcome: "status",
		Status: 503, Error: reason, Duration: 0.0123, Remote: "[2001:db8:1111:2222::3333]:8443",
		Replay: true}
	deliveries, events, states := deliveryTable(&filter{}), eventTable(), stateTable()
	addDelivery(deliveries, &admin.Delivery{ID: id, Type: "templateMessageSentToSomebody",
		AcceptedAt: before, Bytes: 1234, DeliveryState: failing}, now)
	addEvent(events, &admin.Event{ID: id, Type: "templateMessageSentToSomebody", AcceptedAt: before,
		Session: "inactive", Bytes: 123456, Deliveries: []admin.DeliveryState{failing,
			{Target: "crm", State: statePending}, {Target: "erp", State: stateDelivered}}}, now)
	addState(states, &failing, now)
	return map[string]*table{
		"deliveries": deliveries,
		"events":     events,
		"states":     states,
		"attempts":   attemptTable([]admin.Attempt{tried}, now),
		"recent":     recentTable([]admin.RecentAttempt{{ID: id, Attempt: tried}}, now),
		"explain": explainTable(&admin.Explanation{Targets: []admin.ExplainedTarget{
			{Target: failing.Target, Status: "Defective", RefusedBy: "events", Note: reason}}}),
		"targets": targetTable([]admin.Target{
			{Name: "crm", Status: "Enabled", Events: []string{"*"}, FailedJobsMax: 100},
			{Name: "the-target-with-the-longest-name-of-all-the-names", Status: "Defective",
				Events:  []string{"message", "templateMessage*", "sentMessageREPLIED*"},
				Pending: 1234567, Exhausted: 1234567, FailedJobs: 101, FailedJobsMax: 100,
				OldestPending: &before, LastSuccess: &before, LastError: &reason},
		}, now),
		"shared": targetTable([]admin.Target{
			{Name: "crm", Status: "Enabled", Events: []string{"*"}, FailedJobsMax: 100},
			{Name: "the-target-with-the-longest-name-of-all-the-names", Status: "Defective",
				Events: []string{"message"}, LastError: &reason, Relay: "a-relay-with-a-very-long-name"},
		}, now),
		"relays": relayTable(&admin.Status{Interval: "10m0s", Relays: []admin.Peer{
			{Name: "a", Version: "1.2.3", Admin: "127.0.0.1:8471", Lanes: 3, Leads: true},
			{Name: "a-relay-with-a-very-long-name.example.com", Version: "1.2.3-rc.4+build", Lanes: 123456,
				Admin: "[2001:db8:1111:2222::3333]:8471", SeenAgo: 1.5, ConfigDiffers: true,
				ClockAhead: -7200},
		}}),
	}
}

// TestTablesFit renders every table at several widths: no line is wider, what was cut says so, and
// nothing is cut where there is no bound.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	for _, screen := range []int{40, 60, 80, 120, 0} {
		for name, table := range layouts() {
			text := table.render(screen, false)
			t.Run(fmt.Sprintf("%s/%d", name, screen), func(t *testing.T) {
				t.Parallel()
				for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
					if w := uniseg.StringWidth(line); screen > 0 && w > screen {
						t.Errorf("a line has %d columns: %q", w, line)
					}
				}
				if screen > 0 != strings.Contains(text, "…") {
					t.Errorf("what was cut is not told as it should be:\n%s", text)
				}
				if screen == 0 && strings.Count(text, "\n") < 2 {
					t.Errorf("there are no rows:\n%s", text)
				}
			})
		}
	}
}

// TestTableGivesWay asserts the order: flexible columns shrink, then spare ones go.
func TestTableGivesWay(t *testing.T) {
	t.Parallel()
	f := func(screen int, want string) {
		t.Helper()
		table := &table{columns: []column{{name: "ID", flex: true, min: 10}, {name: "N", right: true},
			{name: "SPARE", spare: 1}, {name: "ERROR", flex: true}}}
		table.add("evt_123456", "7", "spare", "answered 503")
		if got := table.render(screen, false); got != want {
			t.Errorf("at %d columns:\n%swant\n%s", screen, got, want)
		}
	}
	f(0, "ID          N  SPARE  ERROR\nevt_123456  7  spare  answered 503\n")
	f(34, "ID          N  SPARE  ERROR\nevt_123456  7  spare  answered 503\n")
	f(30, "ID          N  SPARE  ERROR\nevt_123456  7  spare  answere…\n")
	f(29, "ID          N  ERROR\nevt_123456  7  answered 503\n")
	f(23, "ID          N  ERROR\nevt_123456  7  answere…\n")
	f(20, "ID       N  ERROR\nevt_12…  7  answere…\n")
}

// TestTableWide asserts that a column for wide screens takes no room of others on a narrow one.
func TestTableWide(t *testing.T) {
	t.Parallel()
	f := func(screen int, want string) {
		t.Helper()
		table := &table{columns: []column{{name: "ID"}, {name: "SESSION", spare: 1, wide: true},
			{name: "N", spare: 2}}}
		table.add("a", "active", "7")
		if got := table.render(screen, false); got != want {
			t.Errorf("at %d columns:\n%swant\n%s", screen, got, want)
		}
	}
	f(0, "ID  SESSION  N\na   active   7\n")
	f(wideMin, "ID  SESSION  N\na   active   7\n")
	f(wideMin-1, "ID  N\na   7\n")
	f(3, "ID\na\n")
}

// TestTablePages asserts that a page after the first has no head and stays in line.
func TestTablePages(t *testing.T) {
	t.Parallel()
	table := &table{columns: []column{{name: "ID"}, {name: "N"}}}
	table.add("evt_1", "1")
	if got, want := table.render(0, false), "ID     N\nevt_1  1\n"; got != want {
		t.Errorf("the first page is %q, want %q", got, want)
	}
	table.add("e", "2")
	if got, want := table.render(0, false), "e      2\n"; got != want {
		t.Errorf("the second page is %q, want %q", got, want)
	}
}

// TestTableColors paints after aligning, and only what a column wants.
func TestTableColors(t *testing.T) {
	t.Parallel()
	table := &table{columns: []column{{name: "STATUS", color: statusColor}, {name: "N"}}}
	table.add("Enabled", "1")
	want := "STATUS   N\n" + green + "Enabled" + reset + "  1\n"
	if got := table.render(0, true); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTruncate cuts by columns of a screen, never inside of what is seen as one character.
func TestTruncate(t *testing.T) {
	t.Parallel()
	f := func(text string, columns int, want string) {
		t.Helper()
		if got := truncate(text, columns); got != want {
			t.Errorf("%q at %d became %q, want %q", text, columns, got, want)
		}
	}
	f("abc", 3, "abc")
	f("abcd", 3, "ab…")
	f("abcd", 1, "…")
	f("abcd", 0, "")
	f("日本語", 6, "日本語")
	f("日本語", 5, "日本…")
	f("日本語", 4, "日…")
	f("e\u0301e\u0301e\u0301", 2, "e\u0301…")
}
