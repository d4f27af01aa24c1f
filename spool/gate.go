package spool

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// gateLook is how often a closed gate looks for room.
	gateLook = 50 * time.Millisecond
	// gatePatience is how long a group waits before anybody is refused: a table that is being written
	// or a burst of somebody else's is soon over.
	gatePatience = 250 * time.Millisecond
	// gateHeldMax bounds the changes that wait in memory, about 4 MB; more wait with their callers.
	gateHeldMax = 4096
)

// gate stands before every commit. It is closed while the disk has no room for the next one:
// nothing is written then, so nothing has failed. Appends and whatever can be asked for again are
// refused (ErrFull); outcomes, ticks and standings wait.
type gate struct {
	reason  atomic.Pointer[error] // why it is closed; nil: it is open
	leave   chan struct{}         // closed by StopWaiting
	leaving sync.Once
}

func (g *gate) closed() bool { return g.reason.Load() != nil }

// err is why the gate is closed; nil while it is open.
func (g *gate) err() error {
	if p := g.reason.Load(); p != nil {
		return *p
	}
	return nil
}

func (g *gate) left() bool {
	select {
	case <-g.leave:
		return true
	default:
		return false
	}
}

// StopWaiting lets nobody wait for room on the disk any more: what cannot be written at once is
// refused with ErrFull, and is attempted again after the next start. Servers that do not answer are
// not waited for much longer either. For a relay that stops; it is idempotent.
func (s *Spool) StopWaiting() {
	s.gate.leaving.Do(func() {
		close(s.gate.leave)
		if s.shared != nil {
			time.AfterFunc(stuckAfter, s.crew.abandon)
		}
	})
}

// groupOf is what ops are about to write.
func groupOf(ops []*op) (g engine.Group) {
	for _, o := range ops {
		g.Bytes += int64(o.cost.bytes)
		g.Entries += o.cost.entries
		g.Largest = max(g.Largest, int64(o.cost.largest))
		g.Events = g.Events || o.is(appends)
		g.Between = g.Between || o.run != nil
	}
	return g
}

// pass returns the part of a group that may be committed now; false: nothing may.
func (s *Spool) pass(ops []*op) ([]*op, bool) {
	began := time.Now()
	for {
		g := groupOf(ops)
		if g.Events {
			if err := s.engine.FitEvents(g); err != nil {
				ops = dismiss(ops, (*op).brings, err)
				g = groupOf(ops)
			}
		}
		err := s.engine.Fit(g)
		if err == nil {
			s.openGate()
			return ops, true
		}
		if !errors.Is(err, ErrFull) {
			dismiss(ops, (*op).any, s.fail(err)) // as if the commit had met it
			return nil, false
		}
		if !s.gate.closed() && time.Since(began) >= gatePatience {
			if s.engine.Yield(err) {
				// Not written into at once: whoever filled the disk may take this as well.
				began = time.Now()
			} else {
				s.closeGate(err)
			}
		}
		if s.gate.closed() && (s.gate.left() || s.closed()) {
			dismiss(ops, (*op).any, err)
			return nil, false
		}
		s.carry = append(ops, s.carry...)
		if s.gate.closed() {
			s.lineUp(err)
		} else {
			time.Sleep(gateLook)
		}
		ops = s.gather()
	}
}

// lineUp lets changes wait in order for a look's time, and refuses what can be asked for again.
func (s *Spool) lineUp(reason error) {
	timer := time.NewTimer(gateLook)
	defer timer.Stop()
	for {
		s.carry = dismiss(s.carry, (*op).asks, nil)
		s.carry = dismiss(s.carry, (*op).canComeAgain, reason)
		more := s.ops
		if len(s.carry) >= gateHeldMax {
			more = nil
		}
		select {
		case o := <-more:
			s.carry = append(s.carry, o)
			continue
		case <-timer.C:
		case <-s.closing:
		case <-s.gate.leave:
		}
		return
	}
}

func (s *Spool) closeGate(reason error) {
	if s.gate.reason.Swap(&reason) == nil {
		s.log.Error("the disk is full; nothing is accepted or written until there is room; "+
			"deliveries go on and their outcomes wait", "reason", reason)
	}
}

func (s *Spool) openGate() {
	if s.gate.reason.Swap(nil) != nil {
		s.log.Info("there is room on the disk again; outcomes that waited are written")
	}
}

// dismiss answers some of the ops and returns the others, in order.
func dismiss(ops []*op, which func(*op) bool, err error) []*op {
	stay := make([]*op, 0, len(ops))
	for _, o := range ops {
		if which(o) {
			o.done <- err
		} else {
			stay = append(stay, o)
		}
	}
	return stay
}

func (o *op) any() bool { return true }

func (o *op) brings() bool { return o.is(appends) }

func (o *op) asks() bool { return o.is(asks) }

// canComeAgain: what is done between two groups can be asked for again as well.
func (o *op) canComeAgain() bool { return o.order == nil || o.is(comesAgain) }
