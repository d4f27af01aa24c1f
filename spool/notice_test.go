package spool

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
)

// TestNoticesAndMemos owes in two ways about two lanes and the spool itself, and asserts that each
// notice is paid by itself, that what is left and the memos survive a restart, and that verify
// finds nothing to object to.
func TestNoticesAndMemos(t *testing.T) {
	f := open(t)
	a, b := f.lane("a"), f.lane("b")
	owe := func(l *Lane, episode uint64, way uint8) Notice {
		return Notice{Lane: l.ID(), Episode: episode, Way: way, Body: fmt.Appendf(nil, "%d", way)}
	}
	list := func() (got []string) {
		t.Helper()
		notices, err := f.Notices()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range notices {
			name := "spool"
			if n.Lane != record.SpoolItself {
				name = f.NameOf(n.Lane)
			}
			got = append(got, fmt.Sprintf("%s %d %d %s", name, n.Episode, n.Way, n.Body))
		}
		return got
	}
	want := func(want ...string) {
		t.Helper()
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("owed are %q, want %q", got, want)
		}
	}
	memo := func(l *Lane, want string) {
		t.Helper()
		if got, err := f.Memo(l.ID()); err != nil || string(got) != want {
			t.Errorf("the memo is %q, %v; want %q", got, err, want)
		}
	}
	memo(nil, "")
	err := f.Apply(Change{
		Owe: []Notice{owe(b, 7, 1), owe(a, 9, 0), owe(a, 9, 1), owe(a, 8, 1), owe(nil, 3, 0)},
		Memos: []Memo{{Lane: a.id, Body: []byte("level 90")}, {Lane: b.id, Body: []byte("x")},
			{Body: []byte("full")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want("spool 3 0 0", "a 8 1 1", "a 9 0 0", "a 9 1 1", "b 7 1 1")
	err = f.Apply(Change{Paid: []Notice{owe(a, 9, 1), owe(nil, 3, 0)}, Memos: []Memo{{Lane: b.id}}})
	if err != nil {
		t.Fatal(err)
	}
	f.reopen()
	a, b = f.lane("a"), f.lane("b")
	want("a 8 1 1", "a 9 0 0", "b 7 1 1")
	memo(a, "level 90")
	memo(b, "")
	memo(nil, "full")
	f.close()
	r, err := care.Verify(context.Background(), f.readerOptions(), nil)
	if err != nil || r.FaultCount > 0 {
		t.Errorf("%v, faults %q", err, r.Faults)
	}
}
