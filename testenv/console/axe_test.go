package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// axeSum is the SHA-256 of axe/axe.min.js as npm has it, of version 4.14.1.
const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

// axeRun runs axe-core on what can be acted on: all its usual rules, those of best practice
// included, and two that it leaves out unless asked. The colors of the other scheme need the rules
// about colors only, as nothing else differs.
const axeRun = `axe.run(` + shown + `.matches("dialog") ? ` + shown + ` : document, {
	resultTypes: ["violations"], %s }).then(({ violations }) => violations.flatMap((v) =>
		v.nodes.map((n) => v.id + " at " + n.target.join(" ") + ": " + n.html.slice(0, 160) + "\n\t" +
			[...n.any, ...n.all, ...n.none].map((check) => check.message).join("; "))).join("\n"))`

const (
	axeAll = `rules: { "target-size": { enabled: true },
		"label-content-name-mismatch": { enabled: true } }`
	axeColors = `runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] }`
)

func readAxe(t *testing.T) string {
	t.Helper()
	script := readFile(t, "axe/axe.min.js")
	if sum := sha256.Sum256([]byte(script)); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatalf("axe/axe.min.js has the SHA-256 %x, want %s", sum, axeSum)
	}
	return script
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantNoViolation has axe look at what is on the screen, at this width in both color schemes.
func (c *console) wantNoViolation(axe, what string, width int64) {
	c.t.Helper()
	if !eval[bool](c, `Boolean(window.axe)`) {
		eval[any](c, "%s", axe+"; 0")
	}
	for scheme, rules := range map[string]string{"light": axeAll, "dark": axeColors} {
		c.screen(width, scheme)
		c.until("the color scheme", `matchMedia("(prefers-color-scheme: %s)").matches`, scheme)
		c.shoot(fmt.Sprint(what, " ", width, " ", scheme))
		found, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](fmt.Sprintf(axeRun, rules),
			chromedp.EvalAwaitPromise))
		if err != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		if found != "" {
			c.t.Errorf("%s at %d px, %s:\n%s", what, width, scheme, found)
		}
	}
}

// lookAt measures what is on the screen at this width, has axe look at it, and its controls reached.
func (c *console) lookAt(axe, what string, width int64) {
	c.t.Helper()
	c.screen(width, "light")
	c.checkLook(fmt.Sprintf("%s at %d px", what, width))
	c.checkReach(fmt.Sprintf("%s at %d px", what, width))
	c.wantNoViolation(axe, what, width)
}

// lookAtOverview does it with the overview, which is another one on each screen.
func (c *console) lookAtOverview(what string, sees ...string) {
	c.t.Helper()
	axe := readAxe(c.t)
	for _, width := range widths() {
		c.screen(width, "light")
		c.open("")
		c.see(append(sees, "live")...)
		c.lookAt(axe, "overview of "+what, width)
	}
}

// shoot keeps a picture of the page, to be looked at, where HOOKSPOOL_SHOTS names a directory.
func (c *console) shoot(name string) {
	c.t.Helper()
	dir := os.Getenv("HOOKSPOOL_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, url.PathEscape(name)+".png"), picture, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// stage is a view of the console, or a dialog in one.
type stage struct {
	view  string
	sees  string
	click []string // one after the other, until there is to be seen
	then  string   // what
}

func (s stage) name() string { return strings.Join(append([]string{s.view}, s.click...), ", ") }

// enter opens it, with everything unfolded that can be.
func (s stage) enter(c *console) {
	c.t.Helper()
	c.open(s.view)
	c.see(s.sees)
	for _, text := range s.click {
		c.click(text)
	}
	if s.then != "" {
		c.see(s.then)
	}
	eval[any](c, shown+`.querySelectorAll("details").forEach((e) => { e.open = true; })`)
}

// stages are the views and dialogs of everyTrouble, but for the overview.
func stages() []stage {
	return []stage{
		{view: "#/target/defective", sees: "Status 503"},
		{view: "#/target/defective", sees: "Status 503", click: []string{"5 min"}, then: "Latency"},
		{view: "#/target/defective/pending", sees: "tries left"},
		{view: "#/target/dead/exhausted", sees: "answered 500", click: []string{"30 d"}},
		{view: "#/target/a-well/delivered", sees: "That is all."},
		{view: "#/target/a-well/expired", sees: "No expired delivery."},
		{view: "#/target/orphan/exhausted", sees: "Orphan: not in the config"},
		{view: "#/target/z-gone", sees: "paused by 410"},
		{view: "#/target/none", sees: "no target"},
		{view: "#/event/talk-1", sees: "What next"},
		{view: "#/event/unwanted", sees: "No target wanted it"},
		{view: "#/event/none", sees: "no event"},
		{view: "#/search?where=waId%3D491", sees: "That is all."},
		{view: "#/search?type=nothing*", sees: "No event matches"},
		{view: "#/search?since=yesterday-ish", sees: "neither like 15m nor an instant"},
		{view: "#/conversation/491", sees: "opens a session"},
		{view: "#/conversation/none", sees: "No event of it is kept"},
		{view: "#/types", sees: "templateMessageSent_v2"},
		{view: "#/types/message", sees: "Rosa", click: []string{"Explain: show the requests"},
			then: "POST /"},
		{view: "#/nothing", sees: "There is no such view"},
		{view: "#/target/a-well", sees: "Sample…", click: []string{"Sample…", "Send sample"},
			then: "Acknowledged"},
		{view: "#/target/a-well", sees: "Sample…", click: []string{"Pause…"}, then: "nothing is sent"},
		{view: "#/target/paused", sees: "Paused since", click: []string{"Resume…"}, then: "What was held"},
		{view: "#/target/defective", sees: "Lift by force…", click: []string{"Retry now…"},
			then: "lifts a defect"},
		{view: "#/target/defective", sees: "Lift by force…", click: []string{"Lift by force…"},
			then: "ends its alarm"},
		{view: "#/target/dead", sees: "Replay…", click: []string{"Replay…", "Count"},
			then: "would be replayed"},
		{view: "#/target/orphan", sees: "Replay…", click: []string{"Replay…", "Count"},
			then: "and not sent"},
		{view: "#/target/dead", sees: "Purge…", click: []string{"Purge…", "Count"},
			then: "would be deleted"},
		{view: "#/event/talk-1", sees: "What next", click: []string{"Replay to a-well", "Count"},
			then: "would be replayed"},
		{view: "#/search?state=exhausted", sees: "That is all.", click: []string{"Replay these…"},
			then: "all targets"},
		{view: "#/types/message", sees: "Rosa", click: []string{"Send to a target…"},
			then: "Edit the payload"},
		{view: "#/types", sees: "templateMessageSent_v2", click: []string{"Keys"},
			then: "to the overview"},
	}
}

// everyTrouble is a relay that has something to show in every view: a target in each trouble and
// one that is well, a conversation, an event that nobody wanted and one of each state. Its
// targets are in the config from the start; orphan is one after leaveOrphan.
func everyTrouble(t *testing.T) *testenv.Journey {
	t.Helper()
	j := testenv.NewJourney(t)
	types := []string{"message*", "session*", "order*"}
	for _, name := range []string{"a-well", "defective", "failing", "held", "orphan", "paused", "dead",
		"a-target-with-a-name-as-long-as-some-that-a-program-has-made"} {
		j.Config.Target(name, j.RX.URL(name), "events", types)
	}
	j.Config.Target("z-gone", j.RX.URL("z-gone"), "events", types, "gone", "pause")
	j.Config.Set("target.dead.max_attempts", 1).
		Set("target.orphan.max_attempts", 1).Set("defect.after_failed_jobs", 2)
	j.RX.Always("z-gone", testenv.Code(410))
	j.RX.Always("held", testenv.RetryAfter(429, "3000"))
	page := "<html><head><title>Out of order</title></head>\n" + strings.Repeat("<p>down</p>\n", 40)
	j.RX.Always("defective", testenv.Answering(503, page))
	for _, name := range []string{"failing", "orphan", "dead"} {
		j.RX.Always(name, testenv.Code(500))
	}
	j.Start()
	j.Verb("pause", "paused")
	typ := []string{"sessionMessageSent", "message", "orderPaid.of.a.rather.long.kind"}
	for i := range 6 {
		j.Send(testenv.Post{ID: fmt.Sprintf("talk-%d", i), Type: typ[i%3],
			ContentType: "application/json",
			Body:        fmt.Appendf(nil, `{"waId":"491","conversationId":"c-1","n":%d}`, i)})
	}
	j.Send(testenv.Post{ID: "unwanted", Type: "x", Body: []byte(`{}`)})
	for _, name := range []string{"defective", "failing", "orphan", "dead"} {
		j.AwaitFailed(name, 6)
	}
	for range 3 {
		jobOf(t, j, "defective")
	}
	j.AwaitStatus("defective", "Defective")
	jobOf(t, j, "failing")
	for _, name := range []string{"dead", "orphan"} {
		jobOf(t, j, name)
		testenv.Until(t, testenv.Patience, "the exhausted", func() bool {
			return j.Target(name).Exhausted == 6
		})
	}
	j.Send(testenv.Post{ID: "late", Type: "message", Body: []byte(`{}`)})
	j.AwaitFailed("orphan", 1)
	return j
}

// jobOf runs a job and waits until it has ended.
func jobOf(t *testing.T, j *testenv.Journey, name string) {
	t.Helper()
	before := j.Target(name).FailedJobs
	j.Verb("retry", name)
	testenv.Until(t, testenv.Patience, "a failed job of "+name, func() bool {
		return j.Target(name).FailedJobs > before
	})
}

// TestConsoleAxe asserts that axe-core finds nothing wrong with any view, dialog or page of the
// manual, on a phone, a tablet and a desk, in both color schemes, with many targets and their
// troubles; and that nothing there scrolls sideways or lies under something else.
func TestConsoleAxe(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	axe := readAxe(t)
	j := everyTrouble(t)
	j.Config.Remove("target.orphan")
	j.Reload()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	c.expect("status of 404", "status of 400")
	for _, s := range stages() {
		s.enter(c)
		for _, width := range widths() {
			c.lookAt(axe, s.name(), width)
		}
	}
	c.open("#/types")
	c.see("Event types")
	eval[any](c, `(import("./dialog.js").then((m) => m.askToken(false).catch(() => 0)), 0)`)
	c.see("Admin token")
	for _, width := range widths() {
		c.lookAt(axe, "sign in", width)
	}
	for _, page := range []string{"", "night", "configuration", "metrics"} {
		c.open("help/" + page)
		c.until("a page", `document.querySelector(".manual h1")`)
		for _, width := range widths() {
			c.lookAt(axe, "help/"+page, width)
		}
	}
	c.lookAtOverview("troubles", "6 of 9 targets need you", "talk-5")
	for query, sees := range map[string]string{"need=you": "6 of 9 targets", "q=nothing": "No target matches."} {
		c.open("#/?" + query)
		c.see(sees, "live")
		for _, width := range widths() {
			c.lookAt(axe, "overview, "+query, width)
		}
	}
	tenants(j, 60-8) // beside those of before
	j.Reload()
	c.lookAtOverview("60", "of 61 targets", "1–50 of 61")
}

// tenants adds n targets to the config, of which some are paused.
func tenants(j *testenv.Journey, n int) {
	for i := range n {
		name := fmt.Sprintf("tenant-%04d", i)
		j.Config.Target(name, j.RX.URL(name), "events", []string{fmt.Sprintf("type%d", i)})
		if i%9 == 0 {
			j.Config.Set("target."+name+".status", "paused")
		}
	}
}

// TestConsoleAxeFirst asserts the same of a relay at its beginning, without a target and with one.
func TestConsoleAxeFirst(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t)
	j.Start()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	c.lookAtOverview("no target", "No target", "No event yet")
	j.Aim("crm")
	j.Reload()
	j.Send(testenv.Post{ID: "first", Type: "message", Body: []byte(`{"eventType":"message"}`)})
	c.lookAtOverview("one target", "the target is well", "first")
}

// TestConsoleAxeThousand asserts the same of the overview of a thousand targets.
func TestConsoleAxeThousand(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t)
	tenants(j, 1000)
	j.Start()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	c.lookAtOverview("1000", "112 of 1\u202f000 targets need you", "1–50 of 1\u202f000")
}

// TestConsoleAxeIsHeard asserts that the two before would notice what is wrong.
func TestConsoleAxeIsHeard(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	axe := readAxe(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := openConsole(t, j.Relay, "#/types")
	c.see("Event types", "live")
	eval[any](c, `(document.querySelector("h1").after(Object.assign(document.createElement("img"),
		{ src: "icon.svg" })), 0)`)
	eval[any](c, "%s", axe+"; 0")
	found, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](fmt.Sprintf(axeRun, axeAll),
		chromedp.EvalAwaitPromise))
	if err != nil || !strings.HasPrefix(found, "image-alt at ") || strings.Count(found, " at ") > 2 {
		t.Errorf("of a picture without words axe says %q, %v", found, err)
	}
}
