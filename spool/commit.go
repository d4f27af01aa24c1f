package spool

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// checkpointEvery bounds how much delivered work a crash repeats.
	checkpointEvery = 50 * time.Millisecond
	// patience is how long an outcome waits for a group to ride with, unless patientMax of them wait:
	// a sync of its own for every failure would be one for every event of a target that refuses them.
	patience   = 5 * time.Millisecond
	patientMax = 64
	// entryOverhead is what an engine's transaction counts for an entry beside its key and value.
	entryOverhead = 12
	logKeyBytes   = 9
)

// op is an order on its way through the committer, or what is to be done between two groups.
type op struct {
	order   order // nil: there is none
	cost    cost
	appends appending    // the order of an Append, which makes no other
	run     func() error // after the group, before the next
	patient bool         // may wait for others to ride with
	look    bool         // open a snapshot after the group
	looked  engine.Look  // the snapshot; the committer's until done
	err     error        // why this op alone was refused; the committer's until done
	done    chan error   // capacity 1, so that the committer never waits for a caller
	hand    atomic.Int32 // whose it is: see withdraw
}

// newOp makes the op of an order; nil: of none.
func newOp(o order) *op {
	p := &op{order: o, done: make(chan error, 1)}
	if o != nil {
		p.cost = o.cost()
	}
	return p
}

// is reports whether an op's order has a manner.
func (o *op) is(m manner) bool { return o.order != nil && o.order.manner()&m != 0 }

// submit hands an op to the committer and waits until it is synced or refused.
func (s *Spool) submit(o *op) error {
	if err := s.enqueue(o); err != nil {
		return err
	}
	return s.await(o)
}

func (s *Spool) enqueue(o *op) error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	select {
	case s.ops <- o:
		return nil
	default:
	}
	select {
	case s.ops <- o:
		return nil
	case <-s.done:
		return ErrClosed
	case <-s.failed:
		return s.Err() // the committer may never take another one
	}
}

// stuckAfter is how long a spool that has failed waits for its committer. An engine may never
// return from a commit: Badger tries for ever to write a list of tables that its disk refuses, and
// lets commits wait for that.
const stuckAfter = 5 * time.Second

// errStuck: the engine has not returned from a commit.
var errStuck = errors.New("its engine does not return from a commit")

func (s *Spool) await(o *op) error {
	select {
	case err := <-o.done:
		return err
	case <-s.done:
	case <-s.failed:
		stuck := time.NewTimer(s.stuckAfter)
		defer stuck.Stop()
		select {
		case err := <-o.done:
			return err
		case <-s.done:
		case <-stuck.C:
			return fmt.Errorf("%w; %w", s.Err(), errStuck)
		}
	}
	// The committer is gone; it may have answered on its way out.
	select {
	case err := <-o.done:
		return err
	default:
		return ErrClosed
	}
}

// commitLoop is the committer: the only writer. One group is in flight at a time, made of whatever
// waited while the last one synced; a lone caller waits for nobody.
func (s *Spool) commitLoop() {
	defer close(s.done)
	timer, leave := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer leave.Stop()
	timer.Stop()
	leave.Stop()
	armed := false
	heard := s.crew.heard()
	for {
		if len(s.carry) > 0 && !s.canWait() {
			s.commitGroup(s.gather(), false)
			continue
		}
		select {
		case o := <-s.ops:
			s.carry = append(s.carry, o)
			if len(s.carry) == 1 && o.patient {
				leave.Reset(s.patience)
			}
		case <-leave.C:
			s.commitGroup(s.gather(), false)
		case <-heard:
			s.crew.listen()
		case <-s.dirtyC:
			if !armed {
				timer.Reset(checkpointEvery)
				armed = true
			}
		case <-timer.C:
			armed = false
			s.commitGroup(s.gather(), true)
		case <-s.closing:
			s.drainOps()
			return
		}
	}
}

// canWait reports that nothing waits but a few outcomes.
func (s *Spool) canWait() bool {
	return len(s.carry) < patientMax &&
		!slices.ContainsFunc(s.carry, func(o *op) bool { return !o.patient })
}

// drainOps commits what was handed over before Close, and the last checkpoint.
func (s *Spool) drainOps() {
	for {
		select {
		case o := <-s.ops:
			s.carry = append(s.carry, o)
		default:
		}
		if len(s.carry) == 0 {
			break
		}
		s.commitGroup(s.gather(), false)
	}
	s.commitGroup(nil, true)
	for s.shared != nil && s.Err() == nil && s.hasDirty() {
		s.commitGroup(nil, true)
	}
}

// groupMax bounds what is gathered for one group, by estimate: five eighths of the engine's
// transaction, so that the records of lanes that ride with it fit as well. A group that becomes two
// transactions may tear a change apart in a crash.
func (s *Spool) groupMax() (bytes, entries int) {
	bytes, entries = s.engine.Bounds()
	return bytes / 8 * 5, entries / 2
}

// gather takes what waits, up to what fits into one transaction.
func (s *Spool) gather() []*op {
	bytesMax, entriesMax := s.groupMax()
	bytes, entries := 0, 0
	for n := 0; ; n++ {
		if n == len(s.carry) {
			select {
			case o := <-s.ops:
				s.carry = append(s.carry, o)
			default:
				return s.takeCarry(n)
			}
		}
		o := s.carry[n]
		bytes, entries = bytes+o.cost.bytes, entries+o.cost.entries
		if n > 0 && (bytes > bytesMax || entries > entriesMax) {
			return s.takeCarry(n)
		}
	}
}

func (s *Spool) takeCarry(n int) []*op {
	ops := s.carry[:n:n]
	s.carry = s.carry[n:]
	if len(s.carry) == 0 {
		s.carry = nil
	}
	return ops
}

// group is one commit in the making. It is one Badger transaction, and only a batch larger than
// that, or lane records that do not fit beside the events, make it several ("chunks"): a batch
// carries its last sequence in every record, so that a start finds an unfinished one and removes
// it; a lane record that is missing is made good from the exceptions.
type group struct {
	s       *Spool
	txn     engine.Txn
	bytes   int
	entries int
	wrote   bool
	err     error

	state  map[string]statePut
	ids    map[string]*record.ID
	events []*record.Event
	owed   [][]record.LaneID // parallel to events
	lanes  []*Lane           // that owe some of the events, once those are synced
	forced map[*Lane]struct{}
	guards guards
	beat   record.Tick              // the last one that begins in this group
	after  []func()                 // run when the group is synced
	undo   []func()                 // take back what planning has changed in memory; see crew.commit
	names  map[string]record.LaneID // of lanes that this group makes, where several relays do
	again  bool                     // what is planned from here on may be planned again
}

// newGroup readies the committer's one group for another commit.
func (s *Spool) newGroup() *group {
	g := &s.group
	if g.state == nil {
		g.s, g.state = s, make(map[string]statePut)
		g.ids, g.forced = make(map[string]*record.ID), make(map[*Lane]struct{})
		g.guards = guards{s: s, lanes: make(map[*Lane]struct{})}
	}
	g.txn = s.engine.Begin()
	g.guards.txn = g.txn
	return g
}

// forget lets go of what a commit held, so that payloads do not outlive their delivery.
func (g *group) forget() {
	clear(g.state)
	clear(g.ids)
	clear(g.forced)
	clear(g.guards.lanes)
	clear(g.events)
	clear(g.owed)
	clear(g.lanes)
	clear(g.after)
	clear(g.undo)
	*g = group{s: g.s, state: g.state, ids: g.ids, forced: g.forced, guards: g.guards,
		events: g.events[:0], owed: g.owed[:0], lanes: g.lanes[:0], after: g.after[:0],
		undo: g.undo[:0]}
}

// commitGroup commits ops, and then opens the snapshots that some of them want: each is after a
// group of its own, and there is only one group at a time.
func (s *Spool) commitGroup(ops []*op, checkpoint bool) {
	if err := s.Err(); err != nil {
		answer(ops, err)
		return
	}
	ops, ok := s.pass(ops)
	if !ok {
		return
	}
	var looks []*op
	for _, o := range ops {
		if o.look {
			looks = append(looks, o)
		}
	}
	if len(looks) > 0 {
		ops = slices.DeleteFunc(ops, func(o *op) bool { return o.look })
	}
	s.commitOps(ops, checkpoint)
	for _, o := range looks {
		o.looked, o.err = s.lookNow()
	}
	answer(looks, nil)
}

// commitOps plans, syncs, feeds the lanes and only then answers.
func (s *Spool) commitOps(ops []*op, checkpoint bool) {
	began := time.Now()
	g := s.newGroup()
	defer g.forget()
	if checkpoint = checkpoint || began.Sub(s.lastCheckpoint) >= checkpointEvery; checkpoint {
		s.lastCheckpoint = began
	}
	var err error
	if s.shared == nil {
		g.plan(ops)
		g.flushState()
		g.finish(checkpoint)
		err = g.commit()
	} else {
		ops, err = s.crew.commit(g, ops, checkpoint)
	}
	if err != nil {
		answer(ops, s.fail(err))
		return
	}
	if g.wrote {
		s.groups.Add(1)
		s.onCommit(len(g.events), time.Since(began))
	}
	g.feed()
	for _, f := range g.after {
		f()
	}
	for _, o := range ops {
		if o.run != nil {
			if o.err = o.run(); o.err != nil { // nobody knows what holds the newest events
				o.err = s.fail(o.err)
			}
		}
	}
	answer(ops, nil)
	g.wake()
}

// plan plans the work of ops in their order.
func (g *group) plan(ops []*op) {
	for _, o := range ops {
		if o.order != nil {
			o.err = o.order.plan(g)
		}
	}
}

// finish adds the records of lanes.
func (g *group) finish(checkpoint bool) {
	if checkpoint {
		g.planCheckpoint()
	}
	g.planForced()
}

// between runs a function of the engine's between two groups.
func (s *Spool) between(run func() error) error {
	o := newOp(nil)
	o.run = run
	return s.submit(o)
}

func answer(ops []*op, err error) {
	for _, o := range ops {
		if err != nil {
			o.done <- err
		} else {
			o.done <- o.err
		}
	}
}

// feed hands the new events to their lanes. head moves first, so that a lane that reads the log to
// its end knows how far that is.
func (g *group) feed() {
	s := g.s
	if n := len(g.events); n > 0 {
		s.head.Store(g.events[n-1].Seq)
		g.lanes = feedLanes(s, g.events, g.owed, g.lanes)
	}
	s.fed = s.head.Load()
}

// wake lets the lanes look at what they were fed, each once. It comes after the answers: an event
// that 1,000 targets want would be answered after all of their attempts otherwise.
func (g *group) wake() {
	for _, l := range g.lanes {
		l.Wake()
	}
}

func (g *group) get(key []byte) ([]byte, error) {
	return g.txn.Get(key)
}

// reserve makes room in the chunk for entries that belong together.
func (g *group) reserve(bytes, entries int) {
	if g.s.shared != nil {
		return // a transaction takes what one op may hold, and what others write may come in between
	}
	bytesMax, entriesMax := g.s.engine.Bounds()
	if g.bytes+bytes+entries*entryOverhead > bytesMax || g.entries+entries > entriesMax {
		g.commitChunk()
	}
}

// put stores a small record, which may be forgotten after ttl; 0: never.
func (g *group) put(key, value []byte, ttl time.Duration) {
	n := len(key) + len(value) + entryOverhead
	g.reserve(n, 1)
	g.add(n, g.txn.Put(key, value, ttl))
}

// append adds an event to the log.
func (g *group) append(d *Draft, rec []byte) {
	n := logKeyBytes + len(rec) + entryOverhead
	g.reserve(n, 1)
	g.add(n, g.txn.Append(d.Seq, rec, d.lanes))
}

func (g *group) delete(key []byte) {
	n := len(key) + entryOverhead
	g.reserve(n, 1)
	g.add(n, g.txn.Delete(key))
}

func (g *group) add(bytes int, err error) {
	g.bytes += bytes
	g.entries++
	g.wrote = true
	g.err = errors.Join(g.err, err)
}

func (g *group) commitChunk() {
	if g.err == nil {
		g.err = g.s.through("commit", g.txn.Commit)
	}
	g.txn.Discard()
	g.txn = g.s.engine.Begin()
	g.guards.begin(g.txn)
	g.bytes, g.entries = 0, 0
}

func (g *group) commit() error {
	defer g.txn.Discard()
	if g.err != nil {
		return g.err
	}
	if !g.wrote {
		return nil
	}
	return g.s.through("commit", g.txn.Commit)
}

func (g *group) flushState() {
	for key, p := range g.state {
		g.put(record.StateKey([]byte(key)), record.EncodeState(p.value), p.ttl)
	}
	clear(g.state)
}
