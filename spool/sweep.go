package spool

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// sweepPause lies between two looks; sweepMax bounds the events of one removal, so that it never
	// starves the committer.
	sweepPause = time.Second
	sweepTime  = 500 * time.Millisecond // the most that one look spends on the log
	sweepMax   = 2000
	sweepScan  = 20_000
	// Above sweepWholeBytes on disk the log is swept when half of its events may go. Deletions
	// carry old keys and new events carry new ones, and a compaction puts both into one table, which
	// overlaps all that is kept in between: going one level down it writes all of that again. In five
	// minutes of saturation with a window of 1.5 GiB, swept as it came, that were 7.8 bytes written
	// per payload byte instead of 6.3, and 12,100 instead of 15,800 events/s. A backlog is let drain
	// to its end before: 5,000,000 events, swept at a half and at a quarter, stood nearly still for
	// 20 s and 15 s, and 2,000,000, swept at an eighth, drained at 2.5 to 3.5 times the live rate with
	// 510 to 1,500 MiB resident, instead of 3.2 to 3.7 with 290 to 780. While space is scarce a
	// quarter is enough.
	sweepWholeBytes = 1 << 30
	sweepShare      = 2
	sweepDrained    = 64
	sweepShareShort = 4
	// deletionsPerTable are in a table of level 0 that has nothing but them and the lanes' records
	// (400,000, measured), with something to spare.
	deletionsPerTable = 250_000
)

// removal deletes events that nobody needs any more.
type removal struct {
	seqs     []uint64
	released [][]byte // keys of prefixReleased that are done with
	swept    uint64
	replays  uint64 // as counted when the list was made
}

// keepLoop is the keeper: once a second it notes the high-water mark, sees that the spool's files
// are in their place, measures the disk and sweeps.
func (s *Spool) keepLoop() {
	ticker := time.NewTicker(sweepPause)
	defer ticker.Stop()
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
		s.keep(now)
	}
}

// keep is one look of the keeper.
func (s *Spool) keep(clock time.Time) {
	if err := s.hw.Write(s.head.Load()); err != nil {
		_ = s.fail(err)
		return
	}
	s.measureDisk()
	if s.Err() != nil {
		return
	}
	s.trimBallast()
	if s.gate.closed() {
		return // sweeping writes
	}
	if err := s.clearForgotten(); err != nil && s.Err() == nil && !s.closed() &&
		!errors.Is(err, ErrFull) {
		s.log.Error("cannot clean up after a forgotten target; it is tried again", "error", err)
	}
	if err := s.Sweep(s.now()); err != nil && s.Err() == nil && !errors.Is(err, ErrFull) {
		s.log.Error("cannot sweep the spool; it is tried again", "error", err)
	}
	if err := s.reclaim(clock); err != nil && s.Err() == nil && !s.closed() &&
		!errors.Is(err, ErrFull) {
		s.log.Error("cannot give space back; it is tried again", "error", err)
	}
}

// Sweep removes what nobody needs any more as of now: delivered events after KeepDelivered,
// exhausted deliveries after KeepExhausted. When space is short, delivered events go at once.
func (s *Spool) Sweep(now time.Time) error {
	lim := s.limits.Load()
	cut := now.Add(-lim.KeepDelivered)
	if s.disk.short() {
		cut = now
	}
	if err := s.sweepPortion(cut); err != nil {
		return err
	}
	if s.tight() {
		return nil // what follows deletes here and there; see rewrittenBytes
	}
	if err := s.sweepExhausted(now.Add(-lim.KeepExhausted)); err != nil {
		return err
	}
	return s.sweepReleased(cut)
}

// sweepPortion sweeps the log for a while, if it is time to.
func (s *Spool) sweepPortion(cut time.Time) (err error) {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	if !s.sweeping {
		if s.sweeping, err = s.sweepDue(cut); err != nil {
			return fmt.Errorf("cannot look what may be swept: %w", err)
		}
	}
	for end := time.Now().Add(sweepTime); s.sweeping && s.Err() == nil && !s.closed(); {
		if s.sweeping, err = s.sweepLog(cut, s.sweepTo); err != nil || time.Now().After(end) {
			return err
		}
		s.stir() // it has mapped what it looked at
	}
	return nil
}

// sweepDue decides whether enough of the log may go, and whether the disk has room for what the
// engine makes of that.
func (s *Spool) sweepDue(cut time.Time) (bool, error) {
	s.sweepTo = math.MaxUint64
	tight := s.tight()
	if s.disk.bytes.Load() < s.sweepWhole && !tight {
		return true, nil
	}
	s.unheld.begin() // even if nothing is to be swept: the list must not grow
	share := uint64(sweepShare)
	swept, to, head := s.swept.Load(), s.settledTo(), s.head.Load()
	switch ample := s.disk.ample.Load(); {
	case !ample:
		share = sweepShareShort
	case head-to > (head-swept)/sweepDrained:
		return false, nil
	}
	part := swept + (head-swept)/share
	due, err := s.mayGo(part, to, cut)
	if err != nil || !due || !tight {
		return due, err
	}
	if all, err := s.mayGo(to, to, cut); err != nil || !all {
		to = part
	}
	return s.roomToSweep(swept, to)
}

// tight: the disk has no room to write all of the deep levels again.
func (s *Spool) tight() bool {
	deep := s.disk.deep.Load()
	return deep > 0 && s.disk.free.Load()-s.engineNeeds() < deep
}

// roomToSweep decides how far the log may be swept when the disk is tight: so far that what is kept
// fits, and at once, before the engine compacts by itself.
func (s *Spool) roomToSweep(swept, to uint64) (bool, error) {
	tables := s.tree.LevelZeroTables() - 2 // one is being filled, and one begun
	to = min(to, swept+uint64(tables-1)*deletionsPerTable)
	top, topBytes := s.tree.LevelZero()
	kept := s.tree.RewrittenBytes(to) + s.heldBytes(to-swept)
	// It goes through the base level, whose own part of the work is no more than what it holds.
	need := min(s.engineNeeds()+kept, ondisk.PreflightBytes+topBytes+2*kept)
	if s.disk.free.Load() < need || s.compacting() {
		return false, nil
	}
	if top+int(to-swept)/deletionsPerTable >= tables {
		s.reclaiming.Store(true)
		defer s.reclaiming.Store(false)
		s.stir()
		return false, s.flatten() // what was above lies in the way now, so it is judged again
	}
	s.sweepTo = to
	return true, nil
}

// heldBytes is what is left of so many swept events because failed deliveries need it, if those are
// as large as the others.
func (s *Spool) heldBytes(swept uint64) int64 {
	held := uint64(0)
	for _, l := range s.Lanes() {
		l.mu.Lock()
		held += l.exceptions + l.exhausted
		l.mu.Unlock()
	}
	each := s.disk.bytes.Load() / int64(max(s.head.Load()-s.swept.Load(), 1))
	return int64(min(held, swept)) * each
}

// sweepsTight reports that a portion is being swept whose end was chosen for the room on the disk:
// a compaction in the middle of it would need more.
func (s *Spool) sweepsTight() bool {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	return s.sweeping && s.sweepTo != math.MaxUint64
}

// mayGo reports whether the first event from a sequence on is settled and old enough.
func (s *Spool) mayGo(seq, settled uint64, cut time.Time) (may bool, err error) {
	err = s.scan([]byte{record.PrefixLog}, record.LogKey(seq), func(key, value []byte) (bool, error) {
		may = record.KeySeq(key) <= settled && !record.AcceptedAt(value).After(cut)
		return false, nil
	})
	return may, err
}

// settledTo is the sequence up to which every lane's stored record counts the log as settled.
func (s *Spool) settledTo() uint64 {
	to := s.storedHead.Load()
	for _, l := range s.Lanes() {
		l.mu.Lock()
		if !l.storedIdle {
			to = min(to, l.storedPosition)
		}
		l.mu.Unlock()
	}
	return to
}

// sweepLog removes one portion from the head of the log, up to a sequence; true if there is more.
func (s *Spool) sweepLog(cut time.Time, last uint64) (bool, error) {
	s.unheld.begin() // even if nothing is to be swept: the list must not grow
	from, to := s.swept.Load()+1, min(s.settledTo(), last)
	if from > to {
		return false, nil
	}
	r := &removal{swept: from - 1, replays: s.replays.Load()}
	scanned, bytes := 0, int64(0)
	more := false
	err := s.scan([]byte{record.PrefixLog}, record.LogKey(from),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			more = len(r.seqs) >= sweepMax || scanned >= sweepScan
			if seq > to || more || record.AcceptedAt(value).After(cut) {
				return false, nil
			}
			scanned++
			r.seqs = append(r.seqs, seq)
			r.swept = seq
			bytes += int64(len(value))
			return true, nil
		})
	if err != nil {
		return false, fmt.Errorf("cannot scan the log for the sweep: %w", err)
	}
	if r.swept < from {
		return false, nil
	}
	if r.seqs, err = s.leaveHeld(r.seqs, from, r.swept); err != nil {
		return false, err
	}
	if err := s.Apply(Change{remove: r}); err != nil {
		return false, err
	}
	// What is held is counted as well; it will be released one day, uncounted.
	s.reclaimer.swept.Add(bytes)
	return more, nil
}

// leaveHeld takes out the events that an exception or exhausted delivery needs. Lanes without any
// cost nothing, so a healthy delivery never pays for the sweep.
func (s *Spool) leaveHeld(seqs []uint64, from, to uint64) ([]uint64, error) {
	held := make(map[uint64]struct{})
	for _, l := range s.Lanes() {
		c := l.Counts()
		if c.Pending == 0 && c.Exhausted == 0 {
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

// sweepReleased removes the events released before cut that nobody else needs.
func (s *Spool) sweepReleased(cut time.Time) error {
	r := &removal{swept: s.swept.Load(), replays: s.replays.Load()}
	err := s.scan([]byte{record.PrefixReleased}, nil, func(key, _ []byte) (bool, error) {
		if record.KeyInstant(key) > cut.UnixNano() || len(r.seqs) >= sweepMax {
			return false, nil
		}
		r.released = append(r.released, append([]byte(nil), key...))
		r.seqs = append(r.seqs, record.KeySeq(key))
		return true, nil
	})
	if err != nil || len(r.seqs) == 0 {
		return err
	}
	free := r.seqs[:0]
	for _, seq := range r.seqs {
		if !s.needed(seq) {
			free = append(free, seq)
		}
	}
	r.seqs = free
	return s.Apply(Change{remove: r})
}

// needed reports whether an exception or exhausted delivery needs an event.
func (s *Spool) needed(seq uint64) bool {
	e, err := s.Event(seq)
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

func (s *Spool) sweepExhausted(cut time.Time) error {
	for _, l := range s.Lanes() {
		if l.Counts().Exhausted == 0 {
			continue
		}
		var c Change
		err := s.scan(record.LaneKey(record.PrefixExhausted, l.id), nil,
			func(key, value []byte) (bool, error) {
				x, err := record.DecodeException(value)
				if err != nil || !x.LastAt.After(cut) {
					c.expired = append(c.expired, record.Ref{Lane: l.id, Seq: record.KeySeq(key)})
				}
				// The first one to stay ends the look. The oldest events come first; one that was
				// exhausted late, after a replay, keeps those after it until it goes.
				return err == nil && !x.LastAt.After(cut) && len(c.expired) < sweepMax, nil
			})
		if err != nil {
			return fmt.Errorf("cannot scan exhausted deliveries of target %q: %w", l.name, err)
		}
		if len(c.expired) > 0 {
			if err := s.Apply(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *group) dropExhausted(r record.Ref) {
	key, l := record.LaneSeqKey(record.PrefixExhausted, r.Lane, r.Seq), g.s.LaneByID(r.Lane)
	if l == nil || !g.has(key) {
		return
	}
	g.delete(key)
	l.mu.Lock()
	l.exhausted -= min(l.exhausted, 1)
	l.mu.Unlock()
	g.forced[l] = struct{}{}
	// It was kept for its time already: no more of it.
	g.released(r.Seq, time.Unix(0, 0))
}

// planRemoval deletes events. A replay that came between the look and now may need one of them, so
// the look is done again then.
func (g *group) planRemoval(r *removal) {
	if r.replays != g.s.replays.Load() {
		return
	}
	for _, seq := range r.seqs {
		g.delete(record.LogKey(seq))
	}
	for _, key := range r.released {
		g.delete(key)
	}
	g.dropMarks(r.seqs)
	if r.swept > g.s.swept.Load() {
		g.s.swept.Store(r.swept)
		for _, late := range g.s.unheld.upTo(r) {
			g.put(record.ReleasedKey(late.at, late.seq), nil, 0)
		}
		g.putCheckpoint(g.s.checkpointed)
	}
}
