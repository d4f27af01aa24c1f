package spool

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Where several relays share a spool, what a group is planned on may be old when it is committed:
// another relay has accepted the same id meanwhile, or has given a lane that number. Such a group
// is refused whole, and planned again on what is there by then. That must not change anything
// twice. So outcomes and whatever else belongs to one lane alone come first: they change memory as
// they are planned, once, and are kept. What is planned on the work of others comes after that, and
// what it changes in memory it takes back, or changes once it is stored.

// kept is what of a group stays when it is planned again.
type kept struct {
	wrote bool
	after int
	lanes map[*Lane]struct{}
}

// commit plans and commits a group, as often as it takes. It returns the ops that are to be
// answered.
func (c *crew) commit(g *group, ops []*op, checkpoint bool) ([]*op, error) {
	ops = slices.DeleteFunc(ops, func(o *op) bool {
		return !o.hand.CompareAndSwap(waiting, taken)
	})
	own := slices.DeleteFunc(slices.Clone(ops), func(o *op) bool { return o.is(readsOthers) })
	sharing := slices.DeleteFunc(ops, func(o *op) bool { return !o.is(readsOthers) })
	g.plan(own)
	g.finish(checkpoint)
	clear(g.forced)
	g.again = true
	txn := g.txn.(engine.SharedTxn)
	txn.Keep()
	keep := kept{g.wrote, len(g.after), maps.Clone(g.guards.lanes)}
	for {
		err := c.commitSharing(g, sharing)
		full := errors.Is(err, ErrFull)
		if !full && !errors.Is(err, engine.ErrConflict) && !errors.Is(err, ErrElsewhere) {
			return append(own, sharing...), err
		}
		c.takeBack(g, &keep)
		txn.Again()
		if full {
			before := len(sharing)
			if sharing = dismiss(sharing, (*op).brings, err); len(sharing) == before {
				return append(own, sharing...), err
			}
		}
	}
}

// commitSharing plans what others may be in the way of, on all that they have written, and commits
// the group.
func (c *crew) commitSharing(g *group, ops []*op) error {
	s := c.s
	if len(ops) > 0 {
		if err := c.hear(); err != nil {
			return err
		}
	}
	s.nextSeq = s.engine.Next(s.head.Load())
	g.plan(ops)
	g.flushState()
	g.planForced()
	return g.commit()
}

// takeBack forgets what was planned after what is kept.
func (c *crew) takeBack(g *group, keep *kept) {
	for _, undo := range slices.Backward(g.undo) {
		undo()
	}
	clear(g.state)
	clear(g.ids)
	clear(g.forced)
	clear(g.names)
	g.undo, g.events, g.owed = g.undo[:0], g.events[:0], g.owed[:0]
	g.after, g.wrote, g.err, g.beat = g.after[:keep.after], keep.wrote, nil, record.Tick{}
	g.guards.lanes = make(map[*Lane]struct{})
	for l := range keep.lanes {
		if c.s.shared.Owner(l.id) != c.s.shared.Name() {
			c.lose(l)
			continue
		}
		g.guards.lanes[l] = struct{}{}
	}
}

// planLane gives a name the next number. The lane is made once that is stored.
func (c *crew) planLane(g *group, name string, next record.LaneID) record.LaneID {
	if id, planned := g.names[name]; planned {
		return id
	}
	s, id := c.s, next+record.LaneID(len(g.names))
	if g.names == nil {
		g.names = make(map[string]record.LaneID)
	}
	g.names[name] = id
	g.put(record.LaneKey(record.PrefixName, id), record.EncodeName(name), 0)
	// It begins after what there is, and is not owed what comes before it in this group.
	begin := s.nextSeq - 1
	r := record.Lane{Position: begin, OwedSeq: begin}
	g.put(record.LaneKey(record.PrefixLane, id), r.Encode(), 0)
	g.after = append(g.after, func() { c.made(id, name) })
	return id
}

// countReplay lets removals that were planned before it be planned again, and takes the replay back
// if it is not stored. keepLocked counts the delivery as kept again.
func (c *crew) countReplay(g *group, l *Lane, keepLocked func()) {
	s := c.s
	g.undo = append(g.undo, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.exceptions -= min(l.exceptions, 1)
		keepLocked()
	})
	p := record.Checkpoint{Head: s.head.Load(), Swept: s.swept.Load(),
		Replays: s.replays.Load() + 1}
	g.put(record.MetaKey(record.MetaCheckpoint), p.Encode(), 0)
	g.after = append(g.after, func() { s.replays.Store(p.Replays) })
}

// planRemoval writes how far the sweep has come, with every removal: so none is stored after a
// replay that it did not see.
func (c *crew) planRemoval(g *group, r *removal) {
	s, swept := c.s, max(r.swept, c.s.swept.Load())
	if r.swept > s.swept.Load() {
		for _, late := range s.unheld.upTo(r) {
			g.put(record.ReleasedKey(late.at, late.seq), nil, 0)
		}
	}
	p := record.Checkpoint{Head: s.head.Load(), Swept: swept, Replays: s.replays.Load()}
	g.put(record.MetaKey(record.MetaCheckpoint), p.Encode(), 0)
	g.after = append(g.after, func() { s.swept.Store(swept) })
}

// crowded: what can wait is to wait for another group. A shared engine takes a group whole, and a
// record of a lane may count as much as many events.
func (g *group) crowded() bool {
	_, entriesMax := g.s.engine.Bounds()
	return g.s.shared != nil && g.entries >= entriesMax/2
}

// heard has a token when others have written; nil: nobody else does.
func (c *crew) heard() <-chan struct{} {
	if c.s == nil {
		return nil
	}
	return c.s.shared.Heard()
}

// listen takes what others have written, between two groups.
func (c *crew) listen() {
	if c.s.Err() != nil {
		return
	}
	if err := c.hear(); err != nil {
		_ = c.s.fail(err)
	}
}

// hear takes what others have written: lanes, ticks, events. The committer does it.
func (c *crew) hear() error {
	news := c.s.shared.News()
	if news.Kinds[record.PrefixName] {
		if err := c.meet(); err != nil {
			return err
		}
	}
	if news.Kinds[record.PrefixMeta] {
		if err := c.hearMeta(); err != nil {
			return err
		}
	}
	if err := c.hearEvents(news.Newest); err != nil {
		return fmt.Errorf("cannot read what other relays have accepted: %w", err)
	}
	c.hearLanes(news)
	return nil
}

// meet makes the lanes that others have made, and removes those that they have forgotten.
func (c *crew) meet() error {
	s := c.s
	return s.scan([]byte{record.PrefixName}, nil, func(key, value []byte) (bool, error) {
		id := record.KeyLane(key)
		name, err := record.DecodeName(value)
		if err != nil {
			return false, err
		}
		known := s.LaneByID(id)
		switch {
		case name != "" && known == nil:
			if _, err := s.addLane(id, name); err != nil {
				return false, err
			}
			c.stale[id] = true
		case name == "" && known != nil:
			s.removeLane(known)
		case name == "":
			s.lanesMu.Lock()
			if _, there := s.forgotten[id]; !there {
				s.forgotten[id] = false
			}
			s.lastLane = max(s.lastLane, id)
			s.lanesMu.Unlock()
		default:
			return true, nil
		}
		c.changed()
		c.call()
		return true, nil
	})
}

// hearMeta reads the tick and how far the sweep is.
func (c *crew) hearMeta() error {
	s := c.s
	value, err := s.get(record.MetaKey(record.MetaTick))
	if err == nil {
		t, err := record.DecodeTick(value)
		if err != nil {
			return err
		}
		if t.Number > s.tick.Load().Number {
			s.tick.Store(&t)
			c.changed()
		}
	}
	value, err = s.get(record.MetaKey(record.MetaCheckpoint))
	if err != nil {
		return nil // there is none yet
	}
	p, err := record.DecodeCheckpoint(value)
	if err != nil {
		return err
	}
	s.swept.Store(max(s.swept.Load(), p.Swept))
	s.replays.Store(max(s.replays.Load(), p.Replays))
	return nil
}

// hearLanes notes of which lanes there is something new.
func (c *crew) hearLanes(news engine.News) {
	for id := range news.Lanes {
		c.stale[id] = true
	}
	if news.Crew {
		c.call()
	}
}

// hearEvents feeds the lanes with the events of others, up to the newest.
func (c *crew) hearEvents(newest uint64) error {
	for s := c.s; s.fed < newest; {
		events, owed, err := c.eventsAfter(s.fed)
		if err != nil {
			return err
		}
		if n := len(events); n > 0 {
			s.head.Store(events[n-1].Seq)
			for _, l := range feedLanes(s, events, owed, nil) {
				l.Wake()
			}
		} else {
			s.head.Store(newest) // what came is gone
		}
		s.fed = s.head.Load()
		s.nextSeq = s.engine.Next(s.fed)
	}
	return nil
}

// eventsAfter are the events after one, as many as one page of the log may have.
func (c *crew) eventsAfter(seq uint64) (events []*record.Event, owed [][]record.LaneID,
	err error) {
	s, bytes := c.s, 0
	err = s.scan([]byte{record.PrefixLog}, record.LogKey(seq+1),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			e, err := record.DecodeEvent(slices.Clone(value), seq)
			if err != nil {
				s.log.Error("cannot read an event; it will be set aside", "sequence", seq, "error", err)
				return true, nil
			}
			events, owed = append(events, e), append(owed, e.Lanes())
			bytes += e.Size()
			return len(events) < pageScanMax && bytes < pageBytesMax, nil
		})
	return events, owed, err
}

// countTails counts what lanes owe of the events that their records do not count.
func (c *crew) countTails(lanes map[record.LaneID]*Lane) error {
	s, from, first := c.s, c.s.fed, c.s.now().Add(-arrivalSlack).Unix()/60
	for _, l := range lanes {
		from = min(from, l.owedSeq)
	}
	return s.scan([]byte{record.PrefixLog}, record.LogKey(from+1),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			if seq > s.fed {
				return false, nil
			}
			e, err := record.DecodeEvent(slices.Clone(value), seq)
			if err != nil {
				return true, nil // whoever reads it sets it aside
			}
			e.LaneIDs(func(id record.LaneID) {
				if l := lanes[id]; l != nil && seq > l.owedSeq {
					l.owed++
					l.arrivals.note(e.At.Unix()/60, first) // nobody has counted it
				}
			})
			return true, nil
		})
}

// Whose an op is.
const (
	waiting   int32 = iota // the caller's, who may withdraw it
	taken                  // the committer's, until it is answered
	withdrawn              // nobody's
)

// awayLook is how often a caller whose events wait looks whether anybody takes them.
const awayLook = 250 * time.Millisecond

// await waits for an op, and withdraws it where nothing is written for the time being and
// it was not taken yet: what was taken may be stored.
func (c *crew) await(o *op) error {
	for s := c.s; ; {
		look := time.NewTimer(awayLook)
		select {
		case err := <-o.done:
			look.Stop()
			return err
		case <-s.done:
		case <-s.failed:
		case <-look.C:
			if err := s.shared.Away(); err != nil && o.hand.CompareAndSwap(waiting, withdrawn) {
				return err
			}
			continue
		}
		look.Stop()
		return s.await(o)
	}
}

// abandon ends what waits for servers that do not answer, as soon as they do not.
func (c *crew) abandon() {
	select {
	case <-c.s.done:
		return
	default:
	}
	if !c.started.Load() {
		return
	}
	if c.s.shared.Away() != nil {
		c.s.shared.Abandon()
		return
	}
	time.AfterFunc(stuckAfter, c.abandon)
}

// wakeIdle has lanes to which nothing came say up to where they were fed, now and then.
func (c *crew) wakeIdle(now time.Time) {
	s := c.s
	lanes := s.Lanes()
	pause := max(idleMin, time.Duration(len(lanes))*idleLane)
	if s.fed == s.checkpointed || now.Sub(c.idleAt) < pause {
		return
	}
	n := 0
	for _, l := range lanes {
		if !l.Ours() {
			continue
		}
		l.mu.Lock()
		if l.storedSeq < s.fed && !l.dirty {
			l.markDirtyLocked()
			n++
		}
		l.mu.Unlock()
		if n == idleAtOnce {
			return
		}
	}
	c.idleAt, s.checkpointed = now, s.fed
}
