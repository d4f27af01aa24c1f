package look_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// A delivery keeps its first attempt and its last four, across a restart, with what came back. What
// memory has besides stands between them, and nothing stands there twice.
func TestHistory(t *testing.T) {
	t.Parallel()
	fx := open(t, nil)
	l, other := fx.lane("crm"), fx.lane("erp")
	seq := fx.append("t", l).Seq
	fx.fetch(l, 1)
	snippet := []byte(strings.Repeat("no ", 300))
	for n := range 9 {
		fx.now = fx.now.Add(time.Minute)
		st := outcome(l, seq, spool.Retry)
		st.Fresh, st.Attempts, st.Due, st.At, st.Status = n == 0, n+1, uint64(n+1), fx.now, 500+n
		st.Made = record.Made{Outcome: 2, Duration: time.Second, Remote: "127.0.0.1:80",
			Snippet: snippet}
		if n == 8 {
			st.Verdict, st.Status, st.Error, st.Made.Snippet = spool.Delivered, 200, "", nil
		}
		if err := fx.Apply(spool.Change{Settle: []spool.Settlement{st}}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(d record.Ref, recent []record.Attempt, numbers ...int) []record.Attempt {
		t.Helper()
		list, err := look.History(fx.Records(), d, recent)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, a := range list {
			got = append(got, a.Number)
			if a.Ref != d || a.Status != 500+a.Number && a.Number < 8 {
				t.Errorf("of delivery %+v attempt %d is %+v", d, a.Number, a)
			}
		}
		if !slices.Equal(got, numbers) {
			t.Errorf("the history of %+v is %v; want %v", d, got, numbers)
		}
		return list
	}
	d := record.Ref{Lane: l.ID(), Seq: seq}
	// what is kept
	list := f(d, nil, 0, 5, 6, 7, 8)
	if a := list[1]; a.Outcome != 2 || a.Duration != time.Second || a.Remote != "127.0.0.1:80" ||
		string(a.Snippet) != string(snippet[:record.HistorySnippet]) || a.Error != "answered 503" {
		t.Errorf("attempt 5 is %+v", a)
	}
	// and what memory has
	recent, _ := l.Recent(0)
	f(d, recent, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	fx.reopen()
	f(d, nil, 0, 5, 6, 7, 8)
	// another delivery, another lane
	f(record.Ref{Lane: l.ID(), Seq: seq + 1}, recent)
	f(record.Ref{Lane: other.ID(), Seq: seq}, nil)
}
