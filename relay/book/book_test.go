package book

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/spooltest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// shelf is a book in a spool in memory, with a clock of its own.
type shelf struct {
	*testing.T
	*Book
	memory *spooltest.Memory
	now    time.Time
	log    strings.Builder
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{T: t, memory: spooltest.NewMemory(false), now: time.Now()}
	s.open()
	t.Cleanup(func() {
		if err := s.Spool.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shelf) open() {
	s.Helper()
	at, err := spool.Open(spool.Options{Dir: s.TempDir(), Engine: s.memory.Engine(),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.Fatal(err)
	}
	at.Start()
	s.Book = &Book{Spool: at, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Now: func() time.Time { return s.now }}
}

// restart opens the spool again.
func (s *shelf) restart() {
	s.Helper()
	if err := s.Spool.Close(); err != nil {
		s.Fatal(err)
	}
	s.open()
}

// list is all that a query selects, as "verb target count result".
func (s *shelf) list(q Query) (lines []string) {
	s.Helper()
	for pages := 0; ; pages++ {
		list, next, err := s.List(&q)
		if err != nil || pages > 20_000 {
			s.Fatal(pages, err)
		}
		for _, a := range list {
			end := ""
			if a.EndedAt == nil {
				end = " …"
			}
			lines = append(lines, fmt.Sprintf("%s %s %d %s%s", a.Verb, a.Target, a.Count, a.Result, end))
		}
		if q.After = next; next == "" {
			return lines
		}
	}
}

func (s *shelf) want(q Query, want ...string) {
	s.Helper()
	if got := s.list(q); strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.Errorf("%+v lists\n%s\nwant\n%s", q, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The calls of one replay are one action, those of another name or of somebody else another one.
func TestBookJoins(t *testing.T) {
	s := newShelf(t)
	page := func(run, by string, count uint64, more bool) string {
		s.now = s.now.Add(time.Second)
		a := action.Action{Run: run, Verb: "replay", Target: "crm", Count: count, Result: "done",
			Who: action.Who{By: by}}
		s.Join(&a, more)
		return a.Run
	}
	run := page("", "ann", 1000, true)
	s.want(Query{Limit: 9}, "replay crm 1000 done …")
	s.restart()
	if again := page(run, "ann", 1000, true); again != run {
		t.Errorf("the second page is of %s, want %s", again, run)
	}
	if mine := page(run, "bob", 7, false); mine == run {
		t.Error("somebody else's page is counted to ann's replay")
	}
	page("0123", "ann", 5, false)
	page(run, "ann", 500, false)
	s.want(Query{Limit: 1}, "replay crm 5 done", "replay crm 7 done", "replay crm 2500 done")
	if n := strings.Count(s.log.String(), "an operator acted"); n != 4 {
		t.Errorf("the log has %d lines, want 4: a replay of several pages says its begin and its end\n%s",
			n, s.log.String())
	}
}

// An order is noted before it is carried out, and taken back if it is refused.
func TestBookBegins(t *testing.T) {
	s := newShelf(t)
	a := action.Action{Verb: "retry", Target: "crm", Result: "a job was asked for"}
	b := a
	s.Begin(&a)
	s.want(Query{Limit: 9}, "retry crm 0 a job was asked for …")
	s.Begin(&b)
	s.Drop(&b)
	a.Count = 3
	s.End(&a, "3 tried, 0 acknowledged")
	s.restart()
	s.want(Query{Limit: 9}, "retry crm 3 3 tried, 0 acknowledged")
	s.want(Query{Limit: 9, Target: "erp"})
	s.want(Query{Limit: 9, Verb: "pause"})
	s.want(Query{Limit: 9, Since: s.now.Add(time.Second)})
	s.want(Query{Limit: 9, Until: s.now.Add(-time.Second)})
	if _, _, err := s.List(&Query{Limit: 9, After: "x"}); err == nil {
		t.Error("a page after what is no action is given")
	}
}

// At most 10,000 actions are kept, and the oldest go first, also where a restart forgot how many
// there are.
func TestBookIsBounded(t *testing.T) {
	effort.WithoutRace(t)
	s := newShelf(t)
	act := func(n int) {
		s.now = s.now.Add(time.Millisecond)
		s.End(&action.Action{Verb: "pause", Target: fmt.Sprint(n)}, "done")
	}
	for n := range actionsMax + 200 {
		act(n)
		if n%2500 == 0 {
			s.restart()
		}
	}
	lines := s.list(Query{Limit: 1000})
	if n := len(lines); n > actionsMax || n < actionsMax-actionsSlack {
		t.Errorf("%d actions are kept, want %d at most", n, actionsMax)
	}
	if newest := fmt.Sprintf("pause %d 0 done", actionsMax+199); lines[0] != newest {
		t.Errorf("the newest is %q, want %q", lines[0], newest)
	}
	// A book that is over its bound, as an older one may be, comes down bit by bit.
	s.restart()
	s.Most = 100
	for n := range 20 {
		act(n)
	}
	if n := len(s.list(Query{Limit: 1000})); n > 100 {
		t.Errorf("%d actions are kept, want 100 at most", n)
	}
}

// An action that cannot be stored does not fail the order, and the log says it.
func TestBookOfAClosedSpool(t *testing.T) {
	s := newShelf(t)
	if err := s.Spool.Close(); err != nil {
		t.Fatal(err)
	}
	s.End(&action.Action{Verb: "pause", Target: "crm", Who: action.Who{By: "ann"}}, "done")
	for _, part := range []string{"cannot note what an operator did", "an operator acted", "by=ann"} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("the log does not say %q:\n%s", part, s.log.String())
		}
	}
	s.open()
}
