package spool

import (
	"crypto/rand"
	"testing"
	"time"
)

// TestSpaceReturns drains a backlog that is several memtables large and wants the disk back,
// although nothing is written any more.
func TestSpaceReturns(t *testing.T) {
	t.Parallel()
	const events, payload = 60_000, 1200
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	text := make([]byte, payload)
	for range events / 1000 {
		var drafts []*Draft
		for range 1000 {
			if _, err := rand.Read(text); err != nil {
				t.Fatal(err)
			}
			drafts = append(drafts, &Draft{Payload: append([]byte(nil), text...),
				At: f.now.Add(-time.Minute), Note: []string{"a"}})
		}
		if err := f.Append(drafts...); err != nil {
			t.Fatal(err)
		}
	}
	f.measureDisk()
	full := f.Disk().Bytes
	if full < events*payload {
		t.Fatalf("%d bytes are on disk, want %d at least", full, events*payload)
	}
	deliverAll(f, l)
	f.SetLimits(Limits{KeepExhausted: time.Hour, DedupeWindow: time.Hour})
	for end := time.Now().Add(time.Minute); f.Disk().Bytes > memTableBytes; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are on disk after the drain, %d before", f.Disk().Bytes, full)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("on disk: %d bytes full, %d drained", full, f.Disk().Bytes)
	// What comes after a flush is as safe as what came before.
	f.append("after", "a")
	f.reopen()
	if n := f.lane("a").Counts().Pending; n != 1 {
		t.Errorf("%d deliveries are pending after the reopening, want 1", n)
	}
}

// deliverAll settles everything a lane owes.
func deliverAll(f *fixture, l *Lane) {
	f.t.Helper()
	for l.Counts().Pending > 0 {
		events, err := l.Fetch(500)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range events {
			f.Settle(Settlement{Lane: l, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
		}
	}
}
