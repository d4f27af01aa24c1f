package look

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// placeByKeyMax deliveries of a lane are looked up one by one; of more, the stretch is read.
const placeByKeyMax = 8

// Place is where one delivery is; its Delivery has no Event.
type Place struct {
	Lane   record.LaneID
	Target string
	State  record.State
	// Fresh: it is pending on its way through the log, and was never tried.
	Fresh bool
	record.Delivery
	// Receipt is of one that was delivered.
	Receipt Receipt
}

// Places are where the deliveries of an event are, of all lanes that there are. What was tried is
// known as far as it is kept.
func Places(s Source, e *record.Event) ([]Place, error) {
	found := []Found{foundOf(e)}
	err := place(s, found, 0)
	if err == nil {
		err = receipts(s, found)
	}
	return found[0].Places, err
}

// placing is what is looked for in one lane.
type placing struct {
	id    record.LaneID
	lane  Lane
	seqs  []uint64 // ascending
	at    []*Place // of each sequence
	fresh []bool   // still on its way through the log
}

// place says where the deliveries of events are, of one lane or of all. The log is asked before the
// exceptions, because a delivery moves only in that direction, and a Barrier lies between;
// exceptions and exhausted deliveries are of one look, because they move both ways.
func place(s Source, found []Found, only record.LaneID) error {
	if len(found) == 0 {
		return nil
	}
	list := placings(s, found, only)
	for _, p := range list {
		p.fresh = s.Unsettled(p.id, p.seqs)
	}
	s.Barrier()
	look := s.Records().Look()
	defer look.Close()
	for _, p := range list {
		if now, ok := s.LaneNow(p.id); ok {
			p.lane = now
		}
		if err := p.settle(look); err != nil {
			return fmt.Errorf("cannot look up deliveries of target %q: %w", p.lane.Target, err)
		}
	}
	return nil
}

// placings groups the deliveries of events by lane.
func placings(s Source, found []Found, only record.LaneID) []*placing {
	byLane := make(map[record.LaneID]*placing)
	var list []*placing
	for i := range found {
		f := &found[i]
		f.Places = make([]Place, 0, len(f.lanes))
		for _, id := range f.lanes {
			if only != 0 && id != only {
				continue
			}
			p := byLane[id]
			if p == nil {
				l, ok := s.LaneNow(id)
				if !ok {
					continue
				}
				p = &placing{id: id, lane: l}
				byLane[id] = p
				list = append(list, p)
			}
			f.Places = append(f.Places, Place{Lane: id, Target: p.lane.Target,
				State: record.StateDelivered})
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
			p.at[i].State, p.at[i].Fresh = record.StatePending, true
		}
	}
	// The sums may be ahead of what is on disk, so they only spare reading a stretch.
	if len(p.seqs) <= placeByKeyMax || p.lane.Failed || p.lane.Exhausted {
		err := p.look(look, record.PrefixException, func(at *Place, value []byte) {
			at.keep(record.StatePending, value)
		})
		if err == nil {
			err = p.look(look, record.PrefixExhausted, func(at *Place, value []byte) {
				at.keep(record.StateExhausted, value)
			})
		}
		if err != nil {
			return err
		}
	}
	if p.lane.PurgedTo < p.seqs[0] {
		return nil
	}
	return p.look(look, record.PrefixPurged, func(at *Place, _ []byte) {
		at.State, at.Fresh = record.StatePurged, false
	})
}

func (p *Place) keep(state record.State, value []byte) {
	p.State, p.Fresh = state, false
	x, err := record.DecodeException(value)
	if err != nil {
		p.LastError = err.Error()
		return
	}
	p.Delivery = x.Delivery()
	if state == record.StateExhausted {
		p.State = x.Kept()
	}
}

// look visits those of the deliveries that have a key with a prefix.
func (p *placing) look(look engine.Look, prefix byte, visit func(at *Place, value []byte)) error {
	if len(p.seqs) > placeByKeyMax {
		all := stretch{prefix, p.id, p.seqs[0], p.seqs[len(p.seqs)-1]}
		_, err := all.scan(look, math.MaxInt, func(seq uint64, value []byte) bool {
			if i, ok := slices.BinarySearch(p.seqs, seq); ok {
				visit(p.at[i], value)
			}
			return true
		})
		return err
	}
	for i, seq := range p.seqs {
		err := look.View(record.LaneSeqKey(prefix, p.id, seq), func(value []byte) error {
			visit(p.at[i], value)
			return nil
		})
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return err
		}
	}
	return nil
}
