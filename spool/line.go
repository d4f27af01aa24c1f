package spool

import (
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Deliveries of one lane that have the same order stand in line: the caller attempts the first that
// is pending, and no other. Those in the log are in order by themselves. Those beside it, which
// have failed or were overtaken by others, are found by a key of their own, which is there exactly
// as long as the exception. So nothing of a line is kept in memory, and none is read at a start,
// however long it is.

// putException writes an exception, and its place in line.
func putException(g *group, lane record.LaneID, seq uint64, x *record.Exception) {
	g.put(record.LaneSeqKey(record.PrefixException, lane, seq), x.Encode(), 0)
	if x.Order != 0 {
		g.put(record.OrderKey(lane, x.Order, seq), nil, 0)
	}
}

func deleteException(g *group, lane record.LaneID, seq, order uint64) {
	g.delete(record.LaneSeqKey(record.PrefixException, lane, seq))
	if order != 0 {
		g.delete(record.OrderKey(lane, order, seq))
	}
}

// orderOf is the order of an exception; 0: it has none, or there is no such exception.
func orderOf(g *group, exception []byte) uint64 {
	value, err := g.get(exception)
	if err != nil {
		return 0
	}
	x, err := record.DecodeException(value)
	if err != nil {
		return 0
	}
	return x.Order
}

// keepPlace lets an attempt end in the line that its delivery stands in, which may be another one
// than when the attempt began.
func keepPlace(g *group, st *Settlement, exception []byte) {
	if st.Fresh || st.Order == 0 || st.Verdict == Held {
		return
	}
	if order := orderOf(g, exception); order != 0 {
		st.Order = order
	}
}

// leavePlace gives an exception the order of a settlement.
func leavePlace(g *group, st *Settlement, x *record.Exception) {
	if x.Order != 0 && x.Order != st.Order {
		g.delete(record.OrderKey(st.Lane, x.Order, st.Seq))
	}
	x.Order = st.Order
}

// Line are the deliveries of one lane that have an order.
type Line struct {
	Lane  *Lane
	Order uint64
}

// Stands reports whether one of them is pending beside the log, as far as is committed.
func (n Line) Stands() (found bool) {
	l := n.Lane
	err := l.s.scan(record.OrderPrefix(l.id, n.Order), nil, func(_, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	if err != nil {
		l.s.log.Error("cannot read who stands in line; deliveries of that order wait", "target", l.name,
			"error", err)
		return true
	}
	return found
}

// First is the one that has stood in line for longest, as far as is committed, and
// due at a tick, or nil. except is a sequence that does not count: its outcome may not be written
// yet.
func (n Line) First(tick, except uint64) (*Delivery, error) {
	l := n.Lane
	for l.Ours() && !l.yields.Load() {
		f, err := n.first(except)
		if err != nil {
			return nil, fmt.Errorf("cannot read who stands in line for target %q: %w", l.name, err)
		}
		if f == nil || f.x.Due > tick {
			return nil, nil
		}
		due := Due{l: l}
		if read, err := due.load([]foundException{*f}); err != nil || len(read) > 0 {
			if err != nil {
				return nil, err
			}
			return &read[0], nil
		}
	}
	return nil, nil
}

func (n Line) first(except uint64) (*foundException, error) {
	l := n.Lane
	var found *foundException
	prefix := record.OrderPrefix(l.id, n.Order)
	err := l.s.scan(prefix, nil, func(key, _ []byte) (bool, error) {
		seq := record.KeySeq(key)
		if seq == except {
			return true, nil
		}
		value, err := l.s.get(record.LaneSeqKey(record.PrefixException, l.id, seq))
		if errors.Is(err, engine.ErrNotFound) {
			return true, nil // settled since the scan began
		}
		if err != nil {
			return false, err
		}
		x, err := record.DecodeException(value)
		if err != nil {
			x = &record.Exception{Order: n.Order} // as in Due
		}
		found = &foundException{seq, x}
		return false, nil
	})
	return found, err
}
