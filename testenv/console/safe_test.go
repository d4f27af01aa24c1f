package console

import (
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// defectiveErp is a relay with one target that is Defective, of which some deliveries are pending.
func defectiveErp(t *testing.T) *testenv.Journey {
	t.Helper()
	j := testenv.NewJourney(t).Aim("erp")
	j.Config.Set("defect.after_failed_jobs", 1)
	j.RX.Always("erp", testenv.Code(503))
	j.Start()
	j.SendIDs("e", 3)
	j.AwaitFailed("erp", 3)
	for range 2 {
		jobOf(t, j, "erp")
	}
	j.AwaitStatus("erp", "Defective")
	return j
}

// TestConsoleForce asserts that a defect is lifted by force only after a question that says what it
// costs; that a job runs at once, and the page tells what it came to; and that the target's list of
// actions says who did it.
func TestConsoleForce(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := defectiveErp(t)
	from := j.RX.Count("erp")
	c := openConsole(t, j.Relay, "#/target/erp")
	c.click("Lift by force…")
	c.see("This makes it Enabled although nothing was acknowledged, and ends its alarm")
	c.wantFocus("the button that does no harm", `e.innerText === "Cancel"`)
	c.press("\r")
	c.notSee("ends its alarm")
	if status := j.Target("erp").Status; status != "Defective" || j.RX.Count("erp") != from {
		t.Errorf("a cancelled force made it %s", status)
	}
	c.click("Lift by force…")
	c.click("Lift by force")
	c.see("3 tried, 0 acknowledged (503 × 3); still Enabled")
	c.click("Close")
	j.RX.Await("erp", from+3)
	if status := j.Target("erp").Status; status != "Enabled" {
		t.Errorf("it is %s", status)
	}
	c.seeIn("header.head", "Enabled")
	c.notSee("Lift by force…")
	c.seeIn("section[aria-label=Actions]", "enable")
	out := j.CLI("actions", "--target", "erp").Stdout
	if !strings.Contains(out, "enable") || !strings.Contains(out, "console") {
		t.Errorf("hookspool actions says\n%s", out)
	}
}

// TestConsoleQueue asserts that a replay to a target which cannot send says so before it does
// anything, is not called one afterwards, and sends nothing until the target can; and that Enter in
// a field counts and never sends.
func TestConsoleQueue(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("erp")
	j.Start()
	j.SendIDs("e", 2)
	j.RX.Await("erp", 2)
	testenv.Until(t, testenv.Patience, "both delivered", func() bool {
		return len(j.Deliveries("erp", "delivered")) == 2
	})
	j.Verb("pause", "erp")
	c := openConsole(t, j.Relay, "#/target/erp")
	c.click("Replay…")
	c.choose("State", "delivered")
	for _, name := range []string{"Type", "Accepted since", "Until", "Where"} {
		c.fill(name, "\r")
		c.see("2 deliveries would be queued, and not sent", "paused", "Queue 2")
		c.press("\r\r") // what was counted is not sent by it
		c.notSee("2 deliveries queued")
	}
	if n := j.Target("erp").Pending; n != 0 {
		t.Fatalf("Enter in a field queued %d", n)
	}
	c.click("Queue 2")
	c.see("2 deliveries queued; erp is paused")
	c.notSee("replayed")
	c.click("Close")
	if n := j.RX.Count("erp"); n != 2 || j.Target("erp").Pending != 2 {
		t.Errorf("%d requests, %d pending", n, j.Target("erp").Pending)
	}
	c.click("Resume…")
	c.click("Resume")
	c.see("erp is Enabled") // and gets at once what was queued
	j.AwaitPending("erp", 0)
	j.RX.Await("erp", 4)
}

// TestConsoleEnter asserts that Enter in a field of a purge counts, and does not delete what was
// counted, even where the name is typed already; and that the button does, by the keyboard alone.
func TestConsoleEnter(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("erp")
	j.Config.Set("target.erp.status", "paused")
	j.Start()
	for range 2 {
		j.Relay.Post(testenv.Post{Type: "message", Body: []byte(`{}`)}) // they will be purged
	}
	c := openConsole(t, j.Relay, "#/target/erp")
	c.click("Purge…")
	c.choose("State", "pending")
	c.fill("Type", "message\r")
	c.see("2 deliveries would be deleted.")
	c.fill("Type the target's name to confirm", "erp")
	for _, name := range []string{"Type", "Type the target's name to confirm"} {
		c.until("the field", `(%s).focus() ?? 1`, field(name))
		c.press("\r")
		if n := j.Target("erp").Pending; n != 2 {
			t.Fatalf("Enter in %q deleted: %d are pending", name, n)
		}
	}
	c.see("2 deliveries would be deleted.")
	c.press("\t\t") // over Count
	c.wantFocus("the button", `e.innerText === "Purge 2"`)
	c.press("\r")
	c.see("2 deliveries deleted.")
	c.press("\x1b")
	c.wantFocus("where it was", `e.innerText === "Purge…"`)
}
