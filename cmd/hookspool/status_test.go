package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// status shows the relays of a shared spool and what is wrong with them, and nothing of it where
// there is one relay; targets shows who serves each.
func TestStatusOfSeveralRelays(t *testing.T) {
	var out bytes.Buffer
	c := &cli{out: &out, getenv: func(string) string { return "" }}
	s := admin.Status{Interval: "1m0s", Ready: true}
	c.printStatus(&s, time.Now())
	if strings.Contains(out.String(), "RELAY") {
		t.Errorf("one relay: %s", &out)
	}
	out.Reset()
	s.Relays = []admin.Peer{
		{Name: "east", Version: "1.2.3", Admin: "127.0.0.1:8471", Lanes: 2, Leads: true, ClockAhead: 59},
		{Name: "west", Lanes: 1, SeenAgo: 1.4, ConfigDiffers: true, ClockAhead: -61}}
	c.printStatus(&s, time.Now())
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"RELAY VERSION TARGETS SEEN ADMIN NOTES",
		"east 1.2.3 2 0s ago 127.0.0.1:8471 leads",
		"west - 1 1s ago - another config, its clock is 1m1s behind"}
	if got := lines[len(lines)-3:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	targets := []admin.Target{{Name: "crm", Status: "Enabled"}, {Name: "erp", Status: "Paused"}}
	if text := targetTable(targets, time.Now()).render(0, false); strings.Contains(text, "RELAY") {
		t.Errorf("one relay: %s", text)
	}
	targets[0].Relay = "west"
	if text := targetTable(targets, time.Now()).render(0, false); !strings.Contains(text, "RELAY") ||
		!strings.Contains(text, "west\n") {
		t.Errorf("several: %s", text)
	}
}
