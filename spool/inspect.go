package spool

import "github.com/hookspool/hookspool/spool/record"

// OwedBy are the lanes that the event was accepted for.
func (s *Spool) OwedBy(e *record.Event) []*Lane {
	var lanes []*Lane
	e.LaneIDs(func(id record.LaneID) {
		if l := s.LaneByID(id); l != nil {
			lanes = append(lanes, l)
		}
	})
	return lanes
}

// Find says where one delivery of an event is. Its Delivery holds what was tried, as far as that
// is kept: nothing for a delivery that succeeded at once.
func (l *Lane) Find(e *record.Event) (State, Delivery) {
	if !e.OwedTo(l.id) {
		return StateNone, Delivery{Event: e}
	}
	at := Place{Lane: l, State: StateDelivered}
	p := &placing{lane: l, seqs: []uint64{e.Seq}, at: []*Place{&at}, kept: true,
		fresh: []bool{l.unsettled(e.Seq)}}
	look := l.s.engine.Look()
	defer look.Close()
	// What cannot be read says nothing.
	_ = p.settle(look)
	at.Delivery.Event = e
	return at.State, at.Delivery
}

// Listed is one delivery in a listing.
type Listed struct {
	record.Ref
	Delivery
}

// FreshDeliveries lists deliveries still on their way through the log, oldest first, from a
// sequence on. It reads at most one page of the log a call; next is where to go on, 0 at the end.
func (l *Lane) FreshDeliveries(from uint64, most int) (out []Listed, next uint64, err error) {
	l.mu.Lock()
	head := l.s.head.Load()
	from = max(from, l.positionLocked(head)+1)
	l.mu.Unlock()
	if from > head {
		return nil, 0, nil
	}
	c := l.s.openCursor(from)
	defer c.close()
	p, _, err := l.s.readPage(c, l, most)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range p.events {
		if l.unsettled(e.Seq) {
			out = append(out, Listed{Ref: record.Ref{Lane: l.id, Seq: e.Seq}, Delivery: Delivery{Event: e}})
		}
	}
	if p.next <= head {
		next = p.next
	}
	return out, next, nil
}
