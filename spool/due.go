package spool

import (
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// dueScanMax bounds the exceptions looked at for one page of a Due.
const dueScanMax = 4096

// Due streams the deliveries of one lane that a tick may take: those that failed before it began.
// What fails while it is read is due at a later tick, so no snapshot has to be held.
type Due struct {
	l    *Lane
	tick uint64
	next uint64
	end  bool
	// Skip, when set, says which of those that have an order are left out; they are not even read.
	Skip func(order uint64) bool
}

// Due opens the lane's exceptions for a tick.
func (l *Lane) Due(tick uint64) *Due { return &Due{l: l, tick: tick} }

// Next returns up to most deliveries, oldest first; none means that there are no more. Each is to
// be settled, or is due again at the next tick.
func (d *Due) Next(most int) ([]Delivery, error) {
	for !d.end && d.l.Ours() && !d.l.yields.Load() {
		out, err := d.page(most)
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
	return nil, nil
}

// One is the delivery of one place in the log; false: it is not pending after a failure any more,
// or its event cannot be read, which a Next finds as well.
func (d *Due) One(seq uint64) (record.Delivery, bool, error) {
	value, err := d.l.s.get(record.LaneSeqKey(record.PrefixException, d.l.id, seq))
	if errors.Is(err, engine.ErrNotFound) {
		return record.Delivery{}, false, nil
	}
	if err != nil {
		return record.Delivery{}, false, fmt.Errorf("cannot read a delivery of target %q: %w",
			d.l.name, err)
	}
	x, err := record.DecodeException(value)
	if err != nil {
		return record.Delivery{}, false, nil
	}
	events := look.NewReader(d.l.s.engine)
	defer events.Close()
	e, unread, err := d.l.s.eventOrUnread(events, seq)
	if err != nil || unread != nil {
		return record.Delivery{}, false, err
	}
	out := x.Delivery()
	out.Event = e
	return out, true, nil
}

type foundException struct {
	seq uint64
	x   *record.Exception
}

func (d *Due) page(most int) ([]Delivery, error) {
	var found []foundException
	scanned := 0
	d.end = true
	prefix := record.LaneKey(record.PrefixException, d.l.id)
	err := d.l.s.scan(prefix, record.LaneSeqKey(record.PrefixException, d.l.id, d.next),
		func(key, value []byte) (bool, error) {
			if len(found) >= most || scanned >= dueScanMax {
				d.end = false
				return false, nil
			}
			scanned++
			seq := record.KeySeq(key)
			d.next = seq + 1
			x, err := record.DecodeException(value)
			if err != nil {
				// The event may still be readable, and sending it once too often beats never.
				d.l.s.log.Error("cannot read an exception; the delivery starts over",
					"target", d.l.name, "sequence", seq, "error", err)
				x = &record.Exception{}
			}
			if x.Due <= d.tick && (x.Order == 0 || d.Skip == nil || !d.Skip(x.Order)) {
				found = append(found, foundException{seq, x})
			}
			return true, nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read what is due for target %q: %w", d.l.name, err)
	}
	return d.load(found)
}

// load reads the events of exceptions. An event that cannot be read is set aside, and its delivery
// counts as quarantined.
func (d *Due) load(found []foundException) ([]Delivery, error) {
	out := make([]Delivery, 0, len(found))
	var aside settingAside
	events := look.NewReader(d.l.s.engine)
	defer events.Close()
	for _, f := range found {
		e, u, err := d.l.s.eventOrUnread(events, f.seq)
		if err != nil {
			return nil, err
		}
		if u != nil {
			aside.unread = append(aside.unread, *u)
			aside.lost = append(aside.lost, record.Ref{Lane: d.l.id, Seq: f.seq})
			continue
		}
		x := f.x.Delivery()
		x.Event = e
		out = append(out, x)
	}
	if len(aside.lost) > 0 {
		return out, d.l.s.order(&aside)
	}
	return out, nil
}

// eventOrUnread reads an event, or says what is there instead.
func (s *Spool) eventOrUnread(events *look.Reader, seq uint64) (*record.Event, *unreadRecord,
	error) {
	rec, err := events.Record(seq)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		s.log.Error("an event that is owed is missing from the log", "sequence", seq)
		return nil, &unreadRecord{seq: seq, missing: true}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("cannot read event %d: %w", seq, err)
	}
	e, err := record.DecodeEvent(rec, seq)
	if err != nil {
		s.log.Error("cannot read an event; it is set aside", "sequence", seq, "error", err)
		u := &unreadRecord{seq: seq, raw: rec}
		u.last, u.bytes = events.Together(seq)
		return nil, u, nil
	}
	return e, nil, nil
}

// dropException forgets a delivery whose event cannot be read; it counts as quarantined.
func (g *group) dropException(r record.Ref) {
	key, l := record.LaneSeqKey(record.PrefixException, r.Lane, r.Seq), g.guards.lane(r.Lane)
	if l == nil || !g.has(key) {
		return
	}
	deleteException(g, r.Lane, r.Seq, orderOf(g, key))
	l.mu.Lock()
	l.exceptions -= min(l.exceptions, 1)
	l.quarantined++
	l.mu.Unlock()
	g.forced[l] = struct{}{}
}

// Replay makes deliveries pending again, from attempt 0 with a budget of their own: exhausted or
// delivered ones whose events are kept, and counts them. One that is pending stays as it is.
// ErrNotFound: an event is gone; the others are replayed all the same.
func (s *Spool) Replay(refs ...record.Ref) (int, error) { return s.ReplayInOrder(refs, nil) }

// ReplayInOrder is Replay of deliveries that have orders, each that of the delivery at its place.
// A shared engine has room for few in one transaction, so there a kill may leave a part: who asks
// again replays the rest.
func (s *Spool) ReplayInOrder(refs []record.Ref, orders []uint64) (n int, errs error) {
	most := len(refs)
	if s.shared != nil {
		most = sharedOrderMax
	}
	for at := 0; at < len(refs); at += most {
		end := min(at+most, len(refs))
		o := &replayOrder{refs: refs[at:end]}
		if orders != nil {
			o.orders = orders[at:end]
		}
		err := s.order(o)
		n += o.count
		if errs = errors.Join(errs, err); err != nil && !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return n, errs
}

// sharedOrderMax is how many deliveries one transaction of a shared engine replays or purges. Each
// writes up to four records, and more than 1,000 stop the spool.
const sharedOrderMax = 100

// replayOrder is what Replay asks of the committer.
type replayOrder struct {
	refs   []record.Ref
	orders []uint64 // of refs; nil: they have none
	count  int
}

func (o *replayOrder) cost() cost   { return costOf(4 * len(o.refs)) }
func (*replayOrder) manner() manner { return comesAgain | readsOthers }

func (o *replayOrder) plan(g *group) error {
	var errs error
	for i, r := range o.refs {
		order := uint64(0)
		if o.orders != nil {
			order = o.orders[i]
		}
		replayed, err := g.planReplay(r, order)
		if replayed {
			o.count++
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

func (g *group) planReplay(r record.Ref, order uint64) (bool, error) {
	l := g.s.LaneByID(r.Lane)
	if l == nil {
		return false, fmt.Errorf("cannot replay event %d: its target was forgotten: %w", r.Seq,
			ErrNotFound)
	}
	if !g.guards.hold(l) {
		return false, fmt.Errorf("cannot replay event %d for target %q: %w", r.Seq, l.name, ErrElsewhere)
	}
	key := record.LaneSeqKey(record.PrefixException, l.id, r.Seq)
	if g.has(key) {
		return false, nil
	}
	if g.isPurged(l, r.Seq) {
		return false, fmt.Errorf("cannot replay event %d for target %q: it was purged: %w", r.Seq,
			l.name, ErrNotFound)
	}
	rec, err := g.get(record.LogKey(r.Seq))
	if err != nil {
		return false, fmt.Errorf("cannot replay event %d for target %q: %w", r.Seq, l.name,
			ErrNotFound)
	}
	e, err := record.DecodeEvent(rec, r.Seq)
	if err != nil {
		return false, err
	}
	if !e.OwedTo(l.id) {
		return false, fmt.Errorf("cannot replay event %d: target %q never owed it: %w", r.Seq,
			l.name, ErrNotFound)
	}
	if l.unsettled(r.Seq) {
		return false, nil
	}
	kept := record.LaneSeqKey(record.PrefixExhausted, l.id, r.Seq)
	wasKept, wasExpired := g.has(kept), false
	if wasKept {
		wasExpired = isExpired(g, kept)
		g.delete(kept)
	}
	putException(g, l.id, r.Seq, &record.Exception{At: e.At, Replay: true, Order: order})
	l.mu.Lock()
	l.exceptions++
	if wasKept {
		l.keptLocked(wasExpired, -1)
	}
	l.mu.Unlock()
	g.forced[l] = struct{}{}
	if g.s.shared == nil {
		g.s.replays.Add(1)
	} else {
		g.s.crew.countReplay(g, l, func() {
			if wasKept {
				l.keptLocked(wasExpired, 1)
			}
		})
	}
	return true, nil
}

// OldestPending is the pending delivery whose event was accepted first; false: none is pending.
func (l *Lane) OldestPending() (Pending, bool) {
	if l.hasExceptions() {
		if p, ok := l.oldestException(); ok {
			return p, true
		}
		l.s.Barrier() // the sums move before their commit can be read
		if p, ok := l.oldestException(); ok {
			return p, true
		}
	}
	return l.oldestInLog()
}

func (l *Lane) hasExceptions() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.exceptions > 0
}

func (l *Lane) oldestException() (p Pending, ok bool) {
	err := l.s.scan(record.LaneKey(record.PrefixException, l.id), nil,
		func(key, value []byte) (bool, error) {
			p.Seq = record.KeySeq(key)
			if x, err := record.DecodeException(value); err == nil {
				p.At, p.Attempts = x.At, x.Attempts
			}
			ok = true
			return false, nil
		})
	if err != nil {
		l.s.log.Error("cannot read the oldest exception", "target", l.name, "error", err)
	}
	return p, ok
}

// oldestInLog is the oldest delivery that no attempt has settled. A lane that nobody fetches from
// may have to look for it in the log; it looks at one page a call and remembers how far it came.
func (l *Lane) oldestInLog() (Pending, bool) {
	p, _ := l.lookForOldest()
	return p, p.Seq != 0
}

// lookForOldest is oldestInLog; more: another look would go on from here.
func (l *Lane) lookForOldest() (p Pending, more bool) {
	l.fetching.Lock()
	defer l.fetching.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.way.oldest()
	if ok || !l.way.behind {
		return known, false
	}
	from := l.way.next
	read, stands, err := l.readBehindLocked(1)
	if err != nil {
		l.s.log.Error("cannot look for the oldest delivery", "target", l.name, "error", err)
		return Pending{}, false
	}
	if !stands {
		return Pending{}, l.way.behind
	}
	if found, ok := l.way.findOldest(read); ok {
		if found.Seq != from {
			l.markDirtyLocked() // the sweep waits at what the record says
		}
		return found, false
	}
	l.readToLocked(read.next)
	return Pending{}, l.way.behind
}
