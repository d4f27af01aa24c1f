package relay

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// pausing is a target that is paused by a 410.
func pausing(t *config.Target) { t.Gone = "pause" }

// The first 410 pauses a target that takes it at its word: what got it and what was not sent stays
// pending, also at its last attempt, across a restart, until somebody resumes.
func TestGonePauses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	status := 410
	rx := newReceiver(t, func(int) int { return status })
	plain := newReceiver(t, always(410))
	f.target("crm", rx.URL, pausing, func(t *config.Target) { t.Concurrency = 1 })
	f.target("plain", plain.URL)
	f.cfg.Retry.MaxAttempts = 1
	f.start()
	f.post("/v1/events/x", "first")
	f.failedLive("crm")
	f.post("/v1/events/x", "second")
	f.runTick()
	f.runTick()
	if n, status := plain.count(), f.laneNamed("plain").status(); n != 4 || status != Enabled {
		t.Errorf("a target without the key got %d requests and is %s", n, status)
	}
	check := func(requests int) {
		t.Helper()
		l := f.laneNamed("crm")
		c := l.spool.Counts()
		if l.status() != Paused || rx.count() != requests || c.Pending != 2 || c.Exhausted != 0 {
			t.Errorf("%s after %d requests, %+v; want Paused after %d", l.status(), rx.count(), c,
				requests)
		}
		if got, _ := f.Target("crm"); got.GoneSince == nil || time.Since(*got.GoneSince) > time.Minute {
			t.Errorf("the target says it is gone since %v", got.GoneSince)
		}
	}
	check(1)
	f.restart()
	f.runTick()
	check(1)
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.wait("another pause", func() bool { return f.laneNamed("crm").status() == Paused })
	f.wait("its settling", func() bool { return f.laneNamed("crm").spool.Counts().Fresh == 0 })
	check(2) // what had not been sent was, and paused it again
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.runTick() // the last attempt of one of them, at least
	f.wait("a third pause", func() bool { return f.laneNamed("crm").status() == Paused })
	if c := f.laneNamed("crm").spool.Counts(); c.Exhausted != 0 || c.Pending != 2 {
		t.Errorf("at its last attempt: %+v", c)
	}
	rx.mu.Lock()
	status = 200
	rx.mu.Unlock()
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.runTick()
	f.wait("both", func() bool { return f.laneNamed("crm").spool.Counts().Delivered == 2 })
	if got, _ := f.Target("crm"); got.GoneSince != nil || got.Status != "Enabled" {
		t.Errorf("afterwards it is %s, gone since %v", got.Status, got.GoneSince)
	}
}
