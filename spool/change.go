package spool

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// Verdict is what becomes of a delivery after an attempt.
type Verdict uint8

const (
	// Delivered: it is done.
	Delivered Verdict = iota
	// Retry: it waits for the tick Due.
	Retry
	// Exhausted: it is never sent again by itself; kept, listed, replayable.
	Exhausted
	// Withheld: no request was made, for a reason of our own. It waits for the tick Due, and
	// nothing is spent or noted as the target's failure.
	Withheld
	// Held: no request was made, because another delivery of its Order is pending. It waits for the
	// tick Due, and nothing is noted. One beside the log keeps its tick, and gets the Order.
	Held
	// Expired: it became too old to be sent, and no request was made; kept like an exhausted one.
	Expired
)

// keeps reports a verdict after which the delivery is kept although nobody sends it.
func (v Verdict) keeps() bool { return v == Exhausted || v == Expired }

// Pending reports a verdict after which the delivery is still owed.
func (v Verdict) Pending() bool { return v == Retry || v == Withheld || v == Held }

// Settlement is the outcome of one attempt. Settling a delivery twice is harmless, and so is
// settling one of a lane that was forgotten.
type Settlement struct {
	Lane record.LaneID
	Seq  uint64
	// AcceptedAt is the instant of the event's acceptance.
	AcceptedAt time.Time
	// Fresh: the delivery came from Fetch; otherwise from a Due.
	Fresh   bool
	Verdict Verdict
	// Attempts is the number of requests made so far, this one included if one was made.
	Attempts int
	// Due is the number of the first tick that may take it again.
	Due uint64
	// At is the instant of the outcome; Status and Error say what a failure was.
	At     time.Time
	Status int
	Error  string
	// FirstFailed is the instant of the first failure; zero: this one.
	FirstFailed time.Time
	Replay      bool
	// Order is the number of the deliveries of which one is attempted at a time; 0: none.
	Order uint64
	// Made is kept for whoever asks later.
	Made record.Made
}

// Notice is a message owed to the operator, stored until it is paid. Body is the caller's.
type Notice struct {
	// Lane is what it is about, or SpoolItself.
	Lane    record.LaneID
	Episode uint64
	// Way is how it is to be paid, a number of the caller's. What is owed in two ways is two
	// notices, so that each is paid by itself.
	Way  uint8
	Body []byte
}

// Memo is what the caller wants to know of a lane after a restart, in a form of its own. A new one
// replaces the one before; an empty Body removes it.
type Memo struct {
	// Lane is what it is about, or SpoolItself.
	Lane record.LaneID
	Body []byte
}

// Change is written atomically, as far as it fits into one transaction.
type Change struct {
	Settle []Settlement
	// Standing, when set, replaces the standing of StandingOf.
	Standing   *record.Standing
	StandingOf record.LaneID
	// Owe stores notices, Paid removes them.
	Owe, Paid []Notice
	// Memos replace those of their lanes.
	Memos []Memo
	// Tallies are written of the lanes that are this relay's, of the spool itself, and where they say
	// which relay counted them.
	Tallies []Tally
	// Actions are stored; one without a Body is removed.
	Actions []Action
	// Tick, when set, is the tick that begins now. Its number is given by the spool.
	Tick *record.Tick
}

// Apply writes a change and waits until it is synced. Errors: ErrFailed, ErrClosed, ErrNotFound.
func (s *Spool) Apply(c Change) error { return s.order(&c) }

// Settle hands in outcomes without waiting for the disk. A fresh success costs no write of its
// own. It blocks only while the committer is many groups behind.
func (s *Spool) Settle(st Settlement) {
	if st.Fresh && st.Verdict == Delivered {
		if l := s.LaneByID(st.Lane); l != nil {
			l.deliveredFresh(&st)
		}
		return
	}
	// A closed or failed spool keeps the delivery as it is on disk: it is tried again.
	o := newOp(&Change{Settle: []Settlement{st}})
	o.patient = true
	_ = s.enqueue(o)
}

func (c *Change) cost() cost {
	n := costOf(5*len(c.Settle) + len(c.Owe) + len(c.Paid) + len(c.Memos))
	for i := range c.Settle {
		made := &c.Settle[i].Made
		n.bytes += len(made.Snippet) + len(made.Request) + len(made.Response)
	}
	for i := range c.Owe {
		n.add(0, len(c.Owe[i].Body))
	}
	for i := range c.Memos {
		n.add(0, len(c.Memos[i].Body))
	}
	for i := range c.Tallies {
		n.add(60, len(c.Tallies[i].Body))
		n.entries++
	}
	for i := range c.Actions {
		n.add(60, len(c.Actions[i].Body))
		n.entries++
	}
	return n
}

// manner is part of order. Outcomes, ticks and standings would be lost.
func (c *Change) manner() (m manner) {
	if c.Actions != nil {
		m |= comesAgain
	}
	if c.Tick != nil {
		m |= readsOthers
	}
	return m
}

func (c *Change) plan(g *group) error {
	for i := range c.Settle {
		g.settle(&c.Settle[i])
	}
	if c.Standing != nil {
		g.planStanding(g.guards.lane(c.StandingOf), *c.Standing)
	}
	g.planWords(c)
	planTallies(g, c)
	planActions(g, c.Actions)
	if c.Tick != nil {
		return g.planTick(c.Tick)
	}
	return nil
}

// settle writes one outcome and moves the lane's sums with it. Memory changes before the sync; if
// the sync fails the spool stops, and nobody relies on the sums again.
func (g *group) settle(st *Settlement) {
	l := g.guards.lane(st.Lane)
	if l == nil {
		return
	}
	key := record.LaneSeqKey(record.PrefixException, l.id, st.Seq)
	kept := record.LaneSeqKey(record.PrefixExhausted, l.id, st.Seq)
	if !st.Fresh && !g.has(key) {
		return // settled or removed before
	}
	keepPlace(g, st, key)
	keptBefore := st.Verdict.keeps() && g.has(kept)
	if !l.settle(st, keptBefore) {
		return
	}
	if st.Verdict == Expired {
		g.put(kept, expired(g, st, key).Encode(), 0)
	}
	switch {
	case st.Verdict == Withheld || st.Verdict == Held:
		putException(g, l.id, st.Seq, g.withheld(st, key))
	case st.Verdict == Retry:
		putException(g, l.id, st.Seq, st.exception())
	case !st.Fresh:
		deleteException(g, l.id, st.Seq, st.Order)
	}
	switch {
	case st.Verdict == Exhausted:
		g.put(kept, st.exception().Encode(), 0)
	case st.Verdict == Delivered && !st.Fresh:
		g.released(st.Seq, st.At)
	}
	if st.Verdict != Held {
		g.putHistory(st)
	}
	g.forced[l] = struct{}{}
}

// withheld is the exception of a delivery after an attempt that was none: what it was, with the
// reason and a later tick.
func (g *group) withheld(st *Settlement, key []byte) *record.Exception {
	x := before(g, st, key)
	if st.Verdict == Held && !st.Fresh {
		leavePlace(g, st, x)
		return x
	}
	if x.Due, x.Order = st.Due, st.Order; st.Verdict == Withheld {
		x.LastError = st.Error
	}
	return x
}

// expired is what is kept of a delivery that became too old: what it was, with the reason.
func expired(g *group, st *Settlement, key []byte) *record.Exception {
	x := before(g, st, key)
	if x.LastError != "" {
		st.Error += "; before that: " + x.LastError
	}
	x.Due, x.LastAt, x.LastError, x.Expired = 0, st.At, st.Error, true
	return x
}

// before is the exception of a delivery before a settlement that is none of an attempt.
func before(g *group, st *Settlement, key []byte) *record.Exception {
	if value, err := g.get(key); err == nil {
		if x, err := record.DecodeException(value); err == nil {
			return x
		}
	}
	return &record.Exception{Attempts: st.Attempts, At: st.AcceptedAt, Replay: st.Replay}
}

func (g *group) has(key []byte) bool {
	return g.txn.Has(key)
}

// settle moves the sums; false if the delivery was settled before.
func (l *Lane) settle(st *Settlement, keptBefore bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if st.Fresh {
		if !l.way.pass(st.Seq) {
			return false
		}
		l.passed++
	}
	if st.Verdict != Held && st.Verdict != Expired {
		l.recent.note(st)
	}
	switch {
	case st.Fresh && st.Verdict.Pending():
		l.exceptions++
	case !st.Fresh && !st.Verdict.Pending():
		l.exceptions -= min(l.exceptions, 1) // never below 0, whatever a damaged disk brings back
	}
	switch st.Verdict {
	case Delivered:
		l.delivered++
		l.lastSuccess = st.At
		if st.Fresh {
			l.receipts.Add(receiptOf(st))
		}
	case Retry, Exhausted:
		l.noteFailure(st)
	}
	if st.Verdict.keeps() && !keptBefore {
		l.keptLocked(st.Verdict == Expired, 1)
	}
	return true
}

// keptLocked counts a delivery that is kept from now on, or for n = -1 not any more. Neither sum
// goes below 0, whatever a damaged disk brings back.
func (c *laneCounts) keptLocked(expired bool, n int) {
	move := func(sum *uint64) {
		if n > 0 || *sum > 0 {
			*sum += uint64(n)
		}
	}
	move(&c.exhausted)
	if expired {
		move(&c.expired)
	}
}

// isExpired reports whether what is kept under a key became too old.
func isExpired(g *group, kept []byte) bool {
	value, err := g.get(kept)
	if err != nil {
		return false
	}
	x, err := record.DecodeException(value)
	return err == nil && x.Expired
}

func (c *laneCounts) noteFailure(st *Settlement) {
	c.lastFailure, c.lastError = st.At, st.Error
	if len(c.lastError) > 256 {
		c.lastError = c.lastError[:256]
	}
}

func (st *Settlement) exception() *record.Exception {
	x := &record.Exception{Due: st.Due, Attempts: st.Attempts, At: st.AcceptedAt,
		FirstFailed: st.FirstFailed, LastAt: st.At, LastStatus: st.Status, LastError: st.Error,
		Replay: st.Replay, Order: st.Order}
	if x.FirstFailed.IsZero() {
		x.FirstFailed = st.At
	}
	return x
}

func (g *group) planStanding(l *Lane, st record.Standing) {
	if l == nil {
		return
	}
	g.put(record.LaneKey(record.PrefixStanding, l.id), st.Encode(), 0)
	g.after = append(g.after, func() {
		l.mu.Lock()
		l.standing = st
		l.mu.Unlock()
	})
}

// Beat begins the next tick, and is its number.
func (s *Spool) Beat(at time.Time) (uint64, error) {
	t := &record.Tick{At: at}
	if err := s.Apply(Change{Tick: t}); err != nil {
		return 0, fmt.Errorf("cannot store a tick: %w", err)
	}
	return t.Number, nil
}

// planTick numbers a tick. What fails from now on waits for the one after it.
func (g *group) planTick(t *record.Tick) error {
	// Nobody but who leads lets time pass; a job that is asked for has the instant of the last tick.
	if !t.At.Equal(g.s.tick.Load().At) && !g.guards.writes(record.SpoolItself) {
		return ErrElsewhere
	}
	last := *g.s.tick.Load()
	if g.beat.Number > last.Number {
		last = g.beat
	}
	t.Number, t.Beat = last.Number+1, last.Beat
	if !t.At.Equal(last.At) {
		t.Beat++
	}
	g.beat = *t
	g.put(record.MetaKey(record.MetaTick), t.Encode(), 0)
	g.after = append(g.after, func() { g.s.tick.Store(t) })
	return nil
}

// Begin hands in a change and returns at once; wait returns when it is synced. Changes are written
// in the order of their Begin.
func (s *Spool) Begin(c Change) (wait func() error) {
	o := newOp(&c)
	if err := s.enqueue(o); err != nil {
		return func() error { return err }
	}
	return func() error { return s.await(o) }
}
