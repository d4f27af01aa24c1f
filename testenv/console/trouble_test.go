package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// shownTargets are the names in the overview's table, from the top.
func (c *console) shownTargets() string {
	c.t.Helper()
	return eval[string](c, `[...document.querySelectorAll(".targets tbody tr")].
		map((e) => e.dataset.key).join(" ")`)
}

func (c *console) wantTargets(want string) {
	c.t.Helper()
	if !testenv.Eventually(testenv.Patience, func() bool { return c.shownTargets() == want }) {
		c.t.Fatalf("the targets are %q, want %q", c.shownTargets(), want)
	}
}

// TestConsoleTrouble asserts that the overview tells how many targets need somebody, and shows the
// worst first, as hookspool targets does; that it can be sorted by the titles and filtered with the
// keyboard, with both in the address; and that an orphan is called one and nothing is tried for it.
func TestConsoleTrouble(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("a-well", "defective", "failing", "held", "orphan", "paused")
	j.Config.Target("z-gone", j.RX.URL("z-gone"), "gone", "pause")
	j.Config.Set("target.paused.status", "paused").Set("defect.after_failed_jobs", 2)
	j.RX.Always("z-gone", testenv.Code(410))
	j.RX.Always("held", testenv.RetryAfter(429, "3000"))
	for _, name := range []string{"defective", "failing", "orphan"} {
		j.RX.Always(name, testenv.Code(503))
	}
	j.Start()
	j.Send(testenv.Post{ID: "one", Type: "message", Body: []byte(`{}`)})
	for _, name := range []string{"defective", "failing", "orphan", "z-gone", "held", "a-well"} {
		j.RX.Await(name, 1)
	}
	for i := range 3 {
		j.AwaitFailed("defective", 1)
		j.Verb("retry", "defective")
		j.RX.Await("defective", i+2)
	}
	j.AwaitStatus("defective", "Defective")
	j.Verb("retry", "failing")
	testenv.Until(t, testenv.Patience, "a failed job", func() bool {
		return j.Target("failing").FailedJobs == 1
	})
	c := openConsole(t, j.Relay, "")
	c.see("4 of 7 targets need you", "4 targets need you")
	j.Config.Remove("target.orphan")
	j.Reload()
	const worst = "defective z-gone paused orphan held failing a-well"
	c.wantTargets(worst)
	c.see("5 of 7 targets need you", "3 in a row", "Defective above 2")
	if out := j.CLI("targets").Stdout; strings.Join(firstWords(out), " ") != worst {
		t.Errorf("hookspool targets has the order %q", firstWords(out))
	}
	c.seeIn(`tr[data-key="orphan"]`, "orphan")
	if text := eval[string](c, `document.querySelector('tr[data-key="orphan"]').innerText`); strings.
		Contains(text, "Disabled") || strings.Contains(text, "Sample") {
		t.Errorf("the orphan's row says %q", text)
	}
	eval[any](c, `document.querySelector("th:nth-child(1) button").focus()`)
	c.press("\r")
	c.wantTargets("a-well defective failing held orphan paused z-gone")
	c.press("\r")
	c.wantTargets("z-gone paused orphan held failing defective a-well")
	c.until("the order to be told", `document.querySelector("th:nth-child(1)").
		getAttribute("aria-sort") === "descending" && location.hash === "#/?sort=-name"`)
	c.press("/")
	c.wantFocus("the filter", `e.id === "filter"`)
	eval[any](c, `document.activeElement.select()`)
	c.press("5xx orphan")
	c.see("No target matches.")
	eval[any](c, `document.activeElement.select()`)
	c.press("/orphan") // of the URL: an orphan has none, and a name without the slash
	c.see("No target matches.")
	eval[any](c, `document.activeElement.select()`)
	c.press("PAUSED")
	c.wantTargets("z-gone paused")
	c.open("")
	c.click("5 of 7 targets need you")
	c.wantTargets("defective z-gone paused orphan failing")
	c.click("Open orphan")
	c.seeIn("header.head", "orphan")
	for _, word := range []string{"Disabled", "Sample…", "Retry now…", "Failed jobs"} {
		c.notSee(word)
	}
}

// firstWords are those of the lines after the first.
func firstWords(text string) []string {
	var words []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		words = append(words, strings.Fields(line)[0])
	}
	return words
}

// TestConsoleThousand asserts that a thousand targets are usable: only a page of them is drawn, one
// that is sought is there at once, what comes after them is near, and an update is no burden.
func TestConsoleThousand(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	const targets, page, updates = 1000, 50, 5
	j := testenv.NewJourney(t)
	for i := range targets {
		name := fmt.Sprintf("tenant-%04d", i)
		j.Config.Target(name, j.RX.URL(name), "events", []string{fmt.Sprintf("type%d", i)})
	}
	j.Config.Set("target.tenant-0777.status", "paused")
	j.Start()
	c := openConsole(t, j.Relay, "")
	c.see("1 of 1\u202f000 targets needs you", "1–50 of 1\u202f000", "live")
	rows := `document.querySelectorAll(".targets tbody tr").length`
	if n := eval[int](c, "%s", rows); n != page {
		t.Errorf("%d rows are drawn, want %d", n, page)
	}
	c.until("the worst first", `document.querySelector(".targets tbody tr").dataset.key ===
		"tenant-0777"`)
	if top := eval[float64](c, `document.getElementById("events-title").getBoundingClientRect().top +
		scrollY`); top > 1400 {
		t.Errorf("the newest events begin at %g px", top)
	}
	eval[any](c, `(window.updates = 0, import("./live.js").then((m) => m.listen(
		new AbortController().signal, (what) => { window.updates += what === "targets"; })), 0)`)
	c.until("the first update", `window.updates > 0`)
	mustCall(c, performance.Enable, performance.EnableParams{})
	begun, work := eval[int](c, `window.updates`), c.work()
	c.until("updates", `window.updates >= %d`, begun+updates)
	each := (c.work() - work) * 1000 / float64(eval[int](c, `window.updates`)-begun)
	t.Logf("an update of %d targets takes the main thread %.1f ms", targets, each)
	if each > 400 { // one that draws them all takes seconds; other tests take the processor meanwhile
		t.Errorf("an update takes %.0f ms", each)
	}
	c.click("Next ›")
	c.see("51–100 of 1\u202f000")
	c.fill("Filter targets", "tenant-0999")
	c.wantTargets("tenant-0999")
	c.click("tenant-0999")
	c.seeIn("h1", "tenant-0999")
}

// work is how long the page's scripts, styles and layout took so far, in seconds.
func (c *console) work() float64 {
	c.t.Helper()
	list, err := chromedp.Call(c.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		c.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range list.Metrics {
		switch m.Name {
		case "ScriptDuration", "LayoutDuration", "RecalcStyleDuration":
			sum += m.Value
		}
	}
	return sum
}

// TestConsoleUnseen asserts that what nobody sees, or what turns the text around it, is shown as its
// number wherever it comes from: types, payloads, answers and errors; and that the rest stays.
func TestConsoleUnseen(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	const answer = "\u202eevil\u202c \u200bzero مرحبا 👩\u200d👧"
	j.RX.Always("crm", testenv.Raw(422, fmt.Sprintf("HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%s",
		len(answer), answer)))
	j.Start()
	j.Send(testenv.Post{ID: "bidi",
		Body: []byte("{\"eventType\":\"mess\u202eage\",\"a\":\"\u2066x\u2069\"}")})
	j.RX.Await("crm", 1)
	c := openConsole(t, j.Relay, "#/event/bidi")
	c.see("mess‹U+202E›age", `"a": "‹U+2066›x‹U+2069›"`)
	c.clickOn("the attempt", `document.querySelector("summary")`)
	c.see("‹U+202E›evil‹U+202C› ‹U+200B›zero مرحبا 👩\u200d👧")
	for _, view := range []string{"", "#/search", "#/target/crm/pending"} {
		c.open(view)
		c.see("mess‹U+202E›age")
	}
	const left = `/[\u202a-\u202e\u2066-\u2069\u200b]/.test(document.body.innerText + document.title +
		[...document.querySelectorAll("*")].map((e) => e.title + e.ariaLabel + e.dataset.title))`
	if eval[bool](c, "%s", left) {
		t.Error("such a character is left on the page")
	}
	if bidi := eval[string](c, `getComputedStyle(document.querySelector("td")).unicodeBidi`); bidi !=
		"isolate" {
		t.Errorf("a cell has unicode-bidi %s", bidi)
	}
}

// TestConsoleZone asserts that every instant follows the switch, which is kept, and that an instant
// that is typed means the same zone.
func TestConsoleZone(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.Send(testenv.Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	j.RX.Await("crm", 1)
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	mustCall(c, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{
		TimezoneID: "Asia/Kolkata"})
	zones := func(want string) {
		t.Helper()
		c.until("instants in "+want, `[...document.querySelectorAll("time[datetime]")].length > 0 &&
			[...document.querySelectorAll("time[datetime]")].every((e) => e.title.endsWith(%s))`,
			quote(want))
	}
	typed := func(want string) {
		t.Helper()
		c.until("a typed instant", `(import("./parts.js").then((m) => { window.typed =
			m.instantOf("2026-07-26 14:00") + m.instantOf("2026-07-26"); }), window.typed) === %s`,
			quote(want))
	}
	c.open("#/target/crm")
	zones("GMT+5:30")
	c.seeIn("time.full[datetime] .exact", "GMT+5:30")
	typed("2026-07-26T08:30:00.000Z2026-07-25T18:30:00.000Z")
	c.click("UTC")
	zones("UTC")
	c.seeIn("time.full[datetime] .exact", "UTC")
	typed("2026-07-26T14:00:00.000Z2026-07-26T00:00:00.000Z")
	c.open("#/event/one")
	zones("UTC")
	c.click("UTC")
	zones("GMT+5:30")
}
