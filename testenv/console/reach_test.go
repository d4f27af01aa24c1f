package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hookspool/hookspool/testenv/effort"
)

// widths are those of a phone, a tablet and a desk.
func widths() []int64 { return []int64{360, 768, 1440} }

// controls are what can be operated, in the order of the document.
const controls = `[...` + shown + `.querySelectorAll("a[href], button, input, select, textarea, ` +
	`summary, [tabindex='0']")].filter((e) => !e.disabled && e.checkVisibility() &&
		!e.matches(".skip"))`

// seenPart is the function that tells what of an element is to be seen, and what lies there.
const seenPart = `const seenPart = (e) => {
	const all = [...e.getClientRects()].find((r) => r.width > 0) || e.getBoundingClientRect();
	let [left, top, right, bottom] = [all.left, all.top, all.right, all.bottom];
	for (let p = e.parentElement; p; p = p.parentElement) {
		if (getComputedStyle(p).overflowX === "visible") continue;
		const r = p === document.documentElement || p === document.body
			? { left: 0, top: 0, right: innerWidth, bottom: innerHeight } : p.getBoundingClientRect();
		[left, top] = [Math.max(left, r.left), Math.max(top, r.top)];
		[right, bottom] = [Math.min(right, r.right), Math.min(bottom, r.bottom)];
	}
	[left, top] = [Math.max(left, 0), Math.max(top, 0)];
	[right, bottom] = [Math.min(right, document.documentElement.clientWidth),
		Math.min(bottom, innerHeight)];
	const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
	return { width: right - left, height: bottom - top, all,
		covered: !hit || e !== hit && !e.contains(hit) && ![...e.labels || []].includes(hit) };
};`

// checkReach asserts that every control can be brought into sight whole, and lies under nothing.
func (c *console) checkReach(what string) {
	c.t.Helper()
	bad := eval[string](c, `(() => {
		%s
		const at = [scrollX, scrollY];
		const bad = %s.map((e) => {
			e.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
			const s = seenPart(e);
			const whole = e.matches("button, input, select") && s.width < s.all.width - 1;
			return s.width < 8 || s.height < 8 ? "out of sight" : whole ? "cut off"
				: s.covered ? "covered" : "";
		}).map((fault, i) => fault && fault + ": " + %s[i].outerHTML.slice(0, 160)).filter(Boolean);
		scrollTo(...at);
		return bad.join("\n");
	})()`, seenPart, controls, controls)
	if bad != "" {
		c.t.Errorf("%s:\n%s", what, bad)
	}
}

// walk presses Tab, or Shift and Tab, through all controls, and asserts that each has the focus once,
// in the order of the document or its reverse, and that it is then to be seen that it has.
func (c *console) walk(what string, back bool) {
	c.t.Helper()
	n := eval[int](c, `(() => {
		document.activeElement.blur();
		window.walked = [];
		window.toWalk = %s.filter((e) => e.tabIndex >= 0);
		return window.toWalk.length;
	})()`, controls)
	key := chromedp.KeyEvent("\t")
	if back {
		key = chromedp.KeyEvent("\t", chromedp.KeyModifiers(chromedp.ModifierShift))
		eval[any](c, `(document.querySelector("dialog[open]") ? 0 : window.toWalk.at(-1).focus(), 0)`)
	}
	for range n + 2 {
		if err := chromedp.Do(c.ctx, key); err != nil {
			c.t.Fatal(err)
		}
		eval[any](c, `(() => {
			%s
			const e = document.activeElement;
			const style = getComputedStyle(e);
			const s = seenPart(e);
			window.walked.push({ at: window.toWalk.indexOf(e), e: e.outerHTML.slice(0, 160),
				fault: e === document.body || e.matches(".skip") ? ""
					: style.outlineStyle === "none" || !e.matches(":focus-visible") ? "no outline"
					: s.width < 8 || s.height < 8 ? "out of sight" : s.covered ? "covered" : "" });
		})()`, seenPart)
	}
	bad := eval[string](c, `(() => {
		const bad = window.walked.filter((w) => w.fault).map((w) => w.fault + ": " + w.e);
		const order = window.walked.map((w) => w.at).filter((at) => at >= 0);
		const missing = window.toWalk.filter((e, i) => !order.includes(i) && e.isConnected);
		bad.push(...missing.map((e) => "never: " + e.outerHTML.slice(0, 160)));
		for (let i = 1; i < order.length; i++) {
			const step = order[i] - order[i - 1];
			const wrapped = %t ? order[i - 1] === 0 : order[i] === 0;
			if (step !== (%t ? -1 : 1) && !wrapped) {
				bad.push("after " + window.toWalk[order[i - 1]].outerHTML.slice(0, 100) + ": " +
					window.toWalk[order[i]].outerHTML.slice(0, 100));
			}
		}
		return bad.join("\n");
	})()`, back, back)
	if bad != "" {
		c.t.Errorf("%s, backwards %t:\n%s", what, back, bad)
	}
}

// TestConsoleWalk asserts that Tab leads to every control of a view or a dialog, forwards and
// backwards, on a phone, a tablet and a desk; that it is seen where the focus is, under nothing else;
// and that Escape leaves a dialog to the button that opened it.
func TestConsoleWalk(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := everyTrouble(t)
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	dialogs := map[string]string{"#/target/defective": "Retry now…", "#/target/a-well": "Sample…",
		"#/target/dead": "Replay…", "#/target/failing": "Purge…", "#/types/message": "Send to a target…"}
	views := []struct {
		view string
		sees []string // once all of it is there
	}{
		{"", []string{"live", "talk-5", "dead", "z-gone"}},
		{"#/target/defective", []string{"Out of order", "Most failures:", "✗ 503", "retry"}},
		{"#/target/a-well", []string{"Nothing fails.", "7 accepted", "✓ 200", "Nobody did anything"}},
		{"#/target/failing", []string{"Status 500", "Most failures:", "✗ 500", "retry"}},
		{"#/target/dead", []string{"Status 500", "Most failures:", "✗ 500", "retry"}},
		{"#/event/talk-1", []string{"What next", "✗ 503", "✓ 200", "Download"}},
		{"#/search", []string{"That is all."}}, {"#/types/message", []string{"Rosa"}},
	}
	for _, width := range widths() {
		c.screen(width, "light")
		for _, v := range views {
			c.open(v.view)
			c.see(v.sees...)
			if dialog := dialogs[v.view]; dialog != "" {
				c.walkDialog(dialog, fmt.Sprintf("%s at %d px", dialog, width))
			}
			if v.view != "" && dialogs[v.view] != "" && width != 360 {
				continue // such a page was walked already
			}
			for _, back := range []bool{false, true} {
				c.walk(fmt.Sprintf("%q at %d px", v.view, width), back)
			}
		}
	}
}

// walkDialog opens a dialog with Enter, walks through it and leaves it with Escape.
func (c *console) walkDialog(open, what string) {
	c.t.Helper()
	c.until(open, `(%s) && ((%s).focus(), 1)`, control(open), control(open))
	c.press("\r")
	c.until("the dialog", `document.querySelector("dialog[open]")`)
	for _, back := range []bool{false, true} {
		c.walk(what, back)
	}
	c.press("\x1b")
	c.wantFocus(open, `e.innerText === `+quote(open))
}

// TestConsoleOrder asserts that the focus goes down a page as the eye does: no control stands above
// the one before it, unless in another column.
func TestConsoleOrder(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := everyTrouble(t)
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	for _, width := range widths() {
		c.screen(width, "light")
		for view, sees := range map[string]string{"": "talk-5", "#/target/defective": "Status 503",
			"#/event/talk-1": "Payload", "#/search": "That is all."} {
			c.open(view)
			c.see(sees)
			bad := eval[string](c, `(() => {
				const list = %s.filter((e) => e.tabIndex >= 0).map((e) => [e,
					e.getBoundingClientRect()]);
				return list.slice(1).map(([e, r], i) => [e, r, ...list[i]])
					.filter(([e, , before]) => e.closest(".tower") === before.closest(".tower"))
					.filter(([, r, , was]) => r.bottom < was.top && r.left < was.right)
					.map(([e, , before]) => before.outerHTML.slice(0, 120) + "\n\tthen " +
						e.outerHTML.slice(0, 120)).join("\n");
			})()`, controls)
			if bad != "" {
				t.Errorf("%q at %d px:\n%s", view, width, strings.TrimSpace(bad))
			}
		}
	}
}
