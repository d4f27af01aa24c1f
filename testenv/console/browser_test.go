package console

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hookspool/hookspool/testenv"
)

// console is the console of a relay in a headless Chromium. Its methods wait for what they want, and
// click and type as a person does: with the mouse at the place where something is seen, and with
// keys. Whatever the page complains of is a failure of the test: exceptions, errors on the browser's
// console and violations of the policy, unless the test said that it expects them.
type console struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex // guards below
	faults   []string
	expected []string
}

// openConsole starts a browser of its own and opens a view of the relay's console in it.
func openConsole(t *testing.T, r *testenv.Relay, view string) *console {
	t.Helper()
	c := startBrowser(t, "http://"+r.AdminAddress()+"/")
	c.open(view)
	return c
}

func startBrowser(t *testing.T, url string) *console {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		testenv.SkipLoudly(t, "the console is driven in a browser: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(2*testenv.Patience), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 900),
		// It asks for its maker's services by name all the same: no name is found.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("the browser ended: %v", err)
		}
		leave()
		end()
	})
	c := &console{t: t, ctx: ctx, url: url}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot start the browser: %v", err)
	}
	if err := chromedp.Listen(ctx, c.hear); err != nil {
		t.Fatal(err)
	}
	mustCall(c, runtime.Enable, cdp.Empty{})
	mustCall(c, log.Enable, cdp.Empty{})
	t.Cleanup(c.checkFaults)
	return c
}

// hear collects what the page complains of.
func (c *console) hear(event any) {
	var fault string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			fault += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != "error" && e.Type != "warning" && e.Type != "assert" {
			return
		}
		for _, arg := range e.Args {
			fault += string(arg.Value) + arg.Description + " "
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != "error" && e.Entry.Level != "warning" {
			return
		}
		fault = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fault)
}

// expect says that the page may complain with these words: the browser reports refused requests.
func (c *console) expect(words ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = append(c.expected, words...)
}

func (c *console) checkFaults() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fault := range c.faults {
		known := false
		for _, words := range c.expected {
			known = known || strings.Contains(fault, words)
		}
		if !known {
			c.t.Errorf("the browser complained: %s", fault)
		}
	}
}

// mustCall makes a call of the browser's protocol.
func mustCall[P, R any](c *console, command cdp.Command[P, R], params P) {
	c.t.Helper()
	if _, err := chromedp.Call(c.ctx, command, params); err != nil {
		c.t.Fatalf("%s: %v", command.Method, err)
	}
}

// eval evaluates JavaScript. Strings in it are made by quote.
func eval[T any](c *console, format string, args ...any) T {
	c.t.Helper()
	v, err := chromedp.Run(c.ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...)))
	if err != nil {
		c.t.Fatalf("%v\nin: %s", err, fmt.Sprintf(format, args...))
	}
	return v
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic("BUG: a string cannot be written in JSON: " + err.Error())
	}
	return string(b)
}

// open loads the page again with a view.
func (c *console) open(view string) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, chromedp.Navigate("about:blank"),
		chromedp.Navigate(c.url+view)); err != nil {
		c.t.Fatal(err)
	}
}

// until waits for a condition in JavaScript.
func (c *console) until(what, format string, args ...any) {
	c.t.Helper()
	condition := fmt.Sprintf("Boolean("+format+")", args...)
	if !testenv.Eventually(testenv.Patience, func() bool {
		// A page that is being loaded has no context; that is no failure.
		yes, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](condition))
		return err == nil && yes
	}) {
		c.t.Fatalf("waited %s in vain: %s; it shows\n%s", testenv.Patience, what, c.text())
	}
}

// shown is the place that can be acted on: the open dialog if there is one.
const shown = `(document.querySelector("dialog[open]") || document.body)`

// text is what can be read there.
func (c *console) text() string {
	c.t.Helper()
	return eval[string](c, shown+`.innerText`)
}

// see waits until each text can be read there; notSee that it cannot.
func (c *console) see(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		c.until("to see "+quote(text), shown+`.innerText.includes(%s)`, quote(text))
	}
}

func (c *console) notSee(text string) {
	c.t.Helper()
	c.until("not to see "+quote(text), `!`+shown+`.innerText.includes(%s)`, quote(text))
}

// seeIn waits until a text can be read in what a selector finds first.
func (c *console) seeIn(selector, text string) {
	c.t.Helper()
	c.until("to see "+quote(text)+" in "+selector,
		`(document.querySelector(%s)?.innerText || "").includes(%s)`, quote(selector), quote(text))
}

// place is where something is on the screen.
type place struct{ X, Y float64 }

// find waits for an element that an expression finds, that can be acted on and stands still, and
// returns its middle after bringing it into sight.
func (c *console) find(what, expression string) place {
	c.t.Helper()
	c.until("to find "+what, `(() => {
		const e = %s;
		if (!e || e.disabled || !e.checkVisibility()) return false;
		e.scrollIntoView({ block: "center" });
		const r = e.getBoundingClientRect();
		const x = r.x + Math.min(r.width, 400) / 2, y = r.y + r.height / 2;
		const hit = document.elementFromPoint(x, y);
		const at = [x, y].join();
		const still = window.testAt === at;
		window.testAt = at;
		return still && hit && (e === hit || e.contains(hit));
	})()`, expression)
	at := eval[string](c, `window.testAt`)
	var p place
	if _, err := fmt.Sscanf(at, "%g,%g", &p.X, &p.Y); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// control finds a button or link by its text or its name.
func control(text string) string {
	return fmt.Sprintf(`[...%s.querySelectorAll("button, a, summary")].find((e) => !e.hidden &&
		[e.innerText.trim(), e.getAttribute("aria-label")].includes(%s))`, shown, quote(text))
}

// click clicks a button or link with this text or name.
func (c *console) click(text string) {
	c.t.Helper()
	c.clickOn(quote(text), control(text))
}

// clickOn clicks what an expression finds, and once more if that went to nothing: what was there may
// be drawn anew while the button is down, and a person clicks again. To hit another control is a
// failure: it came to where this one was.
func (c *console) clickOn(what, expression string) {
	c.t.Helper()
	for range clickTries {
		p := c.find(what, expression)
		eval[any](c, `(window.testHit = "nothing", document.addEventListener("click", (e) => {
			const want = %s;
			const other = e.target.closest("a, button, input, select, summary, textarea");
			window.testHit = want && want.contains(e.target) ? "it" : other ? other.outerHTML : "nothing";
		}, { capture: true, once: true }), 0)`, expression)
		c.clickAt(p)
		// A page that is being left has no context, or a new one.
		hit, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](`String(window.testHit)`))
		switch {
		case err != nil || hit == "it" || hit == "undefined":
			return
		case hit != "nothing":
			c.t.Fatalf("a click on %s hit %s", what, hit)
		}
	}
	c.t.Fatalf("%d clicks on %s hit nothing; it shows\n%s", clickTries, what, c.text())
}

// clickTries are how often a person clicks.
const clickTries = 3

func (c *console) clickAt(p place) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, chromedp.MouseClickXY(p.X, p.Y)); err != nil {
		c.t.Fatal(err)
	}
}

// field finds a control by its label.
func field(label string) string {
	return fmt.Sprintf(`[...%s.querySelectorAll("input, select")].find((e) =>
		[e.getAttribute("aria-label"), e.labels?.[0]?.innerText.trim()].includes(%s))`, shown,
		quote(label))
}

// fill types a text into a field, in place of what is there.
func (c *console) fill(label, text string) {
	c.t.Helper()
	c.clickOn("field "+quote(label), field(label))
	eval[any](c, `document.activeElement.select()`)
	c.press("\b" + text)
}

// press sends keys.
func (c *console) press(keys string) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, chromedp.KeyEvent(keys)); err != nil {
		c.t.Fatal(err)
	}
}

// choose chooses in a list. The list itself is drawn by the system, out of the page's reach.
func (c *console) choose(label, option string) {
	c.t.Helper()
	c.until("option "+quote(option), `[...(%s)?.options || []].some((o) => o.text === %s)`,
		field(label), quote(option))
	eval[any](c, `(() => {
		const e = %s;
		e.value = [...e.options].find((o) => o.text === %s).value;
		e.dispatchEvent(new Event("input", { bubbles: true }));
		e.dispatchEvent(new Event("change", { bubbles: true }));
	})()`, field(label), quote(option))
}

// enabled reports whether a button can be clicked.
func (c *console) enabled(text string) bool {
	c.t.Helper()
	return eval[bool](c, `(() => { const e = %s; return Boolean(e) && !e.disabled; })()`,
		control(text))
}

// screen gives the browser a size and a color scheme.
func (c *console) screen(width int64, scheme string) {
	c.t.Helper()
	var options []chromedp.EmulateViewportOption
	if width < 500 {
		options = append(options, chromedp.EmulateMobile)
	}
	if err := chromedp.Do(c.ctx, chromedp.EmulateViewport(width, 900, options...)); err != nil {
		c.t.Fatal(err)
	}
	mustCall(c, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}
