package look_test

import (
	"fmt"
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
	snippet := []byte(strings.Repeat("no ", 400))
	for n := range 9 {
		fx.now = fx.now.Add(time.Minute)
		st := outcome(l, seq, spool.Retry)
		st.Fresh, st.Attempts, st.Due, st.At, st.Status = n == 0, n+1, uint64(n+1), fx.now, 500+n
		st.Made = record.Made{Outcome: 2, Duration: time.Second, Remote: "127.0.0.1:80",
			Snippet: snippet, Request: fmt.Appendf(nil, "POST %d", n),
			Response: fmt.Appendf(nil, "HTTP/1.1 %d", 500+n)}
		if n == 8 {
			st.Verdict, st.Status, st.Error, st.Made = spool.Delivered, 200, "", record.Made{}
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
	// the heads of the first and of the last that failed
	for _, a := range list {
		want, answer := "", ""
		if a.Number == 0 || a.Number == 7 {
			want, answer = fmt.Sprintf("POST %d", a.Number), fmt.Sprintf("HTTP/1.1 %d", 500+a.Number)
		}
		if string(a.Request) != want || string(a.Response) != answer {
			t.Errorf("attempt %d has heads %q, %q; want %q, %q", a.Number, a.Request, a.Response, want,
				answer)
		}
	}
	// and what memory has
	recent, _ := l.Recent(0)
	for _, a := range recent {
		if len(a.Snippet) > 256 || a.Request != nil || a.Response != nil ||
			a.Number < 8 && !strings.HasSuffix(string(a.Snippet), "…") {
			t.Errorf("in memory attempt %d is %+v", a.Number, a)
		}
	}
	f(d, recent, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	fx.reopen()
	f(d, nil, 0, 5, 6, 7, 8)
	// another delivery, another lane
	f(record.Ref{Lane: l.ID(), Seq: seq + 1}, recent)
	f(record.Ref{Lane: other.ID(), Seq: seq}, nil)
}

// What took any time at all says so, to whoever takes 0 for nothing that is known.
func TestMilliseconds(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]float64{0: 0, 1: 0.1, 40 * time.Microsecond: 0.1,
		149 * time.Microsecond: 0.1, 38*time.Millisecond + 60*time.Microsecond: 38.1} {
		if got := (look.Receipt{Took: took}).Milliseconds(); got != want {
			t.Errorf("%s: %g ms, want %g", took, got, want)
		}
	}
}
