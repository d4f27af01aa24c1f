package spool

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/wallclock"
)

const (
	// sweepPause lies between two looks; sweepMax bounds the events of one removal, so that it never
	// starves the committer.
	sweepPause = time.Second
	sweepTime  = 500 * time.Millisecond // the most that one look spends on the log
	sweepMax   = 2000
	sweepScan  = 20_000
	// sweepRewritten bounds the events that one removal writes again, of those that stay. It writes
	// one frame again in any case.
	sweepRewritten = 512 << 10
)

// removal deletes events that nobody needs any more.
type removal struct {
	seqs     []uint64
	released [][]byte // keys of prefixReleased that are done with
	swept    uint64
	replays  uint64 // as counted when the list was made
	// rewritten bounds the bytes of events that are written again because they are stored in one with
	// some of those that go.
	rewritten int
}

// keepLoop is the keeper: once a second it notes the high-water mark, sees that the spool's files
// are in their place, measures the disk and sweeps.
func (s *Spool) keepLoop(began time.Time) {
	ticker := time.NewTicker(sweepPause)
	defer ticker.Stop()
	started := time.Now()
	if s.Leads() { // nobody looked while the relay was down
		tellIDs(s, rememberIDs(s, began))
	}
	for {
		select {
		case <-s.closing:
			return
		case <-s.failed:
			return
		case <-ticker.C:
		}
		now := time.Now()
		s.dropCursors(now.Add(-cursorLife))
		s.clock.Compare(now.Round(0), now.Sub(started))
		s.clock.See(s.now())
		s.keep(now)
	}
}

// keep is one look of the keeper.
func (s *Spool) keep(clock time.Time) {
	if err := s.hw.Write(s.head.Load()); err != nil && !errors.Is(err, syscall.ENOSPC) &&
		!errors.Is(err, syscall.EDQUOT) {
		_ = s.fail(err)
		return
	} // a file system that copies has no block for it on a full disk; it is tried again
	if err := s.measure(s.gate.closed()); err != nil {
		return
	}
	if s.gate.closed() {
		return // sweeping writes
	}
	clean(s)
	if s.shared != nil {
		wakeDirty(s) // of lanes to which nothing comes
	}
	err := s.engine.Reclaim(clock, s.head.Load(), s.between)
	if errors.Is(err, ErrMoved) {
		_ = s.fail(err)
		return
	}
	if err != nil && s.Err() == nil && !s.closed() && !errors.Is(err, ErrFull) {
		s.log.Error("cannot give space back; it is tried again", "error", err)
	}
}

// clean removes what nobody needs.
func clean(s *Spool) {
	if !s.Leads() {
		// another relay does
	} else if err := s.clearForgotten(); err != nil && s.Err() == nil && !s.closed() &&
		!errors.Is(err, ErrFull) {
		s.log.Error("cannot clean up after a forgotten target; it is tried again", "error", err)
	}
	if err := s.Sweep(s.now()); err != nil && s.Err() == nil && !errors.Is(err, ErrFull) {
		s.log.Error("cannot sweep the spool; it is tried again", "error", err)
	}
}

// age judges whether things are old enough to be removed.
type age struct {
	clock    *wallclock.Clock
	now, cut time.Time
}

// passed reports whether what has an instant is.
func (a age) passed(at time.Time) bool { return !a.clock.Was(at, a.now).After(a.cut) }

// agesOf are those of delivered events and of exhausted deliveries. When space is short delivered
// events go at once, whatever instants they have. A clock that was just set forward makes nothing
// old.
func agesOf(s *Spool, now time.Time) (delivered, exhausted age) {
	lim := s.limits.Load()
	delivered = age{&s.clock, now, now.Add(-lim.KeepDelivered)}
	exhausted = age{&s.clock, now, now.Add(-lim.KeepExhausted)}
	if !s.clock.Sure() {
		delivered.cut, exhausted.cut = time.Unix(0, 0), time.Unix(0, 0)
	}
	if s.engine.Usage().Short {
		delivered.cut = time.Unix(0, math.MaxInt64)
	}
	return delivered, exhausted
}

// Sweep removes what nobody needs any more as of now: delivered events after KeepDelivered,
// exhausted deliveries after KeepExhausted. When space is short, delivered events go at once. Of
// what stays it remembers the ids.
func (s *Spool) Sweep(now time.Time) error {
	delivered, exhausted := agesOf(s, now)
	leads := s.Leads()
	if !leads {
		lookForPositions(s, time.Now().Add(sweepTime))
	} else if err := s.sweepPortion(delivered); err != nil {
		return err
	}
	if err := s.sweepExhausted(exhausted); err != nil {
		return err
	}
	if !leads {
		return nil
	}
	tellIDs(s, rememberIDs(s, now))
	err := errors.Join(s.sweepReleased(delivered), sweepRemains(s, now))
	if err != nil || s.shared == nil {
		return err
	}
	delivered.cut = delivered.cut.Add(-s.limits.Load().KeepExhausted)
	return s.crew.sweepLeft(delivered)
}

// measure has the engine look how things are.
func (s *Spool) measure(held bool) error {
	if err := s.engine.Measure(held); err != nil {
		return s.fail(err)
	}
	return nil
}

// sweepPortion sweeps the log for a while, if it is time to.
func (s *Spool) sweepPortion(old age) (err error) {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	end := time.Now().Add(sweepTime)
	lookForPositions(s, end)
	for more := true; more && s.Err() == nil && !s.closed(); {
		bytes := int64(0)
		bytes, more, err = s.sweepLog(old)
		s.engine.Swept(bytes, s.swept.Load())
		if err != nil || time.Now().After(end) {
			return err
		}
	}
	return nil
}

func lookForPositions(s *Spool, end time.Time) {
	for _, l := range s.Lanes() {
		l.lookForPosition(end)
	}
}

// lookForPosition has the lane pass what is settled, because the sweep waits where it stands. A
// position moves with what is fetched; that of a lane from which nobody fetches, because its target
// is paused, would stay before what was purged. One that stands at what it owes does not look.
func (l *Lane) lookForPosition(end time.Time) {
	for more := l.Counts().Fresh > 0 && l.Ours(); more; {
		_, more = l.lookForOldest()
		more = more && time.Now().Before(end) && !l.s.closed()
	}
}

// settledTo is the sequence up to which every lane's stored record counts the log as settled.
func (s *Spool) settledTo() uint64 {
	to := s.storedHead.Load()
	if s.shared != nil {
		to = s.head.Load()
	}
	for _, l := range s.Lanes() {
		l.mu.Lock()
		switch {
		case !l.storedIdle:
			to = min(to, l.storedPosition)
		case s.shared != nil: // nobody says for all lanes up to where they were fed
			to = min(to, max(l.storedPosition, l.storedSeq))
		}
		l.mu.Unlock()
	}
	return to
}

// sweepLog removes one portion from the head of the log; more: it was not the last.
func (s *Spool) sweepLog(old age) (bytes int64, more bool, err error) {
	s.unheld.begin() // even if nothing is to be swept: the list must not grow
	from, to := s.swept.Load()+1, s.settledTo()
	if from > to {
		return 0, false, nil
	}
	r := &removal{swept: from - 1, replays: s.replays.Load()}
	p := portion{removal: r}
	if more, err = p.scan(s.engine, from, to, old); err != nil {
		return 0, false, fmt.Errorf("cannot scan the log for the sweep: %w", err)
	}
	if r.swept < from {
		return 0, false, nil
	}
	if r.seqs, err = s.leaveHeld(r.seqs, from, r.swept); err != nil {
		return 0, false, err
	}
	more = p.bound() || more
	if err := s.order(r); err != nil {
		return 0, false, err
	}
	return p.bytes, more, nil
}

// leaveHeld takes out the events that an exception or exhausted delivery needs. Lanes without any
// cost nothing, so a healthy delivery never pays for the sweep.
func (s *Spool) leaveHeld(seqs []uint64, from, to uint64) ([]uint64, error) {
	held := make(map[uint64]struct{})
	for _, l := range s.Lanes() {
		c := l.Counts()
		if c.Pending == 0 && c.Exhausted+c.Expired == 0 && l.Ours() {
			continue
		}
		for _, prefix := range []byte{record.PrefixException, record.PrefixExhausted} {
			err := s.scan(record.LaneKey(prefix, l.id), record.LaneSeqKey(prefix, l.id, from),
				func(key, _ []byte) (bool, error) {
					seq := record.KeySeq(key)
					held[seq] = struct{}{}
					return seq <= to, nil
				})
			if err != nil {
				return nil, fmt.Errorf("cannot scan target %q for the sweep: %w", l.name, err)
			}
		}
	}
	out := seqs[:0]
	for _, seq := range seqs {
		if _, need := held[seq]; !need {
			out = append(out, seq)
		}
	}
	return out, nil
}

// released notes that a delivery of an event the sweep has passed is settled: the event may go
// KeepDelivered after at.
func (g *group) released(seq uint64, at time.Time) {
	if seq > g.s.swept.Load() {
		g.s.unheld.note(seq, at)
		return
	}
	g.put(record.ReleasedKey(at, seq), nil, 0)
}

// unheld are deliveries settled between the look of a sweep, which found that they hold their
// events, and the removal that passes those events: nobody else would ever look at them again.
type unheld struct {
	mu   sync.Mutex // guards below
	list []unheldEvent
}

type unheldEvent struct {
	seq uint64
	at  time.Time
}

func (u *unheld) begin() {
	u.mu.Lock()
	u.list = u.list[:0]
	u.mu.Unlock()
}

// note is called for every delivery that is settled after it failed; the list is emptied at every
// look of the sweep, once a second.
func (u *unheld) note(seq uint64, at time.Time) {
	u.mu.Lock()
	u.list = append(u.list, unheldEvent{seq, at})
	u.mu.Unlock()
}

// upTo are those that a removal passes and leaves.
func (u *unheld) upTo(r *removal) (late []unheldEvent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range u.list {
		if _, goes := slices.BinarySearch(r.seqs, e.seq); e.seq <= r.swept && !goes {
			late = append(late, e)
		}
	}
	return late
}

// releasedEvent is one that the sweep has passed, and that was released since.
type releasedEvent struct {
	seq uint64
	key []byte // of its record
}

// sweepReleased removes the events that were released long enough ago and that nobody else needs.
func (s *Spool) sweepReleased(old age) error {
	var all []releasedEvent
	take := func(key, _ []byte) (bool, error) {
		if !old.passed(time.Unix(0, record.KeyInstant(key))) || len(all) >= sweepMax {
			return false, nil
		}
		all = append(all, releasedEvent{record.KeySeq(key), slices.Clone(key)})
		return true, nil
	}
	err := s.scan([]byte{record.PrefixReleased}, nil, take)
	if err == nil { // and those that were while the clock was ahead
		ahead := record.ReleasedKey(old.now.Add(wallclock.Slack), 0)
		err = s.scan([]byte{record.PrefixReleased}, ahead, take)
	}
	if err != nil || len(all) == 0 {
		return err
	}
	slices.SortFunc(all, func(a, b releasedEvent) int { return cmp.Compare(a.seq, b.seq) })
	for len(all) > 0 && err == nil && s.Err() == nil && !s.closed() {
		all, err = removeReleased(s, all)
	}
	return err
}

// removeReleased removes the first of some events, as many as one removal takes, and returns the
// others.
func removeReleased(s *Spool, all []releasedEvent) (rest []releasedEvent, err error) {
	r := &removal{swept: s.swept.Load(), replays: s.replays.Load()}
	events := look.NewReader(s.engine)
	defer events.Close()
	together := uint64(0)
	for i, e := range all {
		if e.seq > together {
			last, bytes := events.Together(e.seq)
			if r.rewritten > 0 && r.rewritten+bytes > sweepRewritten {
				rest = all[i:]
				break
			}
			together, r.rewritten = last, r.rewritten+bytes
		}
		r.released = append(r.released, e.key)
		if !s.needed(events, e.seq) {
			r.seqs = append(r.seqs, e.seq)
		}
	}
	return rest, s.order(r)
}

// needed reports whether an exception or exhausted delivery needs an event.
func (s *Spool) needed(events *look.Reader, seq uint64) bool {
	e, err := events.Event(seq)
	if err != nil {
		return false
	}
	need := false
	e.LaneIDs(func(lane record.LaneID) {
		_, noException := s.get(record.LaneSeqKey(record.PrefixException, lane, seq))
		_, noExhausted := s.get(record.LaneSeqKey(record.PrefixExhausted, lane, seq))
		need = need || noException == nil || noExhausted == nil
	})
	return need
}

func (g *group) dropExhausted(r record.Ref) {
	key, l := record.LaneSeqKey(record.PrefixExhausted, r.Lane, r.Seq), g.guards.lane(r.Lane)
	if l == nil || !g.has(key) {
		return
	}
	expired := isExpired(g, key)
	g.delete(key)
	l.mu.Lock()
	l.keptLocked(expired, -1)
	l.mu.Unlock()
	g.forced[l] = struct{}{}
	// It was kept for its time already: no more of it.
	g.released(r.Seq, time.Unix(0, 0))
}

func (r *removal) cost() cost {
	n := costOf(0).with(len(r.seqs), 40)
	n.add(0, r.rewritten)
	return n
}

func (*removal) manner() manner { return comesAgain | readsOthers }

// plan deletes events. A replay that came between the look and now may need one of them, so the
// look is done again then.
func (r *removal) plan(g *group) error {
	if r.replays != g.s.replays.Load() || g.s.shared != nil && r.swept > max(g.s.settledTo(),
		g.s.swept.Load()) {
		return nil
	}
	for _, seq := range r.seqs {
		g.delete(record.LogKey(seq))
	}
	for _, key := range r.released {
		g.delete(key)
	}
	g.dropMarks(r.seqs)
	if g.s.shared != nil {
		g.s.crew.planRemoval(g, r)
		return nil
	}
	if r.swept > g.s.swept.Load() {
		g.s.swept.Store(r.swept)
		for _, late := range g.s.unheld.upTo(r) {
			g.put(record.ReleasedKey(late.at, late.seq), nil, 0)
		}
		g.putCheckpoint(g.s.checkpointed)
	}
	return nil
}
