package spool

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// What was withheld was not attempted: the delivery stays owed with the attempts it had, waits for
// its tick, says why, and nothing of it is the target's failure, a restart later too.
func TestWithheld(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	d := f.append("x", "crm")
	e := f.fetch(l, 1)[0]
	settle := func(st Settlement) {
		f.pass(time.Minute)
		st.Lane, st.Seq, st.AcceptedAt = l.id, e.Seq, e.At
		f.settle(st)
	}
	due := func(tick uint64) []Delivery {
		t.Helper()
		list, err := l.Due(tick).Next(10)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	// before any request
	settle(Settlement{Fresh: true, Verdict: Withheld, Due: 3, Error: "no descriptor",
		Made: record.Made{Outcome: 9}})
	if c := l.Counts(); c.Pending != 1 || c.Fresh != 0 || !c.LastFailure.IsZero() ||
		c.LastError != "" {
		t.Errorf("counts %+v", c)
	}
	if list := due(2); len(list) != 0 {
		t.Errorf("due before its tick: %+v", list)
	}
	f.reopen()
	l = f.lane("crm")
	list := due(3)
	if len(list) != 1 || list[0].Attempts != 0 || !list[0].FirstFailed.IsZero() ||
		!list[0].LastAt.IsZero() || list[0].LastError != "no descriptor" {
		t.Fatalf("due %+v", list)
	}
	f.wantHistory(l, d.Seq, "0:0")

	// a failure takes the number that was withheld, and keeps the first failure and the last
	settle(Settlement{Verdict: Retry, Attempts: 1, Due: 4, Status: 500, Error: "answered 500",
		Made: record.Made{Outcome: 2, Duration: time.Second}})
	failed := f.now
	for range 3 {
		settle(Settlement{Verdict: Withheld, Attempts: 1, Due: 5, Error: "no port"})
	}
	list = due(5)
	if len(list) != 1 || list[0].Attempts != 1 || !list[0].FirstFailed.Equal(failed) ||
		!list[0].LastAt.Equal(failed) || list[0].LastStatus != 500 || list[0].LastError != "no port" {
		t.Fatalf("due %+v", list)
	}
	if c := l.Counts(); c.Pending != 1 || c.LastError != "answered 500" ||
		!c.LastFailure.Equal(failed) {
		t.Errorf("counts %+v", c)
	}
	if took, status := l.Durations(nil); len(took) != 1 || status != 500 {
		t.Errorf("durations %v, status %d", took, status)
	}
	l.recent = recent{}
	f.wantHistory(l, d.Seq, "0:500 1:0")

	// in the end it is delivered, or exhausted, like any other
	settle(Settlement{Verdict: Delivered, Attempts: 2, Status: 200})
	if c := l.Counts(); c.Pending != 0 || c.Delivered != 1 {
		t.Errorf("counts %+v", c)
	}
	l.recent = recent{}
	f.wantHistory(l, d.Seq, "0:500 1:200")
	settle(Settlement{Verdict: Withheld, Attempts: 2, Due: 9}) // too late
	if list = due(99); len(list) != 0 || l.Counts().Pending != 0 {
		t.Errorf("a delivery came back: %+v", list)
	}
}
