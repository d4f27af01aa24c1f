package top

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// TestDecode reads what terminals send, whole and in two pieces.
func TestDecode(t *testing.T) {
	t.Parallel()
	f := func(text string, want ...Key) {
		t.Helper()
		for cut := range len(text) + 1 {
			first, rest := Decode([]byte(text[:cut]))
			if cut > 0 && strings.HasSuffix(text[:cut], "\x1b") {
				continue // a lone escape is the key
			}
			second, rest := Decode(append(rest, text[cut:]...))
			if got := append(first, second...); fmt.Sprint(got) != fmt.Sprint(want) || len(rest) > 0 {
				t.Errorf("%q cut at %d is %v, want %v, and %q is left", text, cut, got, want, rest)
			}
		}
	}
	f("qä日", 'q', 'ä', '日')
	f("\x1b[A\x1b[B\x1bOA\x1bOB", Up, Down, Up, Down) // ECMA-48, and the keypad's
	f("\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", PageUp, PageDown, Home, End, Home, End)
	f("\r\n\x7f\b", Enter, Enter, Backspace, Backspace)
	f("\x03\x1a\x0c\x15\x01", Interrupt, Suspend, Redraw, Clear, Other)
	f("\x1b[1;5A\x1b[3~\x1b[?62c\x1b[Z", Up, Other, Other, Other) // Ctrl-Up, Delete, an answer
	if got, rest := Decode([]byte("\x1b")); fmt.Sprint(got) != fmt.Sprint([]Key{Escape}) || rest != nil {
		t.Errorf("a lone escape is %v, %q is left", got, rest)
	}
	if got, _ := Decode([]byte("\xff\xfe")); fmt.Sprint(got) != fmt.Sprint([]Key{Other, Other}) {
		t.Errorf("what is no UTF-8 is %v", got)
	}
}

// FuzzDecode takes anything in any pieces, and leaves no more than the beginning of one key.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x1b[5~q"), 2)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = min(max(cut, 0), len(text))
		_, rest := Decode(text[:cut])
		_, rest = Decode(append(rest, text[cut:]...))
		if len(rest) > 0 && rest[0] != escape && len(rest) >= 4 {
			t.Errorf("%q is left of %q", rest, text)
		}
	})
}

func fleet() []admin.Target {
	old, older, half := time.Unix(2000, 0), time.Unix(1000, 0), 0.5
	return []admin.Target{
		{Name: "well", Status: "Enabled", RateSuccess: 9},
		{Name: "off", Status: "Disabled"},
		{Name: "behind", Status: "Enabled", Pending: 50, OldestPending: &older},
		{Name: "failing", Status: "Enabled", FailedJobs: 3, Pending: 5, RateFailed: 2},
		{Name: "gone", Status: "Disabled", Orphan: true, Pending: 9},
		{Name: "held back", Status: "Paused", Pending: 7, OldestPending: &old},
		{Name: "dead 2", Status: "Defective", Pending: 3, OldestPending: &old, LatencyP99: &half},
		{Name: "dead 1", Status: "Defective", Pending: 2, OldestPending: &older},
	}
}

func names(list []*admin.Target) string {
	var all []string
	for _, t := range list {
		all = append(all, t.Name)
	}
	return strings.Join(all, ",")
}

// TestOrders sorts by each order, both ways, and leaves the list as it is.
func TestOrders(t *testing.T) {
	t.Parallel()
	f := func(order string, reversed bool, want string) {
		t.Helper()
		v, targets := View{Reversed: reversed}, fleet()
		for v.Order = range Orders() {
			if Orders()[v.Order].Name == order {
				break
			}
		}
		if got := names(v.Of(targets)); !strings.HasPrefix(got, want) {
			t.Errorf("by %s: %s, want %s…", order, got, want)
		}
		if !slices.EqualFunc(targets, fleet(), func(a, b admin.Target) bool { return a.Name == b.Name }) {
			t.Errorf("by %s: the list itself was sorted", order)
		}
	}
	f("trouble", false, "dead 1,dead 2,held back,gone,failing,behind,off,well")
	f("trouble", true, "well,off")
	f("name", false, "behind,dead 1,dead 2,failing")
	f("pending", false, "behind,gone,held back")
	f("oldest", false, "behind,dead 1,dead 2,held back,")
	f("ok/s", false, "well,")
	f("fail/s", false, "failing,")
	f("p99", false, "dead 2,")
	f("exhausted", false, "behind,dead 1") // a tie goes by name
}

// TestView presses keys: the mark stays on its target, the window follows the mark, what is typed
// filters, and one target is shown and left.
func TestView(t *testing.T) {
	t.Parallel()
	var v View
	targets := fleet()
	press := func(want Action, keys ...Key) {
		t.Helper()
		for _, k := range keys {
			if got := v.Press(k, v.Of(targets), 3); got != want {
				t.Errorf("key %d asks for %v, want %v", k, got, want)
			}
		}
	}
	at := func(first, mark int, name string) {
		t.Helper()
		if f, m := v.Window(v.Of(targets), 3); f != first || m != mark || v.Marked != name {
			t.Errorf("the window begins at %d, mark %d on %q; want %d, %d, %q", f, m, v.Marked, first,
				mark, name)
		}
	}
	at(0, 0, "dead 1")
	press(None, Down, 'j', Down)
	at(1, 3, "gone")
	press(None, Up, Up)
	at(1, 1, "dead 2")
	press(None, 's') // by name: the mark stays on its target
	at(1, 2, "dead 2")
	press(None, End)
	at(5, 7, "well")
	press(None, PageUp)
	at(4, 4, "gone")
	press(None, PageDown, PageDown, Home, Up)
	at(0, 0, "behind")
	press(None, 'S', '/', 'D', 'E', 'f', 'x', Backspace)
	if got := names(v.Of(targets)); v.Filter != "def" || got != "dead 1,dead 2" {
		t.Errorf("filter %q shows %s", v.Filter, got)
	}
	press(None, Enter, Down)
	at(0, 1, "dead 2")
	press(None, Escape)
	at(0, 1, "dead 2")
	press(Ask, Enter)
	if v.Detail != "dead 2" {
		t.Errorf("%q is shown", v.Detail)
	}
	press(None, Down, 'j', Up, 'q')
	if v.Detail != "" || v.First != 0 {
		t.Errorf("%q is shown still, from %d", v.Detail, v.First)
	}
	press(None, '?', 'q')
	press(Repaint, Redraw)
	press(Stop, Suspend)
	press(None, '/', 'q', Escape)
	press(Leave, 'q', Interrupt)
	// None there: nothing to mark, nothing to show.
	targets = nil
	press(None, Down, End, Enter, PageDown)
	at(0, 0, "dead 2")
}
