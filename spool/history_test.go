package spool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// numbers are the attempts of a history, in order.
func numbers(list []record.Attempt) string {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "%d:%d ", a.Number, a.Status)
	}
	return strings.TrimSpace(b.String())
}

func (f *fixture) wantHistory(l *Lane, seq uint64, want string) []record.Attempt {
	f.t.Helper()
	list, err := look.History(f.Records(), record.Ref{Lane: l.id, Seq: seq}, l.recent.since(0))
	if err != nil {
		f.t.Fatal(err)
	}
	if got := numbers(list); got != want {
		f.t.Errorf("the history of %d is %s; want %s", seq, got, want)
	}
	return list
}

// What succeeds at once costs no record, is known all the same, and the newest survive a restart.
func TestRecent(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	const n = recentMax + 10
	for range n {
		f.append("x", "crm")
	}
	for _, e := range f.fetch(l, n) {
		f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, Attempts: 1,
			At: f.now, Status: 200})
	}
	list, next := l.Recent(0)
	if len(list) != recentMax || next != n || list[0].Seq != 11 || list[recentMax-1].Seq != n {
		t.Fatalf("%d attempts up to %d, from event %d", len(list), next, list[0].Seq)
	}
	if list, next = l.Recent(n - 3); len(list) != 3 || next != n || list[0].Seq != n-2 {
		t.Errorf("after %d: %d attempts up to %d", n-3, len(list), next)
	}
	if list, _ = l.Recent(n); len(list) != 0 {
		t.Errorf("after the newest: %v", list)
	}
	f.wantHistory(l, n, "0:200")
	if records := f.countKeys(record.PrefixHistory); records != 0 {
		t.Errorf("%d records of attempts that succeeded at once", records)
	}
	f.reopen()
	l = f.lane("crm")
	if list, _ = l.Recent(0); len(list) != recentStoredMax || list[len(list)-1].Seq != n ||
		list[0].Lane != l.id || list[0].Status != 200 {
		t.Errorf("after a restart %d attempts are known", len(list))
	}
}

func (f *fixture) countKeys(prefix byte) (n int) {
	f.t.Helper()
	err := f.scan([]byte{prefix}, nil, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// The attempts of a lane that only retries are kept at the end as well: nothing moves its position.
func TestRecentOfRetries(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	f.append("x", "crm")
	e := f.fetch(l, 1)[0]
	st := Settlement{Lane: l.id, Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Verdict: Retry, Attempts: 1,
		Due: 1, Status: 500}
	f.settle(st)
	f.commitCheckpoint()
	f.reopen()
	st.Lane, st.Fresh, st.Attempts, st.Status = f.lane("crm").id, false, 2, 501
	f.settle(st)
	f.reopen()
	list, _ := f.lane("crm").Recent(0)
	if got := numbers(list); got != "0:500 1:501" {
		t.Errorf("after a restart the last attempts are %q", got)
	}
}
