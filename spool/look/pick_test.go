package look_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// walked is what all pages of a walk find, and how many pages and records that took.
type walked struct {
	seqs          []uint64
	pages, looked int
}

// walk goes through all pages, each of which is to end after so many records.
func walk(t *testing.T, most int, page func(from uint64, p look.Picking) ([]look.Found, uint64,
	error)) (w walked) {
	t.Helper()
	for from := uint64(0); ; {
		var seen look.Seen
		found, next, err := page(from, look.Picking{Seen: &seen,
			Enough: func() bool { return seen.Looked >= most }})
		if err != nil {
			t.Fatal(err)
		}
		if seen.Looked > most || seen.Looked == 0 && next > 0 {
			t.Errorf("a page looked at %d, want %d at most and at least one", seen.Looked, most)
		}
		w.seqs = append(w.seqs, seqs(found)...)
		w.pages, w.looked = w.pages+1, w.looked+seen.Looked
		if from = next; next == 0 {
			return w
		}
		if w.pages > 1000 {
			t.Fatal("the walk does not end")
		}
	}
}

// What is picked is found once, wherever a page ends, of events and of deliveries in every place;
// a page that has had enough has looked at one record at least.
func TestPicking(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	a := f.lane("a")
	const n = 60
	for range n {
		f.append("t", a)
	}
	f.fetch(a, n)
	for seq := uint64(1); seq <= n; seq++ {
		switch {
		case seq > 40: // still on its way
		case seq%2 == 0:
			f.settle(a, seq, spool.Retry)
		default:
			f.settle(a, seq, spool.Exhausted)
		}
	}
	third := func(e *record.Event) bool { return e.Seq%3 == 0 }
	f.check(t, "events", []uint64{60, 57, 54, 51, 48, 45, 42, 39, 36, 33, 30, 27, 24, 21, 18, 15, 12,
		9, 6, 3}, n, func(from uint64, p look.Picking) ([]look.Found, uint64, error) {
		p.Event = third
		return look.Search(f, look.Query{Below: from, Limit: 100, Picking: p})
	})
	f.check(t, "pending", []uint64{6, 12, 18, 24, 30, 36, 42, 45, 48, 51, 54, 57, 60}, 40,
		func(from uint64, p look.Picking) ([]look.Found, uint64, error) {
			p.Event = third
			return look.List(f, look.Listing{Lane: a.ID(), State: record.StatePending, From: from,
				Limit: 100, Picking: p})
		})
	failed := func(_ uint64, p *look.Place) bool { return p.LastStatus == 503 }
	f.check(t, "pending that failed", []uint64{12, 24, 36}, 40,
		func(from uint64, p look.Picking) ([]look.Found, uint64, error) {
			p.Event = func(e *record.Event) bool { return e.Seq%12 == 0 }
			p.Place = failed
			return look.List(f, look.Listing{Lane: a.ID(), State: record.StatePending, From: from,
				Limit: 100, Picking: p})
		})
	f.check(t, "events that failed", []uint64{39, 36, 33, 30, 27, 24, 21, 18, 15, 12, 9, 6, 3}, n,
		func(from uint64, p look.Picking) ([]look.Found, uint64, error) {
			p.Event, p.Place = third, failed
			return look.Search(f, look.Query{Below: from, Limit: 100, Picking: p})
		})
}

// check wants the same of a walk whatever a page may look at.
func (f *fixture) check(t *testing.T, what string, want []uint64, looked int,
	page func(from uint64, p look.Picking) ([]look.Found, uint64, error)) {
	t.Helper()
	for _, most := range []int{1, 2, 7, 1000} {
		w := walk(t, most, page)
		if !slices.Equal(w.seqs, want) || w.looked != looked {
			t.Errorf("%s, %d a page: %v of %d looked at, in %d pages; want %v of %d", what, most, w.seqs,
				w.looked, w.pages, want, looked)
		}
	}
}

// The log is read in its order, a page at a time, from an instant on.
func TestRead(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	a := f.lane("a")
	const n = 20
	for range n {
		f.append("t", a)
	}
	for _, most := range []int{1, 3, 100} {
		var got []uint64
		for from := uint64(0); ; {
			left := most
			next, err := look.Read(f, look.Upward{From: from, Since: acceptedAt(11).Add(time.Second / 2)},
				func(e *record.Event) bool {
					if left == 0 {
						return false
					}
					left--
					got = append(got, e.Seq)
					return true
				})
			if err != nil {
				t.Fatal(err)
			}
			if from = next; next == 0 {
				break
			}
		}
		// An event may have come up to a second before its place in the log says.
		if !slices.Equal(got, []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20}) {
			t.Errorf("%d a page: %v", most, got)
		}
	}
}
