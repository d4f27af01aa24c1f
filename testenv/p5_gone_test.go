package testenv

import (
	"slices"
	"strings"
	"testing"
)

// TestP5GonePauses asserts that the first 410 of a target with gone = "pause" pauses it, with the
// reason and the instant, and that one mail and one post tell it, across a kill; that its deliveries
// stay pending and are charged nothing more; and that hookspool resume goes on.
func TestP5GonePauses(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	box := NewMailbox(t)
	box.Configure(j.Config)
	hook := postAlerts(j)
	j.Config.Set("retry.interval", "100ms")
	j.Config.Target("crm", j.RX.URL("crm"), "gone", "pause", "concurrency", 1)
	j.RX.Always("crm", Code(410))
	j.Start()
	first := j.SendIDs("first", 1)[0]
	j.AwaitStatus("crm", "Paused")
	j.SendIDs("later", 9)
	box.Await(1)
	awaitPaid(j, 2)
	j.Kill()
	j.Start()
	j.AwaitTicks(5)
	if n := j.RX.Count("crm"); n != 1 {
		t.Errorf("%d requests after 410, want none", n-1)
	}
	target := j.Target("crm")
	if target.Status != "Paused" || target.Pending != 10 || target.GoneSince == nil {
		t.Errorf("the target is %+v", target)
	}
	if out := j.CLI("targets", "crm").Stdout; !strings.Contains(out, "410 Gone") {
		t.Errorf("hookspool targets crm says\n%s", out)
	}
	if got := subjects(box); !slices.Equal(got, []string{"target crm is paused: it answered 410 Gone"}) {
		t.Errorf("the mails are %q", got)
	}
	if got := posts(t, hook); len(got) != 1 || got[0].Kind != "gone" || got[0].Target != "crm" {
		t.Errorf("the posts are %+v", got)
	}
	j.RX.Always("crm", OK())
	j.Verb("resume", "crm")
	j.AwaitPending("crm", 0)
	if got := j.RX.Attempts("crm", first); !slices.Equal(got, upTo(1)) {
		t.Errorf("the event that got 410 saw attempts %v", got)
	}
	if target := j.Target("crm"); target.GoneSince != nil || target.Delivered != 10 {
		t.Errorf("afterwards the target is %+v", target)
	}
}
