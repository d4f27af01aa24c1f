package spooltest

import (
	"maps"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// ledger is what a spool must say, kept in plain maps.
type ledger struct {
	events map[uint64]*event
	lanes  map[string]*laneLedger
	turns  map[string]int // of each conversation
	tick   uint64
	// notices and memos are what is owed and noted.
	notices map[noticeKey]string
	memos   map[spool.LaneID]string
	swept   time.Time // the latest instant of a sweep
}

type noticeKey struct {
	lane    spool.LaneID
	episode uint64
	way     uint8
}

func newLedger() *ledger {
	return &ledger{events: make(map[uint64]*event), lanes: make(map[string]*laneLedger),
		turns: make(map[string]int), notices: make(map[noticeKey]string),
		memos: make(map[spool.LaneID]string)}
}

// event is one that was acknowledged.
type event struct {
	seq              uint64
	id, typ, payload string
	given            bool
	at               time.Time
	session          spool.Session
	lanes            int // that it was accepted for
	owed             map[string]*delivery
}

// place is where a pending delivery is.
type place uint8

const (
	fresh  place = iota // in the log, not handed out
	flying              // handed out
	failed              // beside the log
)

// delivery is one delivery as the ledger knows it.
type delivery struct {
	event *event
	state spool.State
	place place
	// unsure: it was delivered at once, which costs no write. A crash may repeat it.
	unsure bool
	// expired: it was exhausted, and was kept for its time.
	expired     bool
	attempts    int
	due         uint64
	firstFailed time.Time
	lastAt      time.Time
	replay      bool
	order       uint64
	// status and took are of the attempt that delivered it.
	status int
	took   time.Duration
}

// laneLedger is a lane's own part.
type laneLedger struct {
	deliveries map[uint64]*delivery
	accepted   uint64
	replayed   uint64 // of those that were delivered before
	expired    uint64
	standing   spool.Standing
}

func newLaneLedger() *laneLedger {
	return &laneLedger{deliveries: make(map[uint64]*delivery)}
}

// in are the sequences of deliveries in a state, ascending.
func (l *laneLedger) in(which func(*delivery) bool) (seqs []uint64) {
	for _, seq := range slices.Sorted(maps.Keys(l.deliveries)) {
		if which(l.deliveries[seq]) {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

func (d *delivery) pendingAt(p place) bool { return d.state == spool.StatePending && d.place == p }

func (d *delivery) isFresh() bool     { return d.pendingAt(fresh) }
func (d *delivery) isFlying() bool    { return d.pendingAt(flying) }
func (d *delivery) isFailed() bool    { return d.pendingAt(failed) }
func (d *delivery) isPending() bool   { return d.state == spool.StatePending }
func (d *delivery) isPurged() bool    { return d.state == spool.StatePurged }
func (d *delivery) isDelivered() bool { return d.state == spool.StateDelivered }
func (d *delivery) isExhausted() bool { return d.state == spool.StateExhausted && !d.expired }

// settle notes an outcome.
func (d *delivery) settle(st *spool.Settlement) {
	d.attempts, d.lastAt = st.Attempts, st.At
	switch st.Verdict {
	case spool.Delivered:
		d.unsure = st.Fresh
		d.state = spool.StateDelivered
		d.status, d.took = st.Status, st.Made.Duration
	case spool.Exhausted:
		d.state = spool.StateExhausted
	case spool.Held:
		if d.place != failed {
			d.place, d.due = failed, st.Due
		}
	case spool.Retry, spool.Withheld:
		d.place, d.due = failed, st.Due
	}
	if d.firstFailed.IsZero() && st.Verdict != spool.Delivered && st.Verdict != spool.Withheld &&
		st.Verdict != spool.Held {
		d.firstFailed = st.At
	}
}

// owes reports whether an event must be kept: a delivery is pending or kept as exhausted.
func (e *event) owes() bool {
	for _, d := range e.owed {
		if d.isPending() || d.isExhausted() {
			return true
		}
	}
	return false
}

// mayGo reports whether a sweep may have removed the event.
func (l *ledger) mayGo(e *event) bool {
	if e.owes() {
		return false
	}
	for _, d := range e.owed {
		if d.isPurged() || d.expired {
			return true // nobody looks for it again
		}
	}
	return !e.at.After(l.swept.Add(-keepDelivered))
}

// restarted: what was handed out is handed out again.
func (l *ledger) restarted() {
	for _, lane := range l.lanes {
		for _, d := range lane.deliveries {
			if d.isFlying() {
				d.place = fresh
			}
		}
	}
}

// expire notes which exhausted deliveries a sweep has dropped.
func (l *ledger) expire(now time.Time) {
	l.swept = now
	for _, lane := range l.lanes {
		for _, seq := range lane.in((*delivery).isExhausted) {
			d := lane.deliveries[seq]
			if !d.lastAt.After(now.Add(-keepExhausted)) {
				d.expired = true
				lane.expired++
			}
		}
	}
}
