package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// groupOf appends events with the sums of their payloads as their types in one group. The ids of
// every second one are given.
func (f *fixture) groupOf(n, size int, lanes ...string) {
	f.t.Helper()
	drafts := f.random(n, size, lanes[0])
	for i, d := range drafts {
		d.Note, d.ContentType = lanes, "text/plain"
		d.Headers = []record.Header{{Name: "x", Value: "a\xffb"}}
		if i%2 == 0 {
			d.Given, d.ID = true, fmt.Sprintf("given-%d-%d", size, i)
		}
	}
	if err := f.Append(drafts...); err != nil {
		f.t.Fatal(err)
	}
}

// furnishFrames fills a spool with all ways in which events are stored. Lane a: 1 to 10 were in one
// frame, of which 3 and 5 to 8 are left: 5 is exhausted, the others failed. 11 to 16 are in another
// one, waiting in both lanes; 12 is purged in a. 17 is large, 18 to 20 are a group of small ones.
func (f *fixture) furnishFrames() {
	f.t.Helper()
	a, b := f.lane("a"), f.lane("b")
	a.Open(true)
	f.groupOf(10, 900, "a")
	f.pass(time.Hour)
	for _, e := range f.fetch(a, 10) {
		st := Settlement{Lane: a.id, Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Verdict: Delivered}
		if left(e.Seq) {
			st.Verdict, st.Attempts, st.Due, st.Status, st.Error = Retry, 1, 1, 500, "answered 500"
		}
		f.settle(st)
	}
	f.commitCheckpoint()
	f.sweepAt(f.now.Add(2 * time.Hour))
	f.settle(Settlement{Lane: a.id, Seq: 5, Verdict: Exhausted, Attempts: 145})
	a.Open(false)
	f.groupOf(6, 901, "a", "b")
	f.groupOf(1, 6000, "a", "b")
	f.groupOf(3, 100, "a", "b")
	if n, err := a.Purge(context.Background(), Purge{State: StatePending, Seq: 12}); n != 1 {
		f.t.Fatal(n, err)
	}
	if err := f.Apply(Change{Standing: &record.Standing{FailedJobs: 101, DefectiveSince: f.now},
		StandingOf: b.id, Tick: &record.Tick{At: f.now},
		Owe: []Notice{{Lane: b.id, Episode: 1, Body: []byte("mail")}}}); err != nil {
		f.t.Fatal(err)
	}
	f.commitCheckpoint()
	for seq, want := range map[uint64]uint64{3: 8, 11: 16, 17: 17, 18: 18} {
		if last, _ := f.together(seq); last != want {
			f.t.Fatalf("event %d is stored with %d; want %d", seq, last, want)
		}
	}
}

// left reports whether an event of the first frame has not been swept.
func left(seq uint64) bool { return seq == 3 || 5 <= seq && seq <= 8 }

// drainFrames finds what furnishFrames has written, by all ways, and delivers what is owed.
func (f *fixture) drainFrames() {
	f.t.Helper()
	a, b := f.lane("a"), f.lane("b")
	f.counts(a, 13, 1)
	f.counts(b, 10, 0)
	for seq := uint64(1); seq <= 20; seq++ {
		e, err := f.Event(seq)
		switch is := seq > 10 || left(seq); {
		case is && err != nil, !is && !errors.Is(err, engine.ErrNotFound):
			f.t.Errorf("event %d: %v", seq, err)
		case is:
			f.checkSum(e)
			if byID, err := look.EventByID(f, e.ID()); err != nil || byID.Seq != seq {
				f.t.Errorf("event %d is not found by its id %q: %v", seq, e.ID(), err)
			}
		}
	}
	found, _, err := look.Search(f, look.Query{Limit: 100})
	if err != nil || len(found) != 15 || found[0].Seq != 20 || found[14].Seq != 3 {
		f.t.Errorf("a search finds %d events: %v", len(found), err)
	}
	for _, d := range f.due(a, 99) {
		f.checkSum(d.Event)
		f.settle(Settlement{Lane: a.id, Seq: d.Event.Seq, Verdict: Delivered})
	}
	for lane, n := range map[*Lane]int{a: 9, b: 10} {
		lane.Open(true)
		for _, e := range f.fetch(lane, n) {
			f.checkSum(e)
			f.settle(Settlement{Lane: lane.id, Seq: e.Seq, Fresh: true, Verdict: Delivered})
		}
	}
	f.counts(a, 0, 1)
	f.counts(b, 0, 0)
	f.commitCheckpoint()
	f.sweepAt(f.now.Add(1000 * time.Hour))
	found, _, err = look.Search(f, look.Query{Limit: 100})
	if err != nil || len(found) != 0 {
		f.t.Errorf("after the sweep a search finds %d events: %v", len(found), err)
	}
}

func (f *fixture) checkSum(e *record.Event) {
	f.t.Helper()
	sum := sha256.Sum256(e.Payload())
	if e.Type() != hex.EncodeToString(sum[:]) || len(e.Headers()) != 1 ||
		e.ContentType() != "text/plain" {
		f.t.Errorf("event %d is not what it was", e.Seq)
	}
}

// A spool furnished by this version drains as the one that is kept does.
func TestGoldenFramesOfToday(t *testing.T) {
	f := newGolden(t, nil)
	f.reopen()
	defer func() { f.Close() }()
	f.furnishFrames()
	f.reopen()
	f.drainFrames()
}
