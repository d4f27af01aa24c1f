package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// groupRow is the row of a group in the panel of failures.
func groupRow(words string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".failing tbody tr")].find((e) =>
		e.innerText.includes(%s))`, quote(words))
}

// clickIn clicks a button in what an expression finds.
func (c *console) clickIn(row, text string) {
	c.t.Helper()
	c.clickOn(quote(text), fmt.Sprintf(`[...(%s)?.querySelectorAll("button, a") || []].find((e) =>
		e.innerText.trim() === %s)`, row, quote(text)))
}

// copies clicks a button that copies, and returns what it has copied.
func (c *console) copies(text string) string {
	c.t.Helper()
	eval[any](c, `(window.copied = "", Object.defineProperty(navigator, "clipboard", { value:
		{ writeText: async (text) => { window.copied = text; } }, configurable: true }), 0)`)
	c.click(text)
	c.until("a copy", `window.copied`)
	return eval[string](c, `window.copied`)
}

// TestConsoleReplaysGroup asserts that each group of failures has a button that replays exactly its
// deliveries, counted before, told after and recorded as one action; that what the group's search
// shows are the same; and that nothing is said to be sent by a target that cannot.
func TestConsoleReplaysGroup(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	const a = 120 // two pages of the console
	j := testenv.NewJourney(t).Aim("crm", "waits")
	j.Config.Set("target.crm.max_attempts", 1).Set("retry.interval", "500ms")
	j.RX.Always("waits", testenv.Code(503))
	j.FailingAlike()
	j.Start()
	j.SendIDs("a", a)
	j.SendIDs("b", 3)
	j.SendIDs("c", 2)
	testenv.Until(t, testenv.Patience, "all exhausted", func() bool {
		return j.Target("crm").Exhausted == a+5
	})
	j.RX.Always("crm", testenv.OK())
	from := j.RX.Count("crm")

	c := openConsole(t, j.Relay, "#/target/crm")
	for _, width := range []int64{1440, 768, 360} {
		c.screen(width, "light")
		c.see("no database", "too busy", "Protocol", "Replay these…")
		c.checkLook("failures")
	}
	c.screen(1280, "light")
	c.clickIn(groupRow("too busy"), "Show")
	c.until("the group", `document.querySelectorAll("section.panel tbody tr").length === 3`)
	c.see("b-0", "b-2", "Group of failures")
	c.notSee("a-0")

	c.open("#/target/crm")
	c.clickIn(groupRow("no database"), "Replay these…")
	c.see("Deliveries with Status 503 no database, request")
	c.click("Count")
	c.see(fmt.Sprintf("%d deliveries would be replayed.", a))
	c.click(fmt.Sprintf("Replay %d", a))
	c.see(fmt.Sprintf("%d deliveries replayed.", a))
	c.click("Close")
	j.AwaitPending("crm", 0)
	for _, r := range j.RX.Requests("crm")[from:] {
		if !strings.HasPrefix(r.ID, "a-") || !r.Replay {
			t.Errorf("%s was sent, a replay: %t", r.ID, r.Replay)
		}
	}
	if n := j.RX.Count("crm") - from; n != a {
		t.Errorf("%d requests were made, want %d", n, a)
	}
	list := j.Actions("--target", "crm", "--verb", "replay")
	if len(list) != 1 || list[0].Count != a || list[0].Result != "done" || list[0].By != "console" ||
		!strings.Contains(list[0].Filter, "failure=") ||
		!strings.Contains(list[0].Filter, "status=503") {
		t.Errorf("the log of actions has %+v", list)
	}
	c.click("Look again")
	c.until("the group to be gone", `!(%s)`, groupRow("no database"))
	c.see("too busy", "Protocol")

	j.Verb("pause", "crm")
	c.see("Paused")
	c.clickIn(groupRow("too busy"), "Replay these…")
	c.click("Count")
	c.see("3 deliveries would be queued, and not sent; crm is paused")
	c.click("Queue 3")
	c.see("3 deliveries queued; crm is paused")
	c.click("Close")
	if n := j.Target("crm"); n.Pending != 3 || n.Exhausted != 2 {
		t.Errorf("%d are pending, %d exhausted", n.Pending, n.Exhausted)
	}
	// What waits for its tick is being sent anyway.
	j.AwaitFailed("waits", a+5)
	c.open("#/target/waits")
	c.until("the group", `Boolean(%s)`, groupRow("503"))
	c.until("no replay", `!(%s).innerText.includes("Replay")`, groupRow("503"))
	j.Verb("resume", "crm")
}

// TestConsoleChooses asserts that the dialogs of replay and purge ask for what the search asks for,
// tell what is wrong, count before, and do what was asked for and nothing else.
func TestConsoleChooses(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.ExhaustedOf(t, false)
	j.RX.Always("crm", testenv.OK())
	from := j.RX.Count("crm")
	c := openConsole(t, j.Relay, "#/target/crm")
	labels := []string{"Id", "Type", "State", "Accepted since", "Until", "Where", "Conversation",
		"Session", "Last status", "Last error"}
	for _, dialog := range []string{"Replay…", "Purge…"} {
		c.click(dialog)
		for _, label := range labels {
			c.until(label, `Boolean(%s)`, field(label))
		}
		for _, width := range []int64{1440, 768, 360} {
			c.screen(width, "dark")
			c.checkLook(dialog)
		}
		c.screen(1280, "light")
		c.click("Close")
	}

	c.click("Replay…")
	c.expect("400")
	c.fill("Where", ".a = = 1")
	c.click("Count")
	c.see("is no jq program: line 1, column 6", "write waId=491701234567")
	c.fill("Where", "waId=491")
	c.fill("Accepted since", "noon")
	c.click("Count")
	c.see("neither like 15m nor an instant")
	c.fill("Accepted since", time.Now().Add(-time.Minute).Format("15:04"))
	c.fill("Last status", "5xx")
	c.fill("Conversation", "491")
	c.choose("Session", "inactive")
	c.fill("Id", "491-*")
	c.click("Count")
	c.see("4 deliveries would be replayed.")
	c.fill("Last error", "protocol")
	c.click("Count")
	c.see("There is nothing to replay.")
	c.fill("Last error", "503\r") // Enter counts
	c.see("4 deliveries would be replayed.")
	c.click("Replay 4")
	c.see("4 deliveries replayed.")
	c.click("Close")
	j.AwaitPending("crm", 0)
	if n := j.RX.Count("crm") - from; n != 4 {
		t.Errorf("%d were sent", n)
	}

	c.click("Purge…")
	c.fill("Where", `.waId + 1 == 2`)
	c.click("Count")
	c.see("There is nothing to purge; the program failed on 8 events, which count as no match.")
	c.fill("Where", `.n > 0`)
	c.fill("Conversation", "493")
	c.fill("Last error", "protocol")
	c.fill("Type", "mess*")
	c.click("Count")
	c.see("3 deliveries would be deleted.", "Purge 3")
	if c.enabled("Purge 3") {
		t.Error("it can be purged before the name is typed")
	}
	c.fill("Type the target's name to confirm", "crm")
	c.fill("Id", "493-1") // what is changed wants to be counted again
	c.click("Count")
	c.see("1 delivery would be deleted.")
	c.click("Purge 1")
	c.see("1 delivery deleted.")
	c.click("Close")
	j.WantFound("492-0 492-1 492-2 492-3 493-0 493-2 493-3", "exhausted", "--target", "crm")
	list := j.Actions("--target", "crm", "--verb", "purge")
	if len(list) != 1 || list[0].Count != 1 || !strings.Contains(list[0].Filter, "id=493-1") {
		t.Errorf("the log of actions has %+v", list)
	}
}

// TestConsoleHelps asserts that what helps a delivery can be done beside its verdict and copied as a
// command, and that an event can be copied as the command that brings it in again.
func TestConsoleHelps(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm", "held", "gone")
	j.RX.Always("crm", testenv.Code(503))
	j.Start()
	j.Verb("pause", "held")
	j.Send(testenv.Post{ID: "one", Type: "message", Body: []byte(`{"waId":"1","text":"it's"}`)})
	j.AwaitFailed("crm", 1)
	j.RX.Await("gone", 1)
	c := openConsole(t, j.Relay, "#/event/one")
	c.see("Helps: hookspool sample crm, then hookspool retry crm", "Helps: hookspool resume held")
	if got := c.copies("Copy command"); got != "hookspool sample crm && hookspool retry crm" {
		t.Errorf("what helps is %q", got)
	}
	c.click("Sample crm")
	c.see("Sample callback to crm")
	c.click("Send sample")
	c.see("Not acknowledged")
	c.click("Close")
	j.RX.Always("crm", testenv.OK())
	c.click("Retry now crm")
	c.see("Retry now: crm")
	c.click("Retry now")
	c.see("1 tried, 1 acknowledged")
	c.click("Close")
	c.notSee("then hookspool retry crm")
	c.click("Resume held")
	c.see("Resume held", "What was held is sent from now on.")
	c.click("Resume")
	c.see("held is Enabled")
	c.click("Close")
	c.notSee("Helps: hookspool resume held")
	j.AwaitPending("held", 0)

	again := c.copies("Copy event as curl")
	if !strings.HasPrefix(again, "curl -i "+j.EventsURL()+"/v1/events ") {
		t.Errorf("the event is\n%s", again)
	}
	j.Ledger.AllowForeign()
	from := j.RX.Count("crm")
	j.Shell(again)
	testenv.Until(t, testenv.Patience, "it to come again", func() bool {
		return j.RX.Count("crm") == from+1
	})
	if r := j.RX.Requests("crm")[from]; string(r.Body) != `{"waId":"1","text":"it's"}` ||
		r.Type != "message" || r.ID == "one" {
		t.Errorf("it came again as %+v", r)
	}
}

// TestConsoleSession asserts that lists of deliveries show the session that was sent with them, and
// leave it out on a narrow screen.
func TestConsoleSession(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.Send(testenv.Post{ID: "first", Type: "message", Body: []byte(`{"waId":"1"}`)})
	j.Send(testenv.Post{ID: "second", Type: "sessionMessageSent", Body: []byte(`{"waId":"1"}`)})
	j.AwaitPending("crm", 0)
	c := openConsole(t, j.Relay, "#/target/crm/delivered")
	const rows = `section[aria-label="delivered deliveries"] tbody tr`
	c.seeIn(rows, "second")
	for _, width := range []int64{1440, 768, 360} {
		c.screen(width, "light")
		c.until("the sessions", `[...document.querySelectorAll(%s)].map((tr) => {
			const e = tr.querySelector('[data-title="Session"]');
			return e.checkVisibility() ? e.innerText : "";
		}).join() === %s`, quote(rows), quote(map[bool]string{true: "active,inactive",
			false: ","}[width > 400]))
		c.checkLook("deliveries")
	}
}
