// Package line keeps deliveries of one target in order. Those of one order stand in line: only the
// first that is pending is tried. What comes fresh while that is in flight waits in memory, or
// becomes an exception without an attempt if too much does, or if the first fails. So other lines
// go on, and what stands in a dead one costs a record and no memory. Where all deliveries of a
// target are one line, they wait in the log instead, which costs nothing: nobody fetches them
// meanwhile.
//
// Whoever has made the attempt of the first goes on with the next one, in the job whose attempt it
// was, or live.
package line

import (
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool"
)

const (
	// OfAll is the order of a target whose deliveries are one line.
	OfAll = 1
	// waitingMax bounds the fresh deliveries that wait in memory.
	waitingMax = 1024
	// unsureMax bounds the lines that are remembered only until what is known of them is written.
	unsureMax = 1024
)

// Lane is what is asked of the spool.
type Lane interface {
	// Stands and First are spool.Line's, Counts spool.Lane's.
	Stands(order uint64) bool
	First(order, tick, except uint64) (*spool.Delivery, error)
	Counts() spool.Counts
	// Barrier and Settle are spool.Spool's.
	Barrier()
	Settle(spool.Settlement)
}

// Options are what a target's lines need.
type Options struct {
	Lane Lane
	// ID is the lane's.
	ID spool.LaneID
	// Now is the clock, Tick the number of the last tick.
	Now  func() time.Time
	Tick func() uint64
	Log  *slog.Logger
}

// Lines are those of a lane, as far as something is known of them beyond what can be read. They are
// safe for concurrent use.
type Lines struct {
	Options

	mu sync.Mutex // guards below; held across a Barrier, and a look at the disk
	// tenure is the one that they are of.
	tenure  uint64
	of      map[uint64]*line
	waiting int // in memory
	unsure  int // lines of which nothing is in flight
}

// line is what is known of one.
type line struct {
	flying  bool
	waiting []*spool.Event
	// beside: some stand beside the log, or are on their way there. again: more of them since it was
	// looked.
	beside, again bool
}

// Place is a delivery's place in line. The zero value is none.
type Place struct {
	Order  uint64 // 0: it waits for none, and none for it
	Tenure uint64 // of the lane
}

// New makes the lines of a lane.
func New(o Options) *Lines { return &Lines{Options: o} }

// beginLocked forgets what was of another tenure.
func (q *Lines) beginLocked(tenure uint64) {
	if q.of == nil || q.tenure != tenure {
		q.tenure, q.of, q.waiting, q.unsure = tenure, make(map[uint64]*line), 0, 0
	}
}

// flyLocked begins the line of an order, of which something is in flight now.
func (q *Lines) flyLocked(order uint64, beside bool) {
	if q.of[order] != nil {
		q.unsure--
	}
	q.of[order] = &line{flying: true, beside: beside}
}

// Take takes fresh deliveries from take, in the order in which they come, until one is the first of
// its line, and cares for the rest. nil: there is none.
func (q *Lines) Take(tenure uint64, take func() *spool.Event,
	orderOf func(*spool.Event) uint64) (e *spool.Event, order uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beginLocked(tenure)
	for {
		if e = take(); e == nil {
			return nil, 0
		}
		if order = orderOf(e); order == 0 || q.admitLocked(e, order) {
			return e, order
		}
	}
}

// Admit reports whether a fresh delivery is the first of its line. Otherwise it is cared for.
func (q *Lines) Admit(e *spool.Event, p Place) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beginLocked(p.Tenure)
	return p.Order == 0 || q.admitLocked(e, p.Order)
}

// Held reports whether all fresh deliveries of a target that is one line wait for one.
func (q *Lines) Held(tenure uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beginLocked(tenure)
	if n := q.of[OfAll]; n != nil {
		if n.flying {
			return true
		}
		q.settleUnsureLocked()
	}
	return q.failedLocked()
}

func (q *Lines) failedLocked() bool {
	c := q.Lane.Counts()
	return c.Pending > c.Fresh
}

// settleUnsureLocked waits until all that is known of lines of which nothing is in flight can be
// read, and forgets it.
func (q *Lines) settleUnsureLocked() {
	q.Lane.Barrier()
	for order, n := range q.of {
		if !n.flying {
			delete(q.of, order)
		}
	}
	q.unsure = 0
}

func (q *Lines) boundUnsureLocked() {
	if q.unsure > unsureMax {
		q.settleUnsureLocked()
	}
}

func (q *Lines) admitLocked(e *spool.Event, order uint64) bool {
	n := q.of[order]
	if n != nil && n.flying {
		if !n.beside && q.waiting < waitingMax {
			n.waiting = append(n.waiting, e)
			q.waiting++
			return false
		}
		n.beside, n.again = true, true
		q.setBeside(e, order)
		return false
	}
	if n != nil || q.failedLocked() {
		stands := q.Lane.Stands(order)
		if !stands && n != nil {
			q.settleUnsureLocked()
			stands = q.Lane.Stands(order)
		}
		if stands {
			q.setBeside(e, order)
			return false
		}
	}
	q.flyLocked(order, false)
	return true
}

// setBeside makes a fresh delivery an exception, without an attempt.
func (q *Lines) setBeside(e *spool.Event, order uint64) {
	q.Lane.Settle(spool.Settlement{Lane: q.ID, Seq: e.Seq, AcceptedAt: e.At, Fresh: true,
		Verdict: spool.Held, At: q.Now(), Due: q.Tick() + 1, Order: order})
}

// holdLocked ends what is in flight of a line: the rest stands beside the log from now on.
func (q *Lines) holdLocked(order uint64) {
	n := q.of[order]
	q.setWaitingBesideLocked(n, order)
	if n.flying {
		q.unsure++
	}
	n.flying, n.beside = false, true
	q.boundUnsureLocked()
}

func (q *Lines) setWaitingBesideLocked(n *line, order uint64) {
	for _, e := range n.waiting {
		q.setBeside(e, order)
		n.beside, n.again = true, true
	}
	q.waiting -= len(n.waiting)
	n.waiting = nil
}

// Next is what whoever has made the attempt of the first, and settled it, goes on with.
type Next struct {
	spool.Delivery
	// Fresh: it was never beside the log.
	Fresh bool
}

// Waits reports whether somebody may stand in line after its first.
func (q *Lines) Waits(p Place) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.flyingLocked(p)
	return n != nil && (n.beside || len(n.waiting) > 0)
}

// GoOn is the next of a line, once its first is out of the way; nil: there is none, or it is not to
// be tried now. except is the first's sequence if its outcome is held back; live and besides say
// whether fresh deliveries, and those beside the log, may be tried.
func (q *Lines) GoOn(p Place, except uint64, live, besides func() bool) *Next {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.flyingLocked(p)
	if n == nil {
		return nil
	}
	for {
		if len(n.waiting) > 0 && live() {
			e := n.waiting[0]
			n.waiting[0] = nil
			n.waiting = n.waiting[1:]
			q.waiting--
			return &Next{spool.Delivery{Event: e}, true}
		}
		q.setWaitingBesideLocked(n, p.Order)
		if !n.beside {
			delete(q.of, p.Order)
			return nil
		}
		d, err := q.nextBesideLocked(n, p.Order, except)
		switch {
		case err != nil || d != nil && !besides():
			q.holdLocked(p.Order)
			return nil
		case d != nil:
			return &Next{*d, false}
		case !n.again && len(n.waiting) == 0:
			n.beside = false
		}
	}
}

// nextBesideLocked is the next one of a line that stands beside the log. The lock is given up
// meanwhile.
func (q *Lines) nextBesideLocked(n *line, order, except uint64) (*spool.Delivery, error) {
	n.again = false
	q.mu.Unlock()
	defer q.mu.Lock()
	q.Lane.Barrier()
	return q.first(order, math.MaxUint64, except)
}

func (q *Lines) first(order, tick, except uint64) (*spool.Delivery, error) {
	d, err := q.Lane.First(order, tick, except)
	if err != nil {
		q.Log.Error("cannot read the next delivery of an order; it waits for the next tick",
			"error", err)
	}
	return d, err
}

// flyingLocked is the line of a place, if something of it is in flight.
func (q *Lines) flyingLocked(p Place) *line {
	if n := q.of[p.Order]; q.tenure == p.Tenure && n != nil && n.flying {
		return n
	}
	return nil
}

// Hold ends what is in flight of a line, because its first is pending still.
func (q *Lines) Hold(p Place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flyingLocked(p) != nil {
		q.holdLocked(p.Order)
	}
}

// Begin begins the line of a delivery that is due beside the log; false: something of it is in
// flight.
func (q *Lines) Begin(p Place) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beginLocked(p.Tenure)
	n := q.of[p.Order]
	if n != nil && n.flying {
		n.beside, n.again = true, true
		return false
	}
	if n != nil {
		q.Lane.Barrier()
	}
	q.flyLocked(p.Order, true)
	return true
}

// Head begins a line, and is its first, if that is due at a tick; nil: it is not, or something of
// the line is in flight.
func (q *Lines) Head(p Place, tick uint64) *spool.Delivery {
	if !q.Begin(p) {
		return nil
	}
	d, _ := q.first(p.Order, tick, 0)
	if d == nil {
		q.Hold(p)
	}
	return d
}

// Replays lets lines know that deliveries of them are pending again, before they are.
func (q *Lines) Replays(tenure uint64, orders []uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beginLocked(tenure)
	for _, order := range orders {
		n := q.of[order]
		switch {
		case order == 0:
		case n == nil:
			q.of[order] = &line{beside: true}
			q.unsure++
		default:
			q.setWaitingBesideLocked(n, order)
			n.beside, n.again = true, true
		}
	}
	q.boundUnsureLocked()
}
