package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Lanes are all lanes, in the order of their making.
func (s *Spool) Lanes() []*Lane {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return append([]*Lane(nil), s.lanes...)
}

// LaneNames are the names of all lanes, in the order of their making.
func (s *Spool) LaneNames() (names []string) {
	for _, l := range s.Lanes() {
		names = append(names, l.name)
	}
	return names
}

// Lane is the lane of a target, made durably if there is none yet.
func (s *Spool) Lane(name string) (*Lane, error) {
	s.lanesMu.RLock()
	l := s.byName[name]
	s.lanesMu.RUnlock()
	if l != nil {
		return l, nil
	}
	if err := s.Apply(Change{newLane: name}); err != nil {
		return nil, fmt.Errorf("cannot make a lane for target %q: %w", name, err)
	}
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return s.byName[name], nil
}

// addLane makes a lane known, and takes it if no other relay has it. The committer calls it, and
// load.
func (s *Spool) addLane(id record.LaneID, name string) (*Lane, error) {
	tenure, err := s.engine.Own(id)
	if errors.Is(err, engine.ErrElsewhere) {
		tenure, err = engine.Elsewhere(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot take the lane of target %q: %w", name, err)
	}
	l := &Lane{tenure: tenure, s: s, id: id, name: name, wake: make(chan struct{}, 1),
		cursor: keptCursor{s: s}}
	l.way.memory, l.way.next = &s.fresh, s.head.Load()+1
	s.lanesMu.Lock()
	defer s.lanesMu.Unlock()
	s.byName[name] = l
	s.byID[id] = l
	s.lanes = append(s.lanes, l)
	s.lastLane = max(s.lastLane, id)
	return l, nil
}

// NameOf is the name of a lane's target; empty if there is none, or it was forgotten.
func (s *Spool) NameOf(id record.LaneID) string {
	if l := s.LaneByID(id); l != nil {
		return l.name
	}
	return ""
}

// LaneByID is the lane with a number; nil: there is none, or its target was forgotten.
func (s *Spool) LaneByID(id record.LaneID) *Lane {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return s.byID[id]
}

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

func (s *Spool) markDirty(l *Lane) {
	s.dirtyMu.Lock()
	s.dirty = append(s.dirty, l)
	s.dirtyMu.Unlock()
	select {
	case s.dirtyC <- struct{}{}:
	default:
	}
}

func (s *Spool) takeDirty() []*Lane {
	s.dirtyMu.Lock()
	defer s.dirtyMu.Unlock()
	d := s.dirty
	s.dirty = nil
	return d
}

// guards are the lanes that must be this spool's when a group is committed. If another relay has
// one of them by then, nothing is written and the spool stops: what it has in memory of that lane
// is not true any more, and the next start reads what is.
type guards struct {
	s     *Spool
	txn   engine.Txn
	lanes map[*Lane]struct{}
}

// begin goes on in another transaction of the group.
func (g *guards) begin(txn engine.Txn) {
	g.txn = txn
	for l := range g.lanes {
		txn.Guard(l.id, l.tenure.Fence)
	}
}

// hold reports whether a lane may be written; it must be this spool's until the commit then.
func (g *guards) hold(l *Lane) bool {
	if l.tenure.Over() {
		return false
	}
	if _, known := g.lanes[l]; !known {
		g.lanes[l] = struct{}{}
		g.txn.Guard(l.id, l.tenure.Fence)
	}
	return true
}

// lane is a lane that may be written; nil: there is none, or another relay has it.
func (g *guards) lane(id record.LaneID) *Lane {
	if l := g.s.LaneByID(id); l != nil && g.hold(l) {
		return l
	}
	return nil
}

// writes reports whether what belongs to a lane, or to the spool itself, may be written.
func (g *guards) writes(id record.LaneID) bool {
	return id == record.SpoolItself || g.lane(id) != nil
}

// feedLanes hands the events of a group to the lanes that owe them, each lane once, and adds these
// to a list.
func feedLanes(g *group, lanes []*Lane) []*Lane {
	s := g.s
	events := make([]fed, len(g.events))
	s.lanesMu.RLock()
	for i, e := range g.events {
		events[i].Event = e
		for _, id := range g.owed[i] {
			l := s.byID[id]
			if l == nil {
				continue // forgotten
			}
			if len(l.coming) == 0 {
				lanes = append(lanes, l)
			}
			l.coming = append(l.coming, &events[i])
		}
	}
	s.lanesMu.RUnlock()
	for i := range events {
		e := &events[i]
		if owed := len(g.owed[i]); !s.fresh.keep(e, owed) {
			s.fresh.dropLast(s.Lanes(), e.size()+placeBytes*int64(owed+1))
			s.fresh.keep(e, owed)
		}
	}
	for _, l := range lanes {
		l.feed(l.coming)
		clear(l.coming)
		l.coming = l.coming[:0]
	}
	for i := range events {
		s.fresh.release(&events[i])
	}
	return lanes
}

// dropLast makes room for n bytes, if there can be. The lanes that are last, which are those that
// stand still, read the log instead; the others need not.
func (f *feed) dropLast(lanes []*Lane, n int64) {
	if n > f.max {
		return
	}
	type last struct {
		lane *Lane
		seq  uint64
	}
	var all []last
	for _, l := range lanes {
		l.mu.Lock()
		if len(l.way.fresh) > 0 {
			all = append(all, last{l, l.way.fresh[0].Seq})
		}
		l.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b last) int { return cmp.Compare(a.seq, b.seq) })
	for _, a := range all {
		if f.bytes.Load()+n <= f.max {
			return
		}
		a.lane.mu.Lock()
		a.lane.way.drop()
		a.lane.mu.Unlock()
	}
}
