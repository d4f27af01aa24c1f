package book

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/action"
)

// What was done elsewhere is told here, once however often it is brought; what the book has already
// stays as it is, what is too old does not come, and of too many the newest stay.
func TestBookBrings(t *testing.T) {
	s := newShelf(t)
	s.End(&action.Action{Verb: "pause", Target: "here"}, "done")
	var list []*action.Action
	for n := range 150 {
		at := s.now.Add(time.Duration(n-200) * time.Hour).UTC()
		list = append(list, &action.Action{Run: action.NewRun(at), At: at, EndedAt: &at, Verb: "retry",
			Target: fmt.Sprint(n), Imported: true})
	}
	old := s.now.Add(-action.Kept - time.Hour)
	list = append(list, list[0], &action.Action{Run: action.NewRun(old), At: old, Verb: "retry"})
	bring := func(taken, skipped int) {
		t.Helper()
		got, not, err := s.Bring(list)
		if err != nil || got != taken || not != skipped {
			t.Errorf("%d were taken, %d skipped, %v; want %d and %d", got, not, err, taken, skipped)
		}
	}
	bring(150, 2)
	list[7].Result = "told otherwise"
	bring(0, 152)
	s.restart()
	bring(0, 152)
	lines := s.list(Query{Limit: 1000})
	if len(lines) != 151 || lines[0] != "pause here 0 done" || lines[150] != "retry 0 0 " {
		t.Errorf("%d actions are listed: %q", len(lines), lines)
	}
	s.Most = 100
	for n := range 20 {
		at := s.now.Add(time.Duration(n+1) * time.Second).UTC() // after the pause
		list[n] = &action.Action{Run: action.NewRun(at), At: at, EndedAt: &at, Verb: "retry"}
	}
	list = list[:20]
	bring(20, 0)
	lines = s.list(Query{Limit: 1000})
	if n := len(lines); n > 100 || n < 20 {
		t.Errorf("%d actions are kept, want 100 at most", n)
	}
	for _, line := range lines[:20] {
		if line != "retry  0 " {
			t.Errorf("of too many, %q is among the newest", line)
		}
	}
	if err := s.Spool.Close(); err != nil {
		t.Fatal(err)
	}
	list[0].At = s.now.Add(time.Minute)
	list[0].Run = action.NewRun(list[0].At)
	if _, _, err := s.Bring(list); err == nil {
		t.Error("actions are brought into a spool that is closed")
	}
	s.open()
}
