package console

import (
	"fmt"
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleManual asserts that each view leads to the page that goes with it, that pages lead to
// each other and back, and that they look like the console: they fit a phone, a tablet and a desk, in
// its colors.
func TestConsoleManual(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.Send(testenv.Post{ID: "first", Type: "message", Body: []byte(`{"eventType":"message"}`)})
	c := openConsole(t, j.Relay, "")
	for view, title := range map[string]string{"": "The console", "#/target/crm": "Retrying",
		"#/event/first": "Where is my event?", "#/search": "Where is my event?"} {
		c.open(view)
		c.see("live")
		c.click("Help")
		c.until("the page "+title, `document.querySelector(".manual h1")?.innerText === %s`,
			quote(title))
	}
	c.click("Care of a spool")
	c.until("the page", `document.title === "Care of a spool · hookspool"`)
	c.click("Overview")
	c.see("crm", "Enabled")

	for _, scheme := range []string{"light", "dark"} {
		for _, width := range widths() {
			c.screen(width, scheme)
			for _, page := range []string{"", "faults", "configuration", "commands", "metrics",
				"scaling"} {
				c.open("help/" + page)
				c.until("a page", `document.querySelector(".manual h1")`)
				c.checkLook(fmt.Sprintf("help/%s at %d px", page, width))
			}
		}
		back := eval[string](c, `getComputedStyle(document.documentElement).backgroundColor`)
		c.open("")
		c.see("live")
		if own := eval[string](c, `getComputedStyle(document.documentElement).backgroundColor`); own !=
			back {
			t.Errorf("in the %s scheme the manual has the background %s, the console %s", scheme, back,
				own)
		}
	}
}
