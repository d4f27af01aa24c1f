package spool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
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

// What memory and the newest attempts have forgotten the receipts tell, of each delivery, after a
// restart; they are few records. An attempt that succeeded after a failure stays as long as its
// event, and is not forgotten with those that failed.
func TestReceiptsOutliveRecent(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	const n = 5 * recentMax
	for range n {
		f.append("x", "crm")
	}
	for _, e := range f.fetch(l, n) {
		st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, At: f.now, Status: 204,
			Made: record.Made{Duration: time.Duration(e.Seq) * time.Millisecond}}
		if e.Seq == 7 {
			st.Verdict, st.Status, st.Error, st.Due = Retry, 503, "answered 503", 1
		}
		if e.Seq%100 == 0 || e.Seq == 7 {
			f.settle(st)
		} else {
			f.Settle(st)
		}
	}
	f.settle(Settlement{Lane: l.id, Seq: 7, Attempts: 2, At: f.now, Status: 200})
	f.reopen()
	f.wantHistory(f.lane("crm"), 3, "0:204")
	f.wantHistory(f.lane("crm"), 7, "0:503 1:200")
	if records := f.countKeys(record.PrefixReceipts); records == 0 || records > n/32 {
		t.Errorf("the receipts of %d deliveries are %d records", n, records)
	}
	found, _, err := look.Search(f, look.Query{Lane: l.id, LaneOnly: true, Limit: n,
		State: record.StateDelivered})
	if err != nil || len(found) != n {
		t.Fatalf("found %d deliveries, %v", len(found), err)
	}
	for i := range found {
		r, seq := &found[i].Places[0].Receipt, found[i].Seq
		if seq != 7 && (!r.At.Equal(f.now) || r.Took != time.Duration(seq)*time.Millisecond ||
			r.Status != 204 || r.Attempts != 1) || seq == 7 && (r.Attempts != 2 || r.Status != 200) {
			t.Errorf("the receipt of %d is %+v", seq, *r)
		}
	}
	look := f.engine.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: record.LaneSeqKey(record.PrefixHistory, l.id, 7)})
	defer w.Close()
	var expire []bool
	for w.Seek(record.LaneSeqKey(record.PrefixHistory, l.id, 7)); w.Valid(); w.Next() {
		expire = append(expire, w.ExpiresAt() > 0)
	}
	if fmt.Sprint(expire) != "[true false]" {
		t.Errorf("which of the attempts at event 7 expire: %v", expire)
	}
}
