package spool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

const (
	// freshMax and freshBytesMax bound what a lane keeps in memory straight from the committer; a
	// lane with more than that waiting reads the log instead.
	freshMax      = 512
	freshBytesMax = 4 << 20
	// windowMax bounds the deliveries handed out above a position that does not move, because one
	// attempt below them takes its whole timeout. It also bounds a lane's record.
	windowMax = 4096
	// pageScanMax and pageBytesMax bound one read of the log on behalf of one lane.
	pageScanMax  = 1024
	pageBytesMax = 1 << 20
)

// slot is one delivery that was handed out.
type slot struct {
	seq     uint64
	at      time.Time
	settled bool
}

// Lane is one target's view of the spool: a position in the log, everything at or below which is
// settled or has become an exception; the few deliveries handed out above it; and the exceptions.
// One goroutine at a time fetches; everything else is safe for concurrent use.
type Lane struct {
	s    *Spool
	id   record.LaneID
	name string
	wake chan struct{} // capacity 1: a token means "look again"; sent by committer, Open and Settle

	fetching sync.Mutex // held across one Fetch, so that two fetchers cannot read the same page
	cursor   *logCursor // kept from page to page; guarded by fetching

	// gone: it was forgotten. Set by the committer, after which nothing of it is written.
	gone atomic.Bool

	mu sync.Mutex // guards all below; never held across disk
	// open: somebody fetches. A closed lane keeps nothing in memory.
	open bool
	// fresh are events straight from the committer, ascending, all below next.
	fresh      []*record.Event
	freshBytes int
	// behind: events from next on have to be read from the log.
	behind bool
	next   uint64
	// window are the deliveries handed out and not passed yet, ascending; its first slot is never
	// settled.
	window []slot
	// skip are deliveries above the position that were settled before a restart.
	skip map[uint64]struct{}
	// oldestFresh caches the first delivery that is not handed out while the lane is behind.
	oldestFresh Pending

	laneCounts
	recent   recent
	standing record.Standing
	dirty    bool // the record on disk is older than this
	// marking are purged deliveries from next on whose mark may not be seen by a read of the log
	// yet: false until it is synced, true if it was while reading. markMax is the newest mark.
	marking map[uint64]bool
	reading bool
	markMax atomic.Uint64
	// owedSeq is the event up to which the record that was loaded counts owed.
	owedSeq uint64
	// storedPosition and storedIdle are what the record on disk says: how far the sweep may go.
	// Idle: nothing of the log was owed.
	storedPosition uint64
	storedIdle     bool
}

// laneCounts are a lane's sums. owed − passed are the deliveries still in the log, exceptions the
// ones beside it; together they are pending.
type laneCounts struct {
	owed        uint64 // deliveries accepted, ever
	passed      uint64 // of those, the ones the position counts as settled, ever
	exceptions  uint64 // now
	exhausted   uint64 // now kept
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

// Open declares whether somebody fetches from this lane. A lane is closed until then.
func (l *Lane) Open(open bool) {
	l.mu.Lock()
	l.open = open
	if !open {
		l.dropFreshLocked()
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

// dropFreshLocked forgets the events held in memory; they are read from the log when needed.
func (l *Lane) dropFreshLocked() {
	if len(l.fresh) == 0 {
		return
	}
	l.next = l.fresh[0].Seq
	l.behind = true
	l.s.freshBytes.Add(-int64(l.freshBytes))
	l.fresh, l.freshBytes = nil, 0
}

// feed takes an event that was just committed. Only the committer calls it, in order, and wakes the
// lane once it has answered.
func (l *Lane) feed(e *record.Event) {
	l.mu.Lock()
	l.owed++
	if e.Seq >= l.next {
		l.feedLocked(e)
	}
	l.markDirtyLocked()
	l.mu.Unlock()
}

func (l *Lane) feedLocked(e *record.Event) {
	if l.behind {
		return
	}
	n := e.Size()
	room := len(l.fresh) < freshMax && l.freshBytes+n <= freshBytesMax
	if !l.open || !room || l.s.freshBytes.Load()+int64(n) > l.s.freshBytesMax {
		l.behind = true
		l.next = e.Seq
		return
	}
	l.fresh = append(l.fresh, e)
	l.freshBytes += n
	l.s.freshBytes.Add(int64(n))
	l.next = e.Seq + 1
}

// Fetch hands out up to most deliveries, oldest first, and returns at once; none means that there
// is nothing to do until Ready. Each must be settled.
func (l *Lane) Fetch(most int) ([]*record.Event, error) {
	l.fetching.Lock()
	defer l.fetching.Unlock()
	l.mu.Lock()
	most = min(most, windowMax-len(l.window))
	if most <= 0 || !l.behind || len(l.fresh) > 0 {
		out := l.takeFreshLocked(most)
		l.mu.Unlock()
		return out, nil
	}
	defer l.mu.Unlock()
	for {
		page, err := l.readBehindLocked(most)
		if err != nil {
			return nil, err
		}
		// A page without a delivery for this lane is no reason to stop: nothing would wake it again.
		out := l.takePageLocked(page)
		if !l.behind {
			l.dropCursor()
		}
		if len(out) > 0 || !l.behind || l.s.closed() {
			return out, nil
		}
	}
}

func (l *Lane) takeFreshLocked(most int) []*record.Event {
	n := min(most, len(l.fresh))
	if n <= 0 {
		return nil
	}
	out := slices.Clone(l.fresh[:n])
	clear(l.fresh[:n]) // the payloads must not outlive their delivery
	l.fresh = l.fresh[n:]
	for _, e := range out {
		l.freshBytes -= e.Size()
		l.s.freshBytes.Add(-int64(e.Size()))
		l.window = append(l.window, slot{seq: e.Seq, at: e.At})
	}
	return out
}

// takePageLocked hands out what readPage found and returns to the committer's feed once the log
// has been read to its end.
func (l *Lane) takePageLocked(p page) []*record.Event {
	out := p.events[:0]
	for _, e := range p.events {
		if _, done := l.skip[e.Seq]; done {
			delete(l.skip, e.Seq)
			if len(l.window) > 0 {
				// The position is still below it, so the record must go on saying that it is settled.
				l.window = append(l.window, slot{seq: e.Seq, at: e.At, settled: true})
			}
			continue
		}
		l.window = append(l.window, slot{seq: e.Seq, at: e.At})
		out = append(out, e)
	}
	l.readToLocked(p.next)
	return out
}

// readToLocked notes how far the lane has read the log.
func (l *Lane) readToLocked(next uint64) {
	l.next = next
	l.oldestFresh = Pending{}
	if next > l.s.head.Load() {
		l.behind = false
		l.skip = nil
		l.reconcileLocked()
	}
	l.markDirtyLocked()
}

// reconcileLocked runs when everything owed has been handed out: what the sums still owe beyond
// that belongs to records that could not be read.
func (l *Lane) reconcileLocked() {
	unsettled := uint64(0)
	for i := range l.window {
		if !l.window[i].settled {
			unsettled++
		}
	}
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

// passLocked settles one delivery that was handed out; false if it was not, or was settled before.
func (l *Lane) passLocked(seq uint64) bool {
	i, found := slices.BinarySearchFunc(l.window, seq, func(s slot, seq uint64) int {
		switch {
		case s.seq < seq:
			return -1
		case s.seq > seq:
			return 1
		}
		return 0
	})
	if !found || l.window[i].settled {
		return false
	}
	l.window[i].settled = true
	l.passed++
	n := 0
	for n < len(l.window) && l.window[n].settled {
		n++
	}
	if n > 0 {
		l.window = l.window[n:]
		if len(l.window) == 0 {
			l.window = nil
		}
	}
	return true
}

// positionLocked is the sequence up to which nothing is owed but exceptions. head is the last
// event that every lane was fed.
func (l *Lane) positionLocked(head uint64) uint64 {
	switch {
	case len(l.window) > 0:
		return l.window[0].seq - 1
	case len(l.fresh) > 0:
		return l.fresh[0].Seq - 1
	case l.behind:
		return l.next - 1
	}
	return head
}

// deliveredFresh settles one delivery that succeeded on its way through the log. It costs no write:
// the lane's record follows with the next checkpoint.
func (l *Lane) deliveredFresh(st *Settlement) {
	l.mu.Lock()
	full := len(l.window) >= windowMax
	if l.passLocked(st.Seq) {
		l.delivered++
		l.lastSuccess = st.At
		l.noteLocked(st)
		l.markDirtyLocked()
	}
	freed := full && len(l.window) < windowMax
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
	// The delivery itself may have been purged since.
	at := slices.IndexFunc(l.window, func(s slot) bool { return s.seq >= seq && !s.settled })
	if at < 0 {
		return
	}
	seq = l.window[at].seq
	l.dropFreshLocked()
	for _, s := range l.window[at:] {
		if s.settled {
			l.skipLocked(s.seq)
		}
	}
	l.window = l.window[:at]
	l.next, l.behind = seq, true
}

// skipLocked remembers that a delivery above next is settled.
func (l *Lane) skipLocked(seq uint64) {
	if l.skip == nil {
		l.skip = make(map[uint64]struct{})
	}
	l.skip[seq] = struct{}{}
}

// markDirtyLocked lets the next checkpoint write the lane's record.
func (l *Lane) markDirtyLocked() {
	if !l.dirty {
		l.dirty = true
		l.s.markDirty(l)
	}
}

// recordLocked is the lane's record as of head, the last event that every lane was fed.
func (l *Lane) recordLocked(head uint64) *record.Lane {
	r := &record.Lane{
		Position: l.positionLocked(head), Owed: l.owed, OwedSeq: head, Passed: l.passed,
		Exceptions: l.exceptions, Exhausted: l.exhausted, Delivered: l.delivered,
		Quarantined: l.quarantined, Purged: l.purged, LastSuccess: l.lastSuccess,
		LastFailure: l.lastFailure, LastError: l.lastError,
	}
	for _, s := range l.window {
		if s.settled {
			r.Above = append(r.Above, s.seq)
		}
	}
	for seq := range l.skip {
		if seq > r.Position {
			r.Above = append(r.Above, seq)
		}
	}
	slices.Sort(r.Above)
	return r
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
	// Exhausted deliveries that are kept.
	Exhausted uint64
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
		Pending: fresh + l.exceptions, Fresh: fresh, Exhausted: l.exhausted,
		Delivered: l.delivered, Quarantined: l.quarantined, LastSuccess: l.lastSuccess,
		LastFailure: l.lastFailure, LastError: l.lastError, Purged: l.purged,
	}
}
