package console

import (
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleStays asserts that the way to a conversation stays where it is when what a search finds
// arrives: whoever is about to click it would hit what has come in its place.
func TestConsoleStays(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.Send(testenv.Post{ID: "one", Type: "message", Body: []byte(`{"waId":"491"}`)})
	c := openConsole(t, j.Relay, "#/search")
	c.see("That is all.")
	for _, width := range widths() {
		c.screen(width, "light")
		eval[any](c, `(() => {
			const real = window.real ||= window.fetch;
			const gate = new Promise((go) => { window.go = go; });
			window.fetch = (...args) => String(args[0]).includes("events")
				? gate.then(() => real(...args)) : real(...args);
			location.hash = "#/search?conversation=491&n=%d";
		})()`, width)
		where := `(() => { const r = (` + control("Conversation") + `)?.getBoundingClientRect();
			return r ? [r.x, r.y, r.width].join() : ""; })()`
		c.until("the way to the conversation", `location.hash.endsWith("=%d") &&
			document.activeElement.tagName === "H1" && %s`, width, where)
		before := eval[string](c, "%s", where)
		eval[any](c, `window.go()`)
		c.see("Replay these…", "That is all.")
		if after := eval[string](c, "%s", where); after != before {
			t.Errorf("at %d px it moves from %s to %s", width, before, after)
		}
	}
}

// TestConsoleChoice asserts that the console finds events by what is in them, tells what is wrong
// with a program, keeps the search in the address, replays what it found and nothing else, and shows
// a conversation.
func TestConsoleChoice(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.ExhaustedOf(t, true)
	j.RX.Always("crm", testenv.OK())
	j.Send(testenv.Post{Type: "sessionMessageSent",
		Body: []byte(`{"waId":"491","conversationId":"c"}`)})
	j.AwaitPending("crm", 0)
	from := j.RX.Count("crm")
	c := openConsole(t, j.Relay, "#/search")
	rows := func(n int) {
		t.Helper()
		c.until("rows", `document.querySelectorAll("section.panel tbody tr").length === %d`, n)
	}
	// shown waits until a search is in the address, and its view has been made.
	shown := func(words string) {
		t.Helper()
		c.until("the search", `location.hash.includes(%s) && document.activeElement.tagName === "H1"`,
			quote(words))
	}
	submit := func(label, text, words string) {
		t.Helper()
		c.fill(label, text+"\r")
		shown(words)
	}
	rows(13)
	submit("Where", "waId=491", "where=waId%3D491")
	rows(5)
	submit("Last status", "503", "status=503")
	rows(4)
	submit("Type", "mess*", "type=mess")
	rows(4)
	c.expect("400")
	submit("Where", ".a = = 1", "where=.a")
	c.see("is no jq program: line 1, column 6")
	submit("Where", "waId=491", "where=waId%3D491")
	rows(4)
	c.choose("Target", "crm")
	c.clickOn("Search", `document.querySelector("form.fields button")`)
	shown("target=crm")
	rows(4)
	c.click("Replay these…")
	c.see("type mess*", "where waId=491", "status 503")
	c.click("Count")
	c.see("4 deliveries would be replayed")
	c.click("Replay 4")
	c.see("4 deliveries")
	testenv.Until(t, testenv.Patience, "the replay", func() bool {
		return j.RX.Count("crm") == from+4
	})
	c.click("Close")
	for _, r := range j.RX.Requests("crm")[from:] {
		if !strings.HasPrefix(r.ID, "491-") || !r.Replay {
			t.Errorf("%s was sent, a replay: %t", r.ID, r.Replay)
		}
	}
	c.click("Reset")
	shown("#/search")
	rows(13)
	submit("Conversation", "491", "conversation=491")
	rows(5)
	c.click("Conversation")
	c.seeIn("h1", "491")
	c.see("active", "waId=491", "conversationId=c", "opens a session", "business", "user")
	rows(5)
	c.click("Its events")
	shown("conversation=491")
	rows(5)
	c.fill("Conversation", "")
	submit("Id", "493-*", "id=493-*")
	rows(4)
}
