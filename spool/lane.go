package spool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

// Lane is one target's view of the spool: a position in the log, everything at or below which is
// settled or has become an exception; the few deliveries handed out above it; and the exceptions.
// One goroutine at a time fetches; everything else is safe for concurrent use.
type Lane struct {
	s    *Spool
	id   record.LaneID
	name string
	wake chan struct{} // capacity 1: a token means "look again"; sent by committer, Open and Settle

	fetching sync.Mutex // held across one Fetch, so that two fetchers cannot read the same page
	cursor   keptCursor // guarded by fetching

	// tenure is the time in which the lane is this spool's; after it nothing of it is handed out or
	// written here any more, and another relay goes on from what is stored.
	tenure atomic.Pointer[engine.Tenure]

	// yields: nothing is handed out any more, because another relay is to have the lane.
	yields atomic.Bool

	// coming are the events of the group that is being committed; the committer's alone.
	coming []*fed

	// gone: it was forgotten. Set by the committer, after which nothing of it is written.
	gone atomic.Bool

	mu  sync.Mutex // guards all below; never held across disk
	way way

	laneCounts
	arrivals arrivals
	recent   recent
	receipts receipt.Tail
	standing record.Standing
	dirty    bool // the record on disk is older than this
	marks    purgeMarks
	// owedSeq is the event up to which the record that was loaded counts owed.
	owedSeq uint64
	// storedPosition and storedIdle are what the record on disk says: how far the sweep may go.
	// Idle: nothing of the log was owed.
	storedPosition uint64
	storedIdle     bool
	// storedSeq is the event up to which that record counts owed.
	storedSeq uint64
}

// laneCounts are a lane's sums. owed − passed are the deliveries still in the log, exceptions the
// ones beside it; together they are pending.
type laneCounts struct {
	owed        uint64 // deliveries accepted, ever
	passed      uint64 // of those, the ones the position counts as settled, ever
	exceptions  uint64 // now
	exhausted   uint64 // now kept, those that expired among them
	expired     uint64 // now kept
	delivered   uint64 // ever
	quarantined uint64 // ever, because the record could not be read
	purged      uint64 // ever, by hand
	lastSuccess time.Time
	lastFailure time.Time
	lastError   string
}

// Pending is one delivery that waits.
type Pending struct {
	Seq      uint64
	At       time.Time // instant of acceptance
	Attempts int       // requests made so far
}

// Name is the target's name, the lane's identity across restarts.
func (l *Lane) Name() string { return l.name }

// Ours reports whether the lane is this relay's. What it counts, and its standing, are those of
// another relay otherwise, as they were a moment ago.
func (l *Lane) Ours() bool { return !l.tenure.Load().Over() }

// Tenure tells one time in which the lane is this relay's from another; 0: it is not.
func (l *Lane) Tenure() uint64 {
	if t := l.tenure.Load(); !t.Over() {
		return t.Fence + 1
	}
	return 0
}

// Open declares whether somebody fetches from this lane. A lane is closed until then.
func (l *Lane) Open(open bool) {
	l.mu.Lock()
	l.way.open = open
	if !open {
		l.way.drop()
	}
	l.mu.Unlock()
	l.Wake()
}

// Wake makes one receiver of Ready look again.
func (l *Lane) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Ready receives a token whenever there may be something to fetch.
func (l *Lane) Ready() <-chan struct{} { return l.wake }

// feed takes the events of a group that was just committed. Only the committer calls it, in order,
// and wakes the lane once it has answered.
func (l *Lane) feed(events []*fed) {
	first := l.s.now().Add(-arrivalSlack).Unix() / 60
	l.mu.Lock()
	l.owed += uint64(len(events))
	for _, e := range events {
		l.arrivals.note(e.At.Unix()/60, first)
		l.way.feed(e)
	}
	l.markDirtyLocked()
	l.mu.Unlock()
}

// Fetch hands out up to most deliveries, oldest first, and returns at once; none means that there
// is nothing to do until Ready. Each must be settled.
func (l *Lane) Fetch(most int) ([]*record.Event, error) {
	if !l.Ours() || l.yields.Load() {
		return nil, nil
	}
	l.fetching.Lock()
	defer l.fetching.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	most = min(most, l.way.room())
	for most > 0 && l.way.behind && len(l.way.fresh) == 0 {
		page, stands, err := l.readBehindLocked(most)
		if err != nil {
			return nil, err
		}
		if !stands {
			continue
		}
		// A page without a delivery for this lane is no reason to stop: nothing would wake it again.
		out := l.way.takePage(page)
		l.readToLocked(page.next)
		if !l.way.behind {
			l.cursor.drop()
		}
		if len(out) > 0 || !l.way.behind || l.s.closed() {
			return out, nil
		}
	}
	return l.way.takeFresh(most), nil
}

// readBehindLocked reads the log from next on, for a lane that is behind, and leaves out what is
// purged. The lock is given up meanwhile; fetching is held, so there is one reader. stands: the
// lane is still where the read began.
func (l *Lane) readBehindLocked(most int) (p page, stands bool, err error) {
	from := l.way.next
	l.marks.reading = true
	l.mu.Unlock()
	c := l.cursor.at(from)
	p, more, err := l.s.readPage(c, l, most)
	l.cursor.keep(c, more && err == nil)
	l.mu.Lock()
	p.events = slices.DeleteFunc(p.events, func(e *record.Event) bool { return l.marks.has(e.Seq) })
	l.marks.read()
	return p, l.way.behind && l.way.next == from, err
}

// readToLocked notes how far the lane has read the log. At its end the lane returns to the
// committer's feed.
func (l *Lane) readToLocked(next uint64) {
	if l.way.readTo(next, l.s.head.Load()) {
		l.reconcileLocked()
	}
	l.markDirtyLocked()
}

// reconcileLocked runs when everything owed has been handed out: what the sums still owe beyond
// that belongs to records that could not be read.
func (l *Lane) reconcileLocked() {
	unsettled := l.way.inFlight()
	fresh := l.owed - min(l.owed, l.passed)
	if fresh <= unsettled {
		return
	}
	lost := fresh - unsettled
	l.passed += lost
	l.quarantined += lost
	l.s.log.Error("cannot read deliveries of a target; their records are set aside",
		"target", l.name, "deliveries", lost)
}

// deliveredFresh settles one delivery that succeeded on its way through the log. It costs no write:
// the lane's record follows with the next checkpoint.
func (l *Lane) deliveredFresh(st *Settlement) {
	l.mu.Lock()
	full := l.way.room() <= 0
	if l.way.pass(st.Seq) {
		l.passed++
		l.delivered++
		l.lastSuccess = st.At
		l.recent.note(st)
		l.receipts.Add(receiptOf(st))
		l.markDirtyLocked()
	}
	freed := full && l.way.room() > 0
	l.mu.Unlock()
	if freed {
		l.Wake()
	}
}

// Release gives back the deliveries from seq on that were handed out but not tried; the lane hands
// them out again. The caller fetches in order and tries in order, so nothing above seq is in
// flight.
func (l *Lane) Release(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.way.release(seq)
}

// markDirtyLocked lets the next checkpoint write the lane's record.
func (l *Lane) markDirtyLocked() {
	if !l.dirty {
		l.dirty = true
		l.s.markDirty(l)
	}
}

// recordLocked is the lane's record as of head, the last event that every lane was fed. A lane that
// owes nothing has come there: the last that it owed may have been purged, and nobody fetches.
func (l *Lane) recordLocked(head uint64) *record.Lane {
	if l.owed <= l.passed {
		l.way.rest(head)
	}
	r := &record.Lane{
		Position: l.way.position(head), Owed: l.owed, OwedSeq: head, Passed: l.passed,
		Exceptions: l.exceptions, Exhausted: l.exhausted, Delivered: l.delivered,
		Quarantined: l.quarantined, Purged: l.purged, LastSuccess: l.lastSuccess,
		LastFailure: l.lastFailure, LastError: l.lastError, Expired: l.expired,
	}
	r.Above = l.way.above(r.Position)
	return r
}

// receiptOf is what is kept of a delivery that succeeded at once.
func receiptOf(st *Settlement) receipt.Receipt {
	return receipt.Of(st.Seq, st.At, st.Made.Duration, st.Status)
}

// cutReceiptsLocked puts the receipts that stay in the lane's record into it, and returns those
// that are to be records of their own. again: the group may be planned again, and what it cuts not
// be written.
func cutReceiptsLocked(l *Lane, r *record.Lane, again bool) []receipt.Piece {
	if again {
		r.Receipts = l.receipts.Rest()
		return nil
	}
	var under []uint64
	if l.receipts.Large() {
		under = l.way.under()
	}
	pieces, rest := l.receipts.Cut(r.Position, under)
	r.Receipts = rest
	return pieces
}

// Standing is the target's run of failed jobs as last stored.
func (l *Lane) Standing() record.Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing
}

// Counts is a lane in numbers.
type Counts struct {
	// Pending deliveries: accepted, neither delivered nor exhausted.
	Pending uint64
	// Fresh are the pending ones that were not tried yet.
	Fresh uint64
	// Exhausted deliveries that are kept, and those that became too old.
	Exhausted, Expired uint64
	// Delivered, Quarantined and Purged count since the spool was made.
	Delivered, Quarantined, Purged uint64
	// LastSuccess and LastFailure are zero if there was none; LastError belongs to LastFailure.
	LastSuccess, LastFailure time.Time
	LastError                string
}

// Counts reads the lane's sums; it costs no disk access.
func (l *Lane) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.owed - min(l.owed, l.passed)
	return Counts{
		Pending: fresh + l.exceptions, Fresh: fresh,
		Exhausted: l.exhausted - min(l.exhausted, l.expired), Expired: l.expired,
		Delivered: l.delivered, Quarantined: l.quarantined, LastSuccess: l.lastSuccess,
		LastFailure: l.lastFailure, LastError: l.lastError, Purged: l.purged,
	}
}
