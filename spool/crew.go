package spool

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// crewEvery is how often the crew looks whether the lanes are shared out, if nothing calls for it.
	crewEvery = 500 * time.Millisecond
	// freeMax is how long a lane is left to relays that have less than their share.
	freeMax = time.Second
	// strangerMax is how long it is left to relays that can serve it.
	strangerMax = 5 * time.Second
	// unwantedFor is how long nothing is given away after nobody has taken what was.
	unwantedFor = time.Minute
	// yieldMax is how long a lane that another relay is to have waits for attempts that are made.
	yieldMax = 250 * time.Millisecond
	// idleMin and idleLane are how often lanes to which nothing is owed say up to where they were fed:
	// a start counts the log from there, and the sweep goes so far.
	idleMin, idleLane = time.Second, 10 * time.Millisecond
	// idleAtOnce of them do so in one group.
	idleAtOnce = 200
	// refreshAtOnce bounds the lanes of others that are read between two groups.
	refreshAtOnce = 64
	// leftAtOnce bounds the events of one look at what the sweep has left; leftPause lies between two
	// passes.
	leftAtOnce = 500
	leftPause  = 10 * time.Minute
)

// crew is this relay's part among several that share the spool. They know each other's lanes and
// who lives, and each decides by itself: a lane that nobody has goes to a relay that has less than
// its share, and a relay that has more than another one gives one away. If two want the same lane,
// the engine lets one have it.
//
// Lane 0 is the spool itself. Whoever has it leads: beats the ticks, sweeps the log, and says what
// there is to say about the spool.
type crew struct {
	s       *Spool
	lead    Lane        // nothing of it is used but whose it is
	started atomic.Bool // the committer runs
	leaving atomic.Bool
	wake    chan struct{} // capacity 1: a token means "look how the lanes are shared out"
	free    map[record.LaneID]time.Time

	// The loop's.
	had   map[record.LaneID]bool // at the last look
	given map[record.LaneID]bool // away
	keeps time.Time              // nothing is given away until then
	// others are the relays and what they said last, strange the lanes that none of those wants.
	others  string
	strange map[record.LaneID]bool

	// The committer's.
	stale  map[record.LaneID]bool // lanes of others whose records are newer than what is known
	idleAt time.Time

	// The keeper's.
	left   uint64 // events up to here were looked at in this pass
	passed time.Time
}

func (c *crew) init(s *Spool) {
	c.s, c.wake = s, make(chan struct{}, 1)
	c.free, c.stale = make(map[record.LaneID]time.Time), make(map[record.LaneID]bool)
	c.had, c.given = make(map[record.LaneID]bool), make(map[record.LaneID]bool)
	c.lead.s, c.lead.id = s, record.SpoolItself
	s.unspooled.Store(rand.Uint64() >> 16) // or two relays would make the same ids
	c.lose(&c.lead)
}

// Shared is the engine, if several relays use it; otherwise nil.
func (s *Spool) Shared() Shared { return s.shared }

// Leads reports whether this relay does what one of them has to do for all: it beats the ticks, and
// pays what is owed for the spool itself.
func (s *Spool) Leads() bool { return s.shared == nil || s.crew.lead.Ours() }

// Changed receives a token when another relay has changed something that this one has to know: a
// lane has become this relay's or another's, a tick began, a lane was made or forgotten.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

// Leave gives all lanes away, and takes none any more: for a relay that stops.
func (s *Spool) Leave() {
	if s.shared != nil && s.crew.leaving.CompareAndSwap(false, true) {
		s.crew.giveAll()
	}
}

// lose ends what this relay has of a lane.
func (c *crew) lose(l *Lane) {
	over := engine.Elsewhere()
	l.tenure.Store(&over)
}

func (c *crew) changed() {
	select {
	case c.s.changed <- struct{}{}:
	default:
	}
}

// load is the part of a start after the lanes' names are read.
func (c *crew) load(checkpoint uint64) error {
	s := c.s
	newest, err := s.lastRecord(checkpoint)
	if err != nil {
		return err
	}
	s.head.Store(max(newest, s.swept.Load()))
	s.fed = s.head.Load()
	s.checkpointed, s.nextSeq = s.fed, s.engine.Next(s.fed)
	s.log.Info("the spool is open", "newest", s.fed, "targets", len(s.lanes),
		"relay", s.shared.Name(), "relays", len(s.shared.Relays()))
	for _, l := range s.lanes {
		c.stale[l.id] = true
	}
	if err := errors.Join(c.refresh(), c.hear(), c.shareOut()); err != nil {
		return err
	}
	return s.countQuarantined()
}

// initialize writes the first record, unless another relay was first.
func (c *crew) initialize() error {
	s, key := c.s, record.MetaKey(record.MetaFormat)
	ours := s.format
	return s.update(func(txn engine.Txn) error {
		value, err := txn.Get(key)
		if errors.Is(err, engine.ErrNotFound) {
			s.format = ours
			return txn.Put(key, ours.Encode(), 0)
		}
		if err == nil {
			s.format, err = record.DecodeFormat(value)
		}
		return err
	})
}

// between runs something of the committer's.
func (c *crew) between(run func() error) error {
	if !c.started.Load() {
		return run()
	}
	return c.s.between(run)
}

// loop shares the lanes out until the spool is closed.
func (c *crew) loop() {
	ticker := time.NewTicker(crewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.s.closing:
			return
		case <-c.s.failed:
			return
		case <-c.wake:
		case <-ticker.C:
		}
		err := c.between(c.refresh)
		if err == nil {
			err = c.shareOut()
		}
		if err != nil && c.s.Err() == nil && !c.s.closed() {
			c.s.log.Debug("cannot share the lanes out; it is tried again", "error", err)
		}
		c.look()
	}
}

// look lets the relay know if lanes have come or gone.
func (c *crew) look() {
	now := make(map[record.LaneID]bool)
	if c.lead.Ours() {
		now[record.SpoolItself] = true
	}
	for _, l := range c.s.Lanes() {
		if l.Ours() {
			now[l.id] = true
		}
	}
	if !maps.Equal(now, c.had) {
		c.had = now
		c.changed()
	}
}

// call has the crew look at once.
func (c *crew) call() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// made is called for a lane that this relay has made: it has it, to begin with.
func (c *crew) made(id record.LaneID, name string) {
	s := c.s
	if s.LaneByID(id) != nil {
		return
	}
	l, err := s.addLane(id, name)
	if err == nil && !c.leaving.Load() {
		var all []claim
		if all, err = c.own([]*Lane{l}); err == nil {
			err = c.enter(all)
		}
	}
	if err != nil {
		s.log.Debug("cannot take a new lane; it is tried again", "target", name, "error", err)
	}
}

// refresh reads what others have stored of their lanes.
func (c *crew) refresh() error {
	read := 0
	for id := range c.stale {
		if l := c.s.LaneByID(id); l != nil && !l.Ours() {
			n, err := c.stored(l)
			if err == nil {
				c.adopt(l, n)
			} else {
				c.s.log.Warn("cannot read what another relay has stored of a target", "target", l.name,
					"error", err)
			}
			read++
		}
		if delete(c.stale, id); read == refreshAtOnce && c.started.Load() {
			c.call() // the rest after the next group
			break
		}
	}
	return nil
}

// claim is a lane that is this relay's from now on.
type claim struct {
	lane   *Lane
	tenure engine.Tenure
}

// own claims lanes, and returns those that nobody else has.
func (c *crew) own(lanes []*Lane) (all []claim, err error) {
	for _, l := range lanes {
		t, err := c.s.engine.Own(l.id)
		if errors.Is(err, ErrElsewhere) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("cannot take the lane of target %q: %w", l.name, err)
		}
		all = append(all, claim{l, t})
	}
	return all, nil
}

// take takes lanes, with the committer's help.
func (c *crew) take(lanes []*Lane) error {
	all, err := c.own(lanes)
	if len(all) == 0 {
		return err
	}
	return errors.Join(err, c.between(func() error { return c.enter(all) }))
}

// enter goes on with lanes where they were left. The committer does it: until a lane is this
// relay's it is not fed, from then on it is.
func (c *crew) enter(all []claim) error {
	s := c.s
	if err := c.hear(); err != nil {
		return err
	}
	stored := make(map[record.LaneID]*Lane)
	for _, t := range all {
		if t.lane == &c.lead {
			continue
		}
		n, err := c.stored(t.lane)
		if err != nil {
			return fmt.Errorf("cannot read the lane of target %q: %w", t.lane.name, err)
		}
		stored[t.lane.id] = n
	}
	if err := c.countTails(stored); err != nil {
		return fmt.Errorf("cannot count what is owed: %w", err)
	}
	for _, t := range all {
		l := t.lane
		if n := stored[l.id]; n != nil {
			if err := n.settleStart(s.fed); err != nil {
				return err
			}
			c.adopt(l, n)
			l.mu.Lock()
			l.arrivals.add(&n.arrivals)
			l.mu.Unlock()
			l.yields.Store(false)
		}
		l.tenure.Store(&t.tenure)
		if l != &c.lead {
			l.mu.Lock()
			l.dirty = false
			l.markDirtyLocked()
			l.mu.Unlock()
			l.Wake()
		}
	}
	return nil
}

// stored is a lane as its records say. It is nobody's.
func (c *crew) stored(l *Lane) (*Lane, error) {
	n := &Lane{s: l.s, id: l.id, name: l.name, dirty: true, receipts: receipt.Tailed(nil, true)}
	n.way.memory, n.way.next = &l.s.fresh, l.s.fed+1
	if err := n.load(); err != nil {
		return nil, err
	}
	n.way.behind = n.owed > n.passed
	return n, nil
}

// adopt takes over what another Lane of the same number knows.
func (c *crew) adopt(l, n *Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.way.open
	l.way.drop()
	l.way = n.way
	l.way.open = open
	l.laneCounts, l.recent, l.standing = n.laneCounts, n.recent, n.standing
	l.receipts = n.receipts
	l.owedSeq, l.storedPosition = n.owedSeq, n.storedPosition
	l.storedIdle, l.storedSeq = n.storedIdle, n.storedSeq
	l.marks.newest.Store(n.marks.newest.Load())
	l.marks.begun = nil
}

// shares is how the lanes are shared out.
type shares struct {
	relays map[string]int // how many lanes each has
	free   []*Lane
	mine   []*Lane
	all    int
}

func (c *crew) shares() shares {
	s := c.s
	sh, others := shares{relays: make(map[string]int)}, ""
	for _, r := range s.shared.Relays() {
		sh.relays[r.Name] = 0
		others += fmt.Sprintf("%q %q ", r.Name, r.Note)
	}
	if others != c.others { // one of them may want what none wanted before
		c.others, c.strange = others, make(map[record.LaneID]bool)
	}
	for _, l := range s.Lanes() {
		sh.all++
		owner := s.shared.Owner(l.id)
		if _, lives := sh.relays[owner]; !lives {
			sh.free = append(sh.free, l)
			continue
		}
		sh.relays[owner]++
		if owner == s.shared.Name() {
			sh.mine = append(sh.mine, l)
		} else {
			delete(c.given, l.id)
		}
	}
	return sh
}

// shareOut takes lanes that are free, up to this relay's share, and gives one away if that makes it
// more even.
func (c *crew) shareOut() error {
	s := c.s
	if c.leaving.Load() {
		return nil
	}
	var want []*Lane
	owner := s.shared.Owner(record.SpoolItself)
	if owner == "" || owner == s.shared.Name() && !c.lead.Ours() {
		want = append(want, &c.lead)
	}
	sh := c.shares()
	n := max(len(sh.relays), 1)
	least, most := sh.all/n, (sh.all+n-1)/n
	poor := false // another relay has less than its share
	for name, lanes := range sh.relays {
		poor = poor || name != s.shared.Name() && lanes < least
	}
	for _, l := range sh.mine {
		if !l.Ours() { // it was this relay's when it ran last
			want = append(want, l)
		}
	}
	mine, free := len(sh.mine), make(map[record.LaneID]time.Time)
	for _, l := range sh.free {
		since, before := c.free[l.id]
		if !before {
			since = time.Now()
		}
		free[l.id] = since
		if !s.wants(l) && n > 1 && time.Since(since) < strangerMax {
			continue
		}
		if mine < least || mine < most && !poor || time.Since(since) > freeMax {
			want = append(want, l)
			mine++
			if c.given[l.id] {
				c.keeps = time.Now().Add(unwantedFor)
				c.strange[l.id] = true
			}
		}
	}
	c.free = free
	if c.started.Load() && len(sh.free) == 0 && n > 1 && time.Now().After(c.keeps) {
		strange := slices.IndexFunc(sh.mine, func(l *Lane) bool {
			return !s.wants(l) && !c.strange[l.id]
		})
		gives := mine - 1
		if strange >= 0 {
			gives = strange
		}
		if strange >= 0 || mine > most || mine > least && poor {
			c.give(sh.mine[gives : gives+1])
			c.given[sh.mine[gives].id] = true
		}
	}
	return c.take(want)
}

// give gives lanes away, once what is in flight has landed, if that is soon, and all is stored.
func (c *crew) give(lanes []*Lane) {
	for _, l := range lanes {
		l.yields.Store(true)
	}
	end := time.Now().Add(yieldMax)
	for _, l := range lanes {
		for c.flies(l) && time.Now().Before(end) && !c.s.closed() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	err := c.s.order(storing(lanes))
	for _, l := range lanes {
		err = errors.Join(err, c.s.shared.Release(l.id))
		if l.Ours() {
			l.yields.Store(false)
			l.Wake()
		}
	}
	if err != nil && c.s.Err() == nil {
		c.s.log.Debug("cannot give lanes away; others take them when this relay is gone", "error", err)
	}
}

// flies reports whether deliveries are handed out and not settled.
func (c *crew) flies(l *Lane) bool {
	if c.s.busy(l) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.way.inFlight() > 0
}

// giveAll gives everything away.
func (c *crew) giveAll() {
	s := c.s
	s.shared.Leave()
	lanes := slices.DeleteFunc(s.Lanes(), func(l *Lane) bool { return !l.Ours() })
	if s.shared.Away() != nil {
		return // nobody would hear of it
	}
	c.give(lanes)
	if c.lead.Ours() {
		if err := s.shared.Release(record.SpoolItself); err != nil {
			s.log.Debug("cannot stop leading; another relay does when this one is gone", "error", err)
		}
	}
	c.call() // to look
}
