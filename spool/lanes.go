package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/receipt"
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
	if err := s.order(naming{name}); err != nil {
		return nil, fmt.Errorf("cannot make a lane for target %q: %w", name, err)
	}
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return s.byName[name], nil
}

// lanesAtOnce are made in one commit: a shared engine takes a group whole, and the name and the
// record of a lane are two of the messages that it has for that.
const lanesAtOnce = 200

// makeAhead makes the lanes of an import where they are too many for the commit of its events.
func makeAhead(s *Spool, events []*care.Incoming) error {
	var names []string
	for _, in := range events {
		for _, name := range in.Names {
			s.lanesMu.RLock()
			known := s.byName[name] != nil
			s.lanesMu.RUnlock()
			if !known {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) <= lanesAtOnce {
		return nil
	}
	for some := range slices.Chunk(names, lanesAtOnce) {
		if err := s.order(naming(some)); err != nil {
			return fmt.Errorf("cannot make lanes for targets: %w", err)
		}
	}
	return nil
}

// naming makes the lanes of names that have none.
type naming []string

func (n naming) cost() cost   { return costOf(2 * len(n)) }
func (naming) manner() manner { return comesAgain | readsOthers }

func (n naming) plan(g *group) error {
	for _, name := range n {
		g.planLane(name)
	}
	return nil
}

// storing writes the records of lanes now.
type storing []*Lane

func (storing) cost() cost     { return costOf(0) }
func (storing) manner() manner { return 0 }

func (lanes storing) plan(g *group) error {
	for _, l := range lanes {
		g.forced[l] = struct{}{}
	}
	return nil
}

// planLane is the lane of a target name; one that has none is given the next number.
func (g *group) planLane(name string) record.LaneID {
	s := g.s
	s.lanesMu.RLock()
	known, id := s.byName[name], s.lastLane+1
	s.lanesMu.RUnlock()
	if known != nil {
		return known.id
	}
	if s.shared != nil {
		return s.crew.planLane(g, name, id)
	}
	g.put(record.LaneKey(record.PrefixName, id), record.EncodeName(name), 0)
	l, err := s.addLane(id, name)
	if err != nil {
		g.err = errors.Join(g.err, err)
		return id
	}
	// The lane begins behind the events of this very group, which were not accepted for it.
	l.mu.Lock()
	l.way.next = s.nextSeq
	l.mu.Unlock()
	g.forced[l] = struct{}{}
	return id
}

// addLane makes a lane known, and takes it if no other relay has it; where several relays share the
// spool, the crew takes it. The committer calls it, and load.
func (s *Spool) addLane(id record.LaneID, name string) (*Lane, error) {
	tenure := engine.Elsewhere()
	if s.shared == nil {
		var err error
		if tenure, err = s.engine.Own(id); err != nil && !errors.Is(err, engine.ErrElsewhere) {
			return nil, fmt.Errorf("cannot take the lane of target %q: %w", name, err)
		} else if err != nil {
			tenure = engine.Elsewhere()
		}
	}
	l := &Lane{s: s, id: id, name: name, wake: make(chan struct{}, 1), cursor: keptCursor{s: s},
		receipts: receipt.Tailed(nil, s.shared != nil)}
	l.tenure.Store(&tenure)
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
	wakeDirty(s)
}

// wakeDirty lets a checkpoint be written soon.
func wakeDirty(s *Spool) {
	select {
	case s.dirtyC <- struct{}{}:
	default:
	}
}

// hasDirty reports whether a checkpoint has left lanes to the next.
func (s *Spool) hasDirty() bool {
	s.dirtyMu.Lock()
	defer s.dirtyMu.Unlock()
	return len(s.dirty) > 0
}

// leaveDirty leaves lanes to the next checkpoint.
func (s *Spool) leaveDirty(lanes []*Lane) {
	s.dirtyMu.Lock()
	s.dirty = append(s.dirty, lanes...)
	s.dirtyMu.Unlock()
	wakeDirty(s)
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
		txn.Guard(l.id, l.tenure.Load().Fence)
	}
}

// hold reports whether a lane may be written; it must be this spool's until the commit then.
func (g *guards) hold(l *Lane) bool {
	t := l.tenure.Load()
	if t.Over() {
		return false
	}
	if _, known := g.lanes[l]; !known {
		g.lanes[l] = struct{}{}
		g.txn.Guard(l.id, t.Fence)
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
	if id == record.SpoolItself {
		return g.s.shared == nil || g.hold(&g.s.crew.lead)
	}
	return g.lane(id) != nil
}

// feedLanes hands the events of a group to the lanes that owe them, each lane once, and adds these
// to a list.
func feedLanes(s *Spool, group []*record.Event, owed [][]record.LaneID, lanes []*Lane) []*Lane {
	events := make([]fed, len(group))
	s.lanesMu.RLock()
	for i, e := range group {
		events[i].Event = e
		for _, id := range owed[i] {
			l := s.byID[id]
			if l == nil || !l.Ours() {
				continue // forgotten, or another relay's
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
		if n := len(owed[i]); !s.fresh.keep(e, n) {
			s.fresh.dropLast(s.Lanes(), e.size()+placeBytes*int64(n+1))
			s.fresh.keep(e, n)
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

// planForced writes the records of lanes whose exceptions change in this group: in the same
// transaction, so that a position never passes a failure that is not stored.
func (g *group) planForced() {
	for l := range g.forced {
		g.putLane(l)
		g.putRecent(l, time.Now(), g.s.closed()) // a lane of retries alone is never dirty
	}
}

func (g *group) putLane(l *Lane) {
	if l.gone.Load() || !g.guards.hold(l) {
		return
	}
	l.mu.Lock()
	r := l.recordLocked(g.s.fed)
	pieces := cutReceiptsLocked(l, r, g.again)
	l.dirty = false
	l.mu.Unlock()
	putRecord(g, l.id, r, pieces)
	g.after = append(g.after, func() {
		l.mu.Lock()
		l.storedPosition, l.storedIdle, l.storedSeq = r.Position, r.Owed == r.Passed, r.OwedSeq
		if len(pieces) > 0 {
			l.receipts.Stored()
		}
		l.mu.Unlock()
	})
}

// putRecord writes a lane's record, and the receipts that it has no more, which are in the same
// transaction: a crash leaves no delivery without one, and none of a delivery that comes again.
func putRecord(g *group, lane record.LaneID, r *record.Lane, pieces []receipt.Piece) {
	key, value := record.LaneKey(record.PrefixLane, lane), r.Encode()
	if len(pieces) == 0 {
		g.put(key, value, 0)
		return
	}
	bytes, values := len(key)+len(value), make([][]byte, len(pieces))
	for i := range pieces {
		values[i] = record.EncodeReceipts(&pieces[i])
		bytes += len(values[i]) + record.LaneSeqBytes
	}
	g.reserve(bytes, 1+len(pieces))
	for i := range pieces {
		g.put(record.ReceiptsKey(lane, &pieces[i]), values[i], 0)
	}
	g.put(key, value, 0)
}

// planCheckpoint writes the records of all lanes that moved, and the point from which a start
// counts the log again.
func (g *group) planCheckpoint() {
	s := g.s
	if s.closed() {
		g.putAllRecent()
	}
	if s.shared != nil {
		s.crew.wakeIdle(time.Now())
	}
	dirty := s.takeDirty()
	if len(dirty) == 0 && s.checkpointed == s.fed {
		return
	}
	for i, l := range dirty {
		if g.crowded() {
			s.leaveDirty(dirty[i:])
			break
		}
		if _, later := g.forced[l]; !later {
			g.putLane(l)
		}
		g.putRecent(l, time.Now(), false)
	}
	if s.shared != nil || slices.ContainsFunc(s.Lanes(), func(l *Lane) bool { return !l.Ours() }) {
		return // each lane's record says up to where it counts, and others write some of them
	}
	head := s.fed
	s.checkpointed = head
	g.putCheckpoint(head)
	g.after = append(g.after, func() { s.storedHead.Store(head) })
}
