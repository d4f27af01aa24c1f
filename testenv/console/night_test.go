package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// clicksMax is how many clicks the manual's page “At three in the morning” promises at most.
const clicksMax = 2

// question is one of that page: from the overview, some clicks and what is typed lead to what is to
// be seen. A click that only agrees to what a dialog asks is none to find the answer.
type question struct {
	words string
	steps []step
	sees  []string
}

// step clicks a text, or types a text into a field. A search is waited for by what it has in the
// address: the buttons of the one before it are there until then.
type step struct{ click, field, text, address string }

// nightQuestions are the ten of everyTrouble's relay.
func nightQuestions() []question {
	find := step{field: "Event id", text: "talk-1\r"}
	open := func(name string) step { return step{click: name} }
	return []question{
		{"Did they get it, and when?", []step{find}, []string{"Delivered ", ", 200, "}},
		{"Why have they not got it?", []step{find}, []string{"Waiting: ", "Held: paused is paused"}},
		{"What happens next, and when does it end?", []step{find}, []string{"tries left"}},
		{"What did they answer?", []step{open("defective")}, []string{"What fails now", "Status 503",
			"Out of order"}},
		{"Who is in trouble?", []step{{click: "6 of 9 targets need you"}}, []string{"6 of 9 targets",
			"Defective", "paused", "failing", "orphan", "answered 410 Gone"}},
		{"Since when, and how bad?", []step{open("defective"), {click: "24 h"}},
			[]string{"7 accepted · 0 delivered", "Most failures:"}},
		{"Does it work again?", []step{{click: "Retry defective"}, {click: "Retry now"}},
			[]string{"tried, 0 acknowledged (503 × "}},
		{"Who changed what?", []step{open("paused")}, []string{"Paused since", "Actions", "pause"}},
		{"How do I send last night's to one customer again?", []step{{click: "Search"},
			{field: "Where", text: "waId=491"}, {field: "Accepted since", text: "24h\r",
				address: "since=24h"},
			{click: "Replay these…"}}, []string{"where waId=491"}},
		{"What did this customer's conversation look like?", []step{{click: "Search"},
			{field: "Conversation", text: "491\r", address: "conversation=491"}, {click: "Conversation"}},
			[]string{"active", "opens a session", "c-1"}},
	}
}

// TestConsoleNight asserts that the console answers each of the ten questions of `hookspool help
// night` by at most two clicks, and by the keyboard alone, on a phone, a tablet and a desk, and that
// nothing on the way there scrolls sideways.
func TestConsoleNight(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	page := readFile(t, "../../cmd/hookspool/manual/night.md")
	j := everyTrouble(t)
	j.Config.Remove("target.orphan")
	j.Reload()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	all := nightQuestions()
	if n := strings.Count(page, "\n## "); n != len(all) {
		t.Errorf("the page has %d questions, this test %d", n, len(all))
	}
	for _, width := range widths() {
		c.screen(width, "light")
		for _, q := range all {
			if !strings.Contains(page, "\n## "+q.words+"\n") {
				t.Errorf("the page does not ask %q", q.words)
			}
			c.ask(q, c.click, c.fill)
			c.checkLook(fmt.Sprintf("%s at %d px", q.words, width))
			c.ask(q, func(text string) {
				c.tabTo(quote(text), control(text))
				c.press("\r")
			}, func(label, text string) {
				c.tabTo("field "+quote(label), field(label))
				c.press(text)
			})
		}
	}
}

// ask goes from the overview to the answer of a question.
func (c *console) ask(q question, click func(string), fill func(label, text string)) {
	c.t.Helper()
	c.open("")
	c.see("live", "talk-5")
	clicks := 0
	for _, s := range q.steps {
		if s.field != "" {
			fill(s.field, s.text)
			c.until("the search", `location.hash.includes(%s) && (%t ||
				document.activeElement.tagName === "H1")`, quote(s.address), s.address == "")
			continue
		}
		click(s.click)
		clicks++
	}
	c.see(q.sees...)
	if clicks > clicksMax {
		c.t.Errorf("%s: %d clicks", q.words, clicks)
	}
}

// tabsMax bounds how often Tab is pressed on the way to a control of a page.
const tabsMax = 150

// tabTo waits for a control and presses Tab until it has the focus.
func (c *console) tabTo(what, expression string) {
	c.t.Helper()
	c.until("to find "+what, `(%s)?.checkVisibility() && !(%s).disabled`, expression, expression)
	for range tabsMax {
		c.press("\t")
		if eval[bool](c, `document.activeElement === (%s)`, expression) {
			return
		}
	}
	c.t.Fatalf("%d times Tab do not lead to %s", tabsMax, what)
}
