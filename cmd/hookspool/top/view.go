package top

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hookspool/hookspool/relay/admin"
)

// filterMax bounds what is typed to filter by.
const filterMax = 64

// Action is what a key asks of the one who shows the View.
type Action int

// The actions.
const (
	None    Action = iota
	Leave          // the screen
	Stop           // the process, as Ctrl-Z does
	Repaint        // all of it
	Ask            // for the attempts of View.Detail
)

// View is what a user has chosen to see. The zero value shows all targets, worst first.
type View struct {
	// Order is the index of one of Orders; Reversed turns it round.
	Order    int
	Reversed bool
	// Filter is a part of the names, statuses or relays to show, in lower case.
	Filter string
	// Typing: keys go to the filter.
	Typing bool
	// Detail is the target that is shown alone; empty: all are.
	Detail string
	// Help: the keys are shown.
	Help bool
	// Marked is the name of the target under the mark, which stays on it when the order changes.
	Marked string
	// First is the first line that is shown of the list, or of the attempts.
	First int
}

// Of returns the targets to show, in the order to show them in. The list is not changed.
func (v *View) Of(targets []admin.Target) []*admin.Target {
	var list []*admin.Target
	for i := range targets {
		if v.passes(&targets[i]) {
			list = append(list, &targets[i])
		}
	}
	by := Orders()[v.Order].compare
	slices.SortFunc(list, func(a, b *admin.Target) int {
		way := by(a, b)
		if v.Reversed {
			way = -way
		}
		if way == 0 {
			way = strings.Compare(a.Name, b.Name)
		}
		return way
	})
	return list
}

func (v *View) passes(t *admin.Target) bool {
	if v.Filter == "" {
		return true
	}
	status := t.Status
	if t.Orphan {
		status = "orphan"
	}
	for _, text := range []string{t.Name, status, t.Relay} {
		if strings.Contains(strings.ToLower(text), v.Filter) {
			return true
		}
	}
	return false
}

// Window settles which of the targets are shown on so many lines, the marked one among them, and
// returns the first and where the mark is.
func (v *View) Window(list []*admin.Target, lines int) (first, mark int) {
	mark = max(0, slices.IndexFunc(list, func(t *admin.Target) bool { return t.Name == v.Marked }))
	if len(list) > 0 {
		v.Marked = list[mark].Name
	}
	v.First = max(min(v.First, mark, len(list)-lines), mark-lines+1, 0)
	return v.First, mark
}

// Press does what a key means. list is what is shown, on so many lines.
func (v *View) Press(k Key, list []*admin.Target, lines int) Action {
	switch {
	case k == Interrupt:
		return Leave
	case k == Suspend:
		return Stop
	case k == Redraw:
		return Repaint
	case v.Typing:
		v.filter(k)
		return None
	case v.Help:
		v.Help = false // any key
		return None
	case k == '?':
		v.Help = true
		return None
	case v.Detail != "":
		return v.pressDetail(k, lines)
	}
	return v.pressList(k, list, lines)
}

func (v *View) pressList(k Key, list []*admin.Target, lines int) Action {
	step := 0
	switch k {
	case 'q', 'Q':
		return Leave
	case Up, 'k':
		step = -1
	case Down, 'j':
		step = 1
	case PageUp:
		step = -lines
	case PageDown, ' ':
		step = lines
	case Home, 'g':
		step = -len(list)
	case End, 'G':
		step = len(list)
	case '/':
		v.Typing = true
	case Escape:
		v.Filter = ""
	case 's', '>':
		v.Order, v.Reversed = (v.Order+1)%len(Orders()), false
	case 'S', '<':
		v.Order, v.Reversed = (v.Order+len(Orders())-1)%len(Orders()), false
	case 'r':
		v.Reversed = !v.Reversed
	case Enter:
		if len(list) > 0 {
			v.Detail, v.First = v.Marked, 0
			return Ask
		}
	}
	if step != 0 && len(list) > 0 {
		_, mark := v.Window(list, lines)
		v.Marked = list[min(max(mark+step, 0), len(list)-1)].Name
	}
	return None
}

// pressDetail is for one target; how far First may go is known to who shows it.
func (v *View) pressDetail(k Key, lines int) Action {
	switch k {
	case 'q', 'Q', Escape, Enter, Backspace:
		v.Detail, v.First = "", 0
	case Up, 'k':
		v.First = max(v.First-1, 0)
	case Down, 'j':
		v.First++
	case PageUp:
		v.First = max(v.First-lines, 0)
	case PageDown, ' ':
		v.First += lines
	case Home, 'g':
		v.First = 0
	}
	return None
}

// filter takes a key while the filter is typed.
func (v *View) filter(k Key) {
	switch {
	case k == Enter:
		v.Typing = false
	case k == Escape:
		v.Typing, v.Filter = false, ""
	case k == Clear:
		v.Filter = ""
	case k == Backspace:
		_, n := utf8.DecodeLastRuneInString(v.Filter)
		v.Filter = v.Filter[:len(v.Filter)-n]
	case k > 0 && unicode.IsPrint(rune(k)) && len(v.Filter) < filterMax:
		v.Filter += strings.ToLower(string(rune(k)))
	}
}
