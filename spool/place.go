package spool

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// placeByKeyMax deliveries of a lane are looked up one by one; of more, the stretch is read.
const placeByKeyMax = 8

// placing is what is looked for in one lane.
type placing struct {
	lane  *Lane
	seqs  []uint64 // ascending
	at    []*Place // of each sequence
	fresh []bool   // still on its way through the log
	kept  bool     // the lane has exceptions or exhausted deliveries
}

// place says where the deliveries of events are, of one lane or of all. The log is asked before the
// exceptions, because a delivery moves only in that direction, and the committer's groups lie
// between; exceptions and exhausted deliveries are of one snapshot, because they move both ways.
func (s *Spool) place(found []Found, only *Lane) error {
	if len(found) == 0 {
		return nil
	}
	list := s.placings(found, only)
	for _, p := range list {
		p.fresh = p.lane.unsettledAmong(p.seqs)
	}
	// A spool that failed says what is on its disk.
	_ = s.Apply(Change{empty: true})
	for _, p := range list {
		c := p.lane.Counts()
		p.kept = c.Pending > c.Fresh || c.Exhausted > 0
	}
	look := s.engine.Look()
	defer look.Close()
	for _, p := range list {
		if err := p.settle(look); err != nil {
			return fmt.Errorf("cannot look up deliveries of target %q: %w", p.lane.name, err)
		}
	}
	return nil
}

// placings groups the deliveries of events by lane.
func (s *Spool) placings(found []Found, only *Lane) []*placing {
	byLane := make(map[record.LaneID]*placing)
	var list []*placing
	for i := range found {
		f := &found[i]
		f.Places = make([]Place, 0, len(f.lanes))
		for _, id := range f.lanes {
			l := s.LaneByID(id)
			if l == nil || only != nil && l != only {
				continue
			}
			f.Places = append(f.Places, Place{Lane: l, State: StateDelivered})
			p := byLane[id]
			if p == nil {
				p = &placing{lane: l}
				byLane[id] = p
				list = append(list, p)
			}
			p.seqs = append(p.seqs, f.Seq)
			p.at = append(p.at, &f.Places[len(f.Places)-1])
		}
	}
	for _, p := range list {
		slices.Reverse(p.seqs) // found comes newest first
		slices.Reverse(p.at)
	}
	return list
}

// settle moves what is not delivered to where it is.
func (p *placing) settle(look engine.Look) error {
	for i, fresh := range p.fresh {
		if fresh {
			p.at[i].State = StatePending
		}
	}
	if p.kept {
		for _, t := range [...]struct {
			prefix byte
			state  State
		}{{record.PrefixException, StatePending}, {record.PrefixExhausted, StateExhausted}} {
			if err := p.look(look, t.prefix, func(at *Place, value []byte) {
				at.keep(t.state, value)
			}); err != nil {
				return err
			}
		}
	}
	if p.lane.markMax.Load() < p.seqs[0] {
		return nil
	}
	return p.look(look, record.PrefixPurged, func(at *Place, _ []byte) { at.State = StatePurged })
}

func (p *Place) keep(state State, value []byte) {
	p.State = state
	x, err := record.DecodeException(value)
	if err != nil {
		p.LastError = err.Error()
		return
	}
	p.Delivery = x.Delivery()
}

// look visits those of the deliveries that have a key with a prefix.
func (p *placing) look(look engine.Look, prefix byte, visit func(at *Place, value []byte)) error {
	if len(p.seqs) > placeByKeyMax {
		all := stretch{prefix, p.lane, p.seqs[0], p.seqs[len(p.seqs)-1]}
		_, err := all.scan(look, math.MaxInt, func(seq uint64, value []byte) bool {
			if i, ok := slices.BinarySearch(p.seqs, seq); ok {
				visit(p.at[i], value)
			}
			return true
		})
		return err
	}
	for i, seq := range p.seqs {
		err := look.View(record.LaneSeqKey(prefix, p.lane.id, seq), func(value []byte) error {
			visit(p.at[i], value)
			return nil
		})
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return err
		}
	}
	return nil
}

// unsettledAmong is unsettled for many, at one instant.
func (l *Lane) unsettledAmong(seqs []uint64) []bool {
	out := make([]bool, len(seqs))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, seq := range seqs {
		out[i] = l.unsettledLocked(seq)
	}
	return out
}

// unsettled reports whether a delivery is still on its way through the log.
func (l *Lane) unsettled(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsettledLocked(seq)
}

func (l *Lane) unsettledLocked(seq uint64) bool {
	i, out := slices.BinarySearchFunc(l.window, seq, func(s slot, seq uint64) int {
		return cmp.Compare(s.seq, seq)
	})
	if out {
		return !l.window[i].settled
	}
	if _, done := l.skip[seq]; done {
		return false
	}
	return len(l.fresh) > 0 && seq >= l.fresh[0].Seq || l.behind && seq >= l.next
}
