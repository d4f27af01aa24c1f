package console

import (
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

func (c *console) wantFocus(what, condition string) {
	c.t.Helper()
	c.until("the focus on "+what, `((e) => %s)(document.activeElement)`, condition)
}

// TestConsoleKeys asserts that one key leads to the filter and two to a view, that they do nothing
// while somebody types, and that they can be switched off for good.
func TestConsoleKeys(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := openConsole(t, j.Relay, "")
	c.see("live", "crm")
	c.press("/")
	c.wantFocus("the filter", `e.id === "filter"`)
	// This driver sends the character of a key that was taken, too; a browser does not.
	eval[any](c, `document.activeElement.select()`)
	c.press("gs/?") // nothing but text here
	c.until("the text", `document.activeElement.value === "gs/?" && location.hash.startsWith("#/?q")`)
	c.press("\x1b")
	c.until("an empty filter", `document.activeElement.value === ""`)
	eval[any](c, `document.activeElement.blur()`)
	c.press("gs")
	c.seeIn("h1", "Search")
	c.press("/")
	c.wantFocus("the field for an id", `e.name === "id" && e.closest("#find")`)
	eval[any](c, `document.activeElement.blur()`)
	c.press("go")
	c.until("the overview", `document.getElementById("filter")`)
	c.press("?")
	c.see("Keys", "to the search")
	c.press("gs")
	c.see("to the search") // a dialog keeps its keys
	c.clickOn("the switch", `document.getElementById("keys-on")`)
	c.click("Close")
	c.press("?gs/")
	c.open("#/search") // it is kept
	c.seeIn("h1", "Search")
	c.press("go?")
	c.notSee("to the overview")
	if hash := eval[string](c, "location.hash"); hash != "#/search" {
		t.Errorf("keys that are off lead to %s", hash)
	}
	c.click("Keys")
	c.see("to the overview")
	c.clickOn("the switch", `document.getElementById("keys-on")`)
	c.click("Close")
	c.press("go")
	c.until("the overview", `document.getElementById("filter")`)
}

// TestConsoleFocus asserts that a dialog begins at its first field, or at the button that does no
// harm, and that the focus is afterwards where it was, or beside it if that is gone.
func TestConsoleFocus(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := openConsole(t, j.Relay, "#/target/crm")
	c.see("live", "Pause…")
	for _, d := range []struct{ open, first string }{
		{"Pause…", `e.innerText === "Cancel"`}, {"Retry now…", `e.innerText === "Cancel"`},
		{"Sample…", `e.matches("select, textarea")`}, {"Replay…", `e.matches("select, input")`},
		{"Purge…", `e.matches("select, input")`},
	} {
		eval[any](c, `%s.focus()`, control(d.open))
		c.press("\r")
		c.wantFocus("the beginning of "+d.open, `document.querySelector("dialog[open]") && `+d.first)
		c.press("\x1b")
		c.wantFocus(d.open, `e.innerText === `+quote(d.open))
	}
	eval[any](c, `%s.focus()`, control("Pause…"))
	c.press("\r")
	c.click("Pause")
	c.see("crm is Paused")
	c.until("the target's view to follow", `document.querySelector("header.head").innerText.
		includes("Resume…")`)
	c.press("\x1b")
	c.wantFocus("a button beside one that is gone", `e.closest("[role=group]") && !e.hidden`)
}

// TestConsoleContrast asserts that the borders of what can be operated have a contrast of 3 to 1 to
// both sides (WCAG 1.4.11), in both color schemes.
func TestConsoleContrast(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	for _, scheme := range []string{"light", "dark"} {
		c.screen(1440, scheme)
		for _, view := range []string{"", "#/search", "#/target/crm"} {
			c.open(view)
			c.see("crm", "live")
			if bad := eval[string](c, "%s", contrastScript); bad != "" {
				t.Errorf("%s, %q:\n%s", scheme, view, bad)
			}
		}
	}
}

const contrastScript = `(() => {
	const rgb = (text) => text.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) =>
		v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) =>
		sum + v * [.2126, .7152, .0722][i], 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = getComputedStyle(e).backgroundColor;
			if (!color.endsWith(", 0)")) return color;
		}
	};
	const ratio = (a, b) => {
		const [x, y] = [light(rgb(a)), light(rgb(b))].sort((p, q) => q - p);
		return (x + .05) / (y + .05);
	};
	const all = [...document.querySelectorAll("input, select, button, .button")].filter((e) =>
		e.checkVisibility() && !e.disabled && parseFloat(getComputedStyle(e).borderTopWidth) > 0);
	if (all.length < 5) return "only " + all.length + " controls";
	return all.map((e) => [e, getComputedStyle(e).borderTopColor]).map(([e, border]) =>
		[e, ratio(border, behind(e.parentElement))]).filter(([, r]) => r < 3)
		.map(([e, r]) => r.toFixed(2) + " " + e.outerHTML.slice(0, 100)).join("\n");
})()`

// TestConsoleCommands asserts that what is on the screen can be taken to a terminal, where it is the
// same.
func TestConsoleCommands(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	for _, typ := range []string{"orderPaid", "orderSent", "other"} {
		j.Send(testenv.Post{ID: typ + "-1", Type: typ, Body: []byte(`{}`)})
	}
	j.RX.Await("crm", 3)
	c := openConsole(t, j.Relay, "#/search?type=order*&target=crm&since=1h&state=delivered")
	c.seeIn(".cards tbody", "orderSent-1")
	copied := func() string {
		t.Helper()
		eval[any](c, `(window.copied = "", Object.defineProperty(navigator, "clipboard", { value:
			{ writeText: async (text) => { window.copied = text; } }, configurable: true }), 0)`)
		c.click("Copy as command")
		c.until("a copy", `window.copied`)
		return eval[string](c, `window.copied`)
	}
	const want = "hookspool events --type 'order*' --target crm --since 1h --state delivered"
	if got := copied(); got != want {
		t.Errorf("the search is %q, want %q", got, want)
	}
	words := strings.Fields(strings.ReplaceAll(want, "'", ""))
	if out := j.CLI(words[1:]...).Stdout; !strings.Contains(out, "orderPaid-1") ||
		!strings.Contains(out, "orderSent-1") || strings.Contains(out, "other-1") {
		t.Errorf("the command lists\n%s", out)
	}
	c.open("#/event/orderPaid-1")
	if got := copied(); got != "hookspool events orderPaid-1" {
		t.Errorf("the event is %q", got)
	}
	c.open("#/target/crm/delivered")
	c.seeIn(".cards tbody", "other-1")
	if got := copied(); got != "hookspool deliveries --target crm --state delivered" {
		t.Errorf("the list is %q", got)
	}
}
