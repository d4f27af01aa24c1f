package spooltest

import (
	"errors"
	"testing"

	"github.com/hookspool/hookspool/spool"
)

// shared is a bed whose lanes another relay can take.
type shared interface {
	Bed
	// Take gives a lane to another relay. late: whoever has it does not hear of that.
	Take(lane spool.LaneID, late bool)
	// Return lets the next who wants a lane that was taken have it.
	Return(lane spool.LaneID)
}

// taken: a lane that another relay takes is let alone from then on, and the others go on. What was
// stored of it before is what the next who has it goes on from.
func taken(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	bed, ok := newBed(tb).(shared)
	if !ok {
		return // its lanes are always its own
	}
	j := begin(tb, bed, "a", "b", "c")
	seqs := j.failAll("a", 3)
	for range 6 {
		j.append(j.draft("a", "b"))
	}
	j.settle("a", j.fetch("a", 1)[0].Seq, spool.Delivered)
	j.beat()
	j.reopen() // so that all of it is stored
	a, tick := j.lane("a"), j.ledger.tick
	pending := a.Counts().Pending
	in := j.fetch("a", 1)[0]
	bed.Take(a.ID(), false)

	if events, err := a.Fetch(5); err != nil || len(events) > 0 {
		j.Errorf("%d deliveries are handed out of a lane that another relay has; %v", len(events), err)
	}
	if due, err := a.Due(tick).Next(5); err != nil || len(due) > 0 {
		j.Errorf("%d deliveries are due in a lane that another relay has; %v", len(due), err)
	}
	if now, _ := j.LaneNow(a.ID()); !now.Failed || !now.Exhausted || now.PurgedTo < in.Seq {
		j.Errorf("of a lane that another relay has it is known what there is: %+v", now)
	}
	late := j.outcome("a", in.Seq, spool.Exhausted)
	late.Fresh = true
	standing := spool.Standing{FailedJobs: 7}
	err := j.Apply(spool.Change{Settle: []spool.Settlement{late}, Standing: &standing,
		StandingOf: a.ID(), Owe: []spool.Notice{{Lane: a.ID(), Episode: 1, Body: []byte("x")}}})
	if err != nil {
		j.Fatal(err)
	}
	if _, err := j.Replay(spool.Ref{Lane: a.ID(), Seq: seqs[0]}); !errors.Is(err, spool.ErrElsewhere) {
		j.Errorf("replayed in a lane that another relay has: %v", err)
	}
	j.settle("b", j.fetch("b", 1)[0].Seq, spool.Retry)
	j.append(j.draft("a", "b"))

	j.reopen()
	if events, err := j.lane("a").Fetch(5); err != nil || len(events) > 0 {
		j.Errorf("%d deliveries are handed out after a start; %v", len(events), err)
	}
	bed.Return(a.ID())
	j.reopen()
	j.check()
	if got := j.lane("a").Counts().Pending; got != pending+1 {
		j.Errorf("%d deliveries are pending; want %d", got, pending+1)
	}
	j.drain()
	j.reopen()
	j.check()
}

// fenced: a lane that was taken unheard is not written. Where several relays share the spool, what
// is beside it is, and the spool goes on with the other lanes; elsewhere it stops.
func fenced(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	bed, ok := newBed(tb).(shared)
	if !ok {
		return
	}
	j := begin(tb, bed, "a", "b", "c")
	j.append(j.draft("a", "b"))
	j.reopen()
	a, e := j.lane("a"), j.fetch("a", 1)[0]
	bed.Take(a.ID(), true)
	late := []spool.Settlement{j.outcome("a", e.Seq, spool.Exhausted)}
	fault := j.Apply(spool.Change{Settle: late})
	if j.Shared() != nil {
		if fault != nil || a.Ours() {
			j.Errorf("an outcome of a lane that another relay has: %v; it is ours: %v", fault, a.Ours())
		}
		j.append(j.draft("a", "b"))
		j.settle("b", j.fetch("b", 1)[0].Seq, spool.Delivered)
		bed.Return(a.ID())
		j.reopen()
		j.check()
		j.drain()
		j.reopen()
		j.check()
		return
	}
	if !errors.Is(fault, spool.ErrFailed) || !errors.Is(fault, spool.ErrElsewhere) {
		j.Errorf("an outcome of a lane that another relay has: %v", fault)
	}
	bed.Return(a.ID())
	j.crash()
	j.check()
	j.drain()
	j.reopen()
	j.check()
}
