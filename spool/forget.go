package spool

import (
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Forgetting removes a lane that owes nothing any more. Its number is never given again, because
// events that are kept still list it: such an event reads as if nobody of that number were owed it.
// So the record of the name stays, with an empty name: it says that the number was in use, and that
// whoever finds it in an event has lost nothing. It is written again and not deleted, since a
// deletion may be lost where an older version comes back, after a repair.
//
// The commit that forgets a lane deletes the first of its records in every table. The marks of what
// was purged and the history of its attempts may be many more; the keeper deletes them in portions,
// also after a restart.

// ErrOwing: a lane still has pending or exhausted deliveries, or somebody fetches from it.
var ErrOwing = errors.New("the target still has deliveries")

// forgetAtOnce bounds what the commit that forgets a lane deletes of each table, forgetMax what one
// beat of the keeper does.
const (
	forgetAtOnce = 100
	forgetMax    = 2000
)

// Forget removes a lane that has nothing pending or exhausted, and what is known of it. The name
// may come back later, as a new lane. Whoever holds the Lane may go on reading it; writing it does
// nothing. Errors: ErrOwing, ErrFull, ErrFailed, ErrClosed.
func (s *Spool) Forget(l *Lane) error {
	if err := s.order(forgetting{l}); err != nil {
		return fmt.Errorf("cannot forget target %q: %w", l.name, err)
	}
	return nil
}

// forgetting is what Forget asks of the committer.
type forgetting struct{ *Lane }

func (forgetting) cost() cost {
	return costOf(0).with(len(record.OfLane())*forgetAtOnce, 40)
}

func (forgetting) manner() manner { return comesAgain | readsOthers }

func (f forgetting) plan(g *group) error {
	l := f.Lane
	if l.gone.Load() {
		return nil
	}
	if !g.guards.hold(l) {
		return ErrElsewhere
	}
	l.mu.Lock()
	owes := l.way.open || l.owed > l.passed || l.exceptions > 0 || l.exhausted > 0
	l.mu.Unlock()
	if owes {
		return ErrOwing
	}
	// From here on nothing of it is planned any more, in this group neither.
	delete(g.forced, l)
	if g.s.shared == nil {
		g.s.removeLane(l)
	} else {
		g.after = append(g.after, func() { g.s.removeLane(l) }) // it may be planned again
	}
	g.put(record.LaneKey(record.PrefixName, l.id), record.EncodeName(""), 0)
	for _, prefix := range record.OfLane() {
		keys, err := g.txn.Keys(record.LaneKey(prefix, l.id), forgetAtOnce)
		if err != nil {
			return err
		}
		for _, key := range keys {
			g.delete(key)
		}
	}
	return nil
}

// removeLane takes a lane out of the tables.
func (s *Spool) removeLane(l *Lane) {
	l.gone.Store(true)
	s.lanesMu.Lock()
	defer s.lanesMu.Unlock()
	if s.byName[l.name] == l {
		delete(s.byName, l.name)
	}
	delete(s.byID, l.id)
	kept := make([]*Lane, 0, len(s.lanes))
	for _, other := range s.lanes {
		if other != l {
			kept = append(kept, other)
		}
	}
	s.lanes = kept
	s.forgotten[l.id] = false
}

// keysOf are the first keys with a prefix.
func keysOf(look engine.Look, prefix []byte, most int) (keys [][]byte, err error) {
	err = engine.Scan(look, prefix, nil, func(key, _ []byte) (bool, error) {
		keys = append(keys, append([]byte(nil), key...))
		return len(keys) < most, nil
	})
	return keys, err
}

// clearForgotten deletes a portion of what forgotten lanes have left. It is the keeper's.
func (s *Spool) clearForgotten() error {
	for _, id := range s.uncleared() {
		for _, prefix := range record.OfLane() {
			n, err := s.clearTable(record.LaneKey(prefix, id))
			if err != nil {
				return fmt.Errorf("cannot delete what is left of forgotten target %d: %w", id, err)
			}
			if n == forgetMax {
				return nil // the next beat goes on
			}
		}
		s.lanesMu.Lock()
		s.forgotten[id] = true
		s.lanesMu.Unlock()
	}
	return nil
}

// clearTable deletes the first records with a prefix, and counts them.
func (s *Spool) clearTable(prefix []byte) (int, error) {
	look := s.engine.Look()
	defer look.Close()
	keys, err := keysOf(look, prefix, forgetMax)
	if err == nil && len(keys) > 0 {
		err = s.order(clearing(keys))
	}
	return len(keys), err
}

// uncleared are the forgotten lanes that something may be left of.
func (s *Spool) uncleared() (ids []record.LaneID) {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	for id, cleared := range s.forgotten {
		if !cleared {
			ids = append(ids, id)
		}
	}
	return ids
}
