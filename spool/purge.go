package spool

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// Purging deletes deliveries by hand. One that waits beside the log (an exception, an exhausted
// delivery) loses its record. One that is still on its way through the log leaves a hole there,
// and the hole must survive a restart, so a mark (p) is written for it; reading the log for the
// lane leaves marked deliveries out. The mark stays until the event goes, so that nobody takes the
// delivery for a delivered one. Marks, removals and the lane's sums are one commit, and the
// committer decides delivery by delivery what is still there, so that a purge beside live traffic
// counts exactly what it deleted. Attempts in flight finish; what they learn is not settled any
// more, as with any delivery that was settled before.

// purgePage is how many deliveries are purged in one commit.
const purgePage = 1000

// Purge selects deliveries of one lane.
type Purge struct {
	// State is StatePending, StateExhausted or StateExpired.
	State State
	// Since and Until, when set, leave out events accepted earlier, and later.
	Since, Until time.Time
	// Seq, when set, is the only event.
	Seq uint64
	// Match, when set, says which events; one that cannot be read matches nothing then.
	Match func(*record.Event) bool
	// Failed, when set, says which deliveries, by what came back last. One that was never tried has
	// no status and no error.
	Failed func(seq uint64, status int, lastError string) bool
	// Enough, when set, is asked before each delivery but the first of a page, and ends it there.
	Enough func() bool
	// DryRun counts and deletes nothing.
	DryRun bool
}

// purgeOrder is one page for the committer.
type purgeOrder struct {
	lane  *Lane
	state State
	seqs  []uint64
	at    time.Time
	count uint64 // deleted; the committer's until the change is answered
}

// PurgeCursor is how far a purge has come. The zero value is its end.
type PurgeCursor struct {
	// Looked is how many deliveries the page before looked at.
	Looked int
	// Head is the newest event as of the purge's begin: it leaves alone what came later.
	Head uint64
	// From is the sequence to go on at, Kept whether beside the log.
	From uint64
	Kept bool
	// On: there is more to look at.
	On bool
}

// BeginPurge is where a purge begins.
func (l *Lane) BeginPurge(p *Purge) PurgeCursor {
	return PurgeCursor{Head: l.s.head.Load(), From: p.Seq, Kept: p.State != StatePending, On: true}
}

// Purge deletes what the selection finds, as of its begin, and returns how many deliveries that
// were. It works in pages; after an error the count says what is gone already.
func (l *Lane) Purge(ctx context.Context, p Purge) (uint64, error) {
	n := uint64(0)
	for c := l.BeginPurge(&p); c.On; {
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("cannot purge target %q: %w", l.name, err)
		}
		done, next, err := l.PurgePage(&p, c, purgePage)
		n += done
		if err != nil {
			return n, err
		}
		c = next
	}
	return n, nil
}

// PurgePage looks at up to most deliveries, deletes those that the selection finds in one commit
// (in several where relays share the spool), and returns how many that were and where to go on.
// Repeating a page deletes nothing twice.
func (l *Lane) PurgePage(p *Purge, c PurgeCursor, most int) (uint64, PurgeCursor, error) {
	find := purging{Purge: p, l: l}
	page := find.inLog
	if c.Kept {
		page = find.beside
	}
	seqs, next, err := page(c.From, most)
	c.Looked = find.looked
	if err != nil {
		return 0, c, fmt.Errorf("cannot purge target %q: %w", l.name, err)
	}
	seqs = slices.DeleteFunc(seqs, func(seq uint64) bool {
		return seq > c.Head || p.Seq != 0 && seq != p.Seq
	})
	n, err := find.order(seqs)
	if err != nil {
		return 0, c, fmt.Errorf("cannot purge target %q: %w", l.name, err)
	}
	switch {
	case next != 0 && next <= c.Head && p.Seq == 0:
		c.From = next
	case !c.Kept:
		// The log before the exceptions: a delivery moves only in that direction. None escapes, once
		// the exceptions can be read that were begun until now.
		l.s.Barrier()
		c.From, c.Kept = p.Seq, true
	default:
		c = PurgeCursor{Looked: c.Looked}
	}
	return n, c, nil
}

// purging is what a purge does to its lane, a page at a time.
type purging struct {
	*Purge
	l      *Lane
	looked int
}

// enough reports that the page ends before the next delivery, and counts that if it does not.
func (p *purging) enough() bool {
	if p.looked > 0 && p.Enough != nil && p.Enough() {
		return true
	}
	p.looked++
	return false
}

// inTime reports whether an instant of acceptance is asked for.
func (p *purging) inTime(at time.Time) bool {
	return (p.Since.IsZero() || !at.Before(p.Since)) && (p.Until.IsZero() || !at.After(p.Until))
}

// order lets the committer delete what was found.
func (p *purging) order(seqs []uint64) (uint64, error) {
	if len(seqs) == 0 || p.DryRun {
		return uint64(len(seqs)), nil
	}
	if p.l.s.shared != nil && len(seqs) > sharedOrderMax {
		n, err := p.order(seqs[:sharedOrderMax])
		if err != nil {
			return n, err
		}
		rest, err := p.order(seqs[sharedOrderMax:])
		return n + rest, err
	}
	o := &purgeOrder{lane: p.l, state: p.State, seqs: seqs, at: p.l.s.now()}
	if err := p.l.s.order(o); err != nil {
		return 0, err
	}
	return o.count, nil
}

// inLog finds pending deliveries that are still on their way through the log; next is where to
// go on, 0 at the end.
func (p *purging) inLog(from uint64, most int) (seqs []uint64, next uint64, err error) {
	list, next, err := p.l.s.Fresh(p.l.id, from, most)
	for _, e := range list {
		if p.enough() {
			return seqs, e.Seq, err
		}
		if p.inTime(e.At) && (p.Failed == nil || p.Failed(e.Seq, 0, "")) &&
			(p.Match == nil || p.Match(e)) {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs, next, err
}

// beside finds deliveries beside the log: exceptions, or exhausted ones.
func (p *purging) beside(from uint64, most int) (seqs []uint64, next uint64, err error) {
	prefix := byte(record.PrefixException)
	if p.State != StatePending {
		prefix = record.PrefixExhausted
	}
	scanned := 0
	err = p.l.s.scan(record.LaneKey(prefix, p.l.id), record.LaneSeqKey(prefix, p.l.id, from),
		func(key, value []byte) (bool, error) {
			if scanned++; scanned > most {
				next = record.KeySeq(key)
				return false, nil
			}
			// One that cannot be read has no instant and counts as old.
			x, _ := record.DecodeException(value)
			if p.State != StatePending && (x == nil && p.State == StateExpired ||
				x != nil && x.Kept() != p.State) {
				return true, nil
			}
			if p.asksFor(record.KeySeq(key), x) {
				seqs = append(seqs, record.KeySeq(key))
			}
			return true, nil
		})
	if p.Match == nil {
		p.looked = scanned
		return seqs, next, err
	}
	events := look.NewReader(p.l.s.engine)
	defer events.Close()
	matched := seqs[:0]
	for _, seq := range seqs {
		if p.enough() {
			return matched, seq, err
		}
		if e, err := events.Event(seq); err == nil && p.Match(e) {
			matched = append(matched, seq)
		}
	}
	p.looked = scanned
	return matched, next, err
}

// asksFor judges what is beside the log; nil: it cannot be read.
func (p *purging) asksFor(seq uint64, x *record.Exception) bool {
	if x == nil {
		return p.Since.IsZero() && p.Failed == nil
	}
	return p.inTime(x.At) && (p.Failed == nil || p.Failed(seq, x.LastStatus, x.LastError))
}

func (o *purgeOrder) cost() cost {
	return costOf(0).with(4*len(o.seqs), 30)
}

func (*purgeOrder) manner() manner { return comesAgain }

func (o *purgeOrder) plan(g *group) error {
	l := o.lane
	if !g.guards.hold(l) {
		return fmt.Errorf("cannot purge deliveries of target %q: %w", l.name, ErrElsewhere)
	}
	for _, seq := range o.seqs {
		if !l.gone.Load() && g.purge(o, seq) {
			o.count++
		}
	}
	if o.count == 0 {
		return nil
	}
	g.forced[l] = struct{}{}
	g.after = append(g.after, func() {
		l.mu.Lock()
		l.marks.synced(o.seqs)
		l.mu.Unlock()
	})
	l.Wake() // the window may have room again
	return nil
}

// purge deletes one delivery if it is in the state it was found in.
func (g *group) purge(o *purgeOrder, seq uint64) bool {
	l := o.lane
	failed := record.LaneSeqKey(record.PrefixException, l.id, seq)
	kept := record.LaneSeqKey(record.PrefixExhausted, l.id, seq)
	mark := record.LaneSeqKey(record.PrefixPurged, l.id, seq)
	switch {
	case o.state != StatePending && g.has(kept) && isExpired(g, kept) == (o.state == StateExpired):
		g.delete(kept)
		l.purgeKept(o.state, seq)
	case o.state == StatePending && g.has(failed):
		deleteException(g, l.id, seq, orderOf(g, failed))
		l.purgeKept(StatePending, seq)
	case o.state == StatePending && !g.has(mark) && l.purgeFresh(seq):
	default:
		return false // settled meanwhile
	}
	g.put(mark, record.EncodeInstant(o.at), 0)
	// Nobody will look for it again, so it need not be kept for KeepDelivered.
	g.released(seq, time.Unix(0, 0))
	return true
}

func (l *Lane) purgeKept(state State, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state != StatePending {
		l.keptLocked(state == StateExpired, -1)
	} else {
		l.exceptions -= min(l.exceptions, 1)
	}
	l.notePurgedLocked(seq)
}

func (l *Lane) notePurgedLocked(seq uint64) {
	l.purged++
	l.marks.raise(seq)
}

// purgeFresh takes one delivery off its way through the log; false if it is not there any more.
func (l *Lane) purgeFresh(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.marks.has(seq) {
		return false
	}
	there, unread := l.way.purge(seq)
	if !there {
		return false
	}
	if unread {
		l.marks.add(seq)
	}
	l.passed++
	l.notePurgedLocked(seq)
	return true
}
