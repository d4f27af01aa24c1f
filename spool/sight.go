package spool

import (
	"math"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/wallclock"
)

// This file is what package look asks of a running spool.

var (
	_ look.Source = (*Spool)(nil)
	_ look.IDs    = (*Spool)(nil)
)

// Records reads what is committed.
func (s *Spool) Records() engine.Records { return s.engine }

// Clock judges what was stamped while the wall clock was wrong.
func (s *Spool) Clock() *wallclock.Clock { return &s.clock }

// Swept is the sequence up to which the sweep has been. It moves before a removal can be seen.
func (s *Spool) Swept() uint64 { return s.swept.Load() }

// Barrier waits until what was begun before can be read. A spool that failed or is closed does not
// wait: what it knows is on its disk.
func (s *Spool) Barrier() { _ = s.Apply(Change{empty: true}) }

// MadeSeq is the sequence inside an id that this spool has made, or one that it was restored from;
// false: somebody else made it.
func (s *Spool) MadeSeq(id string) (seq uint64, ok bool) { return s.format.MadeSeq(id) }

// LaneNow is what is known of a lane without reading; false: there is none, or its target was
// forgotten. What another relay stores of its lane can be read before its sums are known here, so
// there may be anything.
func (s *Spool) LaneNow(lane record.LaneID) (look.Lane, bool) {
	l := s.LaneByID(lane)
	if l == nil {
		return look.Lane{}, false
	}
	if !l.Ours() {
		return look.Lane{Target: l.name, Failed: true, Exhausted: true,
			PurgedTo: math.MaxUint64}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return look.Lane{Target: l.name, Failed: l.exceptions > 0, Exhausted: l.exhausted > 0,
		PurgedTo: l.marks.newest.Load(), Receipts: func() []receipt.Receipt {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.receipts.All()
		}}, true
}

// Unsettled says which of some events are still on their way through the log to a lane, all at one
// instant: an attempt that was settled since may be written or not.
func (s *Spool) Unsettled(lane record.LaneID, seqs []uint64) []bool {
	out := make([]bool, len(seqs))
	l := s.LaneByID(lane)
	if l == nil {
		return out
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, seq := range seqs {
		out[i] = l.way.unsettled(seq)
	}
	return out
}

// unsettled reports whether a delivery is still on its way through the log.
func (l *Lane) unsettled(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.way.unsettled(seq)
}

// Fresh are events that are still on their way through the log to a lane, oldest first, from a
// sequence on, most of them at most. It reads at most one page of the log; next is where to go on,
// 0 at the end. Records that cannot be read are set aside.
func (s *Spool) Fresh(lane record.LaneID, from uint64, most int) (list []*record.Event, next uint64,
	err error) {
	l := s.LaneByID(lane)
	if l == nil {
		return nil, 0, nil
	}
	l.mu.Lock()
	head := s.head.Load()
	from = max(from, l.way.position(head)+1)
	l.mu.Unlock()
	if from > head {
		return nil, 0, nil
	}
	c := s.openCursor(from)
	defer c.close()
	p, _, err := s.readPage(c, l, most)
	if err != nil {
		return nil, 0, err
	}
	if p.next <= head {
		next = p.next
	}
	list = slices.DeleteFunc(p.events, func(e *record.Event) bool { return !l.unsettled(e.Seq) })
	return list, next, nil
}
