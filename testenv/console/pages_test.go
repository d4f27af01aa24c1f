package console

import (
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsolePages asserts that a page is full although the relay answers with fewer at a time, as
// it does where what is looked for is far apart; and that it has no more than a page.
func TestConsolePages(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	const events, page = 120, 50
	j := testenv.NewJourney(t).Aim("crm")
	j.Config.Set("target.crm.status", "paused")
	j.Start()
	j.SendIDs("e", events)
	c := openConsole(t, j.Relay, "#/types")
	c.see("Event types", "live")
	eval[any](c, `(() => { const real = window.fetch;
		window.fetch = (path, ...rest) => real(String(path).replace(/limit=(\d+)/,
			(_, n) => "limit=" + Math.min(n, 18)), ...rest); })()`)
	const list = `document.querySelector(".pager")?.closest("section")`
	rows := func(want int) {
		t.Helper()
		c.until("to be ready", `%s?.querySelectorAll("tbody tr").length >= %d &&
			!%s.innerText.includes("Looking")`, list, want, list)
		if n := eval[int](c, list+`.querySelectorAll("tbody tr").length`); n != want {
			t.Errorf("%d rows, want %d", n, want)
		}
	}
	for _, view := range []string{"#/search", "#/target/crm/pending"} {
		eval[any](c, `location.hash = %s`, quote(view))
		rows(page)
		c.click("More")
		rows(2 * page)
		c.click("More")
		c.see("That is all.")
		rows(events)
	}
}
