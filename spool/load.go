package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

// load reads what a start needs: O(lanes) plus the log since the last checkpoint.
func (s *Spool) load() error {
	err := s.through("open highwater", func() (err error) {
		s.hw, err = highwater.Open(s.dir, s.through)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.loadFormat(); err != nil {
		return err
	}
	if err := s.loadRepaired(); err != nil {
		return err
	}
	head, err := s.loadCheckpoint()
	if err != nil {
		return err
	}
	if err := s.loadLanes(); err != nil {
		return err
	}
	if s.shared != nil {
		return s.crew.load(head)
	}
	if err := s.loadTail(head); err != nil {
		return err
	}
	loadClock(s)
	s.storedHead.Store(head)
	s.checkpointed = head
	s.fed = s.head.Load()
	s.nextSeq = s.engine.Next(s.fed)
	for _, l := range s.lanes {
		if err := l.settleStart(s.fed); err != nil {
			return err
		}
	}
	return s.countQuarantined()
}

// loadFormat reads the format and the spool's id, or writes them into a new spool.
func (s *Spool) loadFormat() error {
	value, err := s.get(record.MetaKey(record.MetaFormat))
	if errors.Is(err, engine.ErrNotFound) {
		if err := s.checkFirstRecord(); err != nil {
			return err
		}
		return s.initialize()
	}
	if err != nil {
		return fmt.Errorf("cannot read its format: %w", err)
	}
	s.format, err = record.DecodeFormat(value)
	if err == nil || errors.Is(err, record.ErrFormat) || errors.Is(err, record.ErrOldFormat) {
		return err
	}
	s.log.Error("cannot read the spool's first record; it is taken for gone", "error", err)
	if err := errors.Join(s.WantRecount(), s.checkFirstRecord()); err != nil {
		return err
	}
	s.format = record.Format{}
	return s.initialize()
}

// checkFirstRecord judges a spool without its format. A new one has nothing; one that was repaired
// goes on with a new id, if there is anything left to go on with.
func (s *Spool) checkFirstRecord() error {
	if s.hw.Last() == 0 && !s.Recounting() || s.AcceptLoss {
		return nil
	}
	left := false
	err := s.scan([]byte{record.PrefixName}, nil, func([]byte, []byte) (bool, error) {
		left = true
		return false, nil
	})
	if err == nil && (!left || !s.Recounting()) {
		err = fmt.Errorf("%w: events up to %d were answered, but the spool's first record is gone",
			ErrLoss, s.hw.Last())
	}
	if err == nil {
		s.log.Error("the spool's first record is gone and is made again: events whose ids were made " +
			"here are not found by them any more")
	}
	return err
}

// update is one transaction of a start, before the committer runs.
func (s *Spool) update(write func(engine.Txn) error) error {
	for {
		txn := s.engine.Begin()
		err := write(txn)
		if err == nil {
			err = s.through("commit", txn.Commit)
		}
		txn.Discard()
		if !errors.Is(err, engine.ErrConflict) {
			return err
		}
	}
}

func (s *Spool) initialize() error {
	s.format.Version = record.Version
	if _, err := rand.Read(s.format.ID[:]); err != nil {
		return fmt.Errorf("cannot make an id: %w", err)
	}
	s.log.Info("a new spool is made; nothing is in it", "dir", s.dir)
	if s.shared != nil {
		return s.crew.initialize()
	}
	return s.update(func(txn engine.Txn) error {
		return txn.Put(record.MetaKey(record.MetaFormat), s.format.Encode(), 0)
	})
}

// loadIDPass reads how far ids are remembered again. Without, a pass begins at the first event.
func loadIDPass(s *Spool) {
	value, err := s.get(record.MetaKey(record.MetaIDPass))
	if errors.Is(err, engine.ErrNotFound) {
		return
	}
	var p record.IDPass
	if err == nil {
		p, err = record.DecodeIDPass(value)
	}
	if err != nil {
		s.log.Error("ids are remembered again from the first event on", "error", err)
		return
	}
	s.idPass.Load(p)
}

// loadClock reads when the clock was noticed to have gone back. The newest event may have been
// accepted while it was ahead, and the relay stopped before it was right.
func loadClock(s *Spool) {
	var back, newest time.Time
	value, err := s.get(record.MetaKey(record.MetaClock))
	if err == nil {
		back, err = record.DecodeInstant(value)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		s.log.Error("cannot read when the clock went back; it counts as noticed now", "error", err)
	}
	if _, e, err := s.newest(); err == nil && e != nil {
		newest = e.At
	}
	s.clock.Begin(back, newest, s.now())
}

// loadCheckpoint reads the last tick and the point from which the log is counted again.
func (s *Spool) loadCheckpoint() (uint64, error) {
	s.tick.Store(&record.Tick{})
	s.tick.Store(&record.Tick{})
	value, err := s.get(record.MetaKey(record.MetaTick))
	if err == nil {
		var t record.Tick
		t, err = record.DecodeTick(value)
		s.tick.Store(&t)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return 0, fmt.Errorf("cannot read the last tick: %w", err)
	}
	loadIDPass(s)
	value, err = s.get(record.MetaKey(record.MetaCheckpoint))
	if errors.Is(err, engine.ErrNotFound) {
		return 0, nil
	}
	var c record.Checkpoint
	if err == nil {
		c, err = record.DecodeCheckpoint(value)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the last checkpoint: %w", err)
	}
	s.swept.Store(c.Swept)
	s.replays.Store(c.Replays)
	return c.Head, nil
}

// loadLanes makes the lanes of the name table and reads their records and standings.
func (s *Spool) loadLanes() error {
	err := s.scan([]byte{record.PrefixName}, nil, func(key, value []byte) (bool, error) {
		name, err := record.DecodeName(value)
		switch {
		case err != nil: // recount has seen it: nothing is owed to this lane
			s.log.Error("cannot read the name of a target to which nothing is owed", "error", err)
		case name != "":
			if _, err := s.addLane(record.KeyLane(key), name); err != nil {
				return false, err
			}
		default:
			s.forgotten[record.KeyLane(key)] = false
			s.lastLane = max(s.lastLane, record.KeyLane(key))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, l := range s.lanes {
		if err := l.load(); err != nil {
			return fmt.Errorf("cannot read the lane of target %q: %w", l.name, err)
		}
	}
	return nil
}

func (l *Lane) load() error {
	look := l.s.engine.Look()
	l.marks.load(look, l.id)
	look.Close()
	l.loadRecent()
	value, err := l.s.get(record.LaneKey(record.PrefixLane, l.id))
	if err == nil {
		r, err := record.DecodeLane(value)
		if err != nil {
			return err
		}
		l.restore(r)
	} else if !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	value, err = l.s.get(record.LaneKey(record.PrefixStanding, l.id))
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err == nil {
		l.standing, err = record.DecodeStanding(value)
	}
	return err
}

func (l *Lane) restore(r *record.Lane) {
	l.laneCounts = laneCounts{owed: r.Owed, passed: r.Passed, exceptions: r.Exceptions,
		exhausted: r.Exhausted, delivered: r.Delivered, quarantined: r.Quarantined, purged: r.Purged,
		lastSuccess: r.LastSuccess, lastFailure: r.LastFailure, lastError: r.LastError,
		expired: min(r.Expired, r.Exhausted)}
	l.way.next = r.Position + 1
	l.owedSeq, l.receipts = r.OwedSeq, receipt.Tailed(r.Receipts, l.s.shared != nil)
	for _, seq := range r.Above {
		l.way.skipOver(seq)
	}
	l.storedPosition, l.storedIdle, l.storedSeq = r.Position, r.Owed == r.Passed, r.OwedSeq
}

// loadTail removes an unfinished batch from the log's end, then counts the log after the
// checkpoint: what each lane owes, and that no sequence is missing.
func (s *Spool) loadTail(checkpoint uint64) error {
	last, err := s.lastRecord(checkpoint)
	if err != nil {
		return err
	}
	s.head.Store(last)
	want := checkpoint + 1
	s.log.Info("the spool is open", "newest", last, "events_counted", last-checkpoint,
		"targets", len(s.lanes))
	look := s.engine.Look()
	defer look.Close()
	return engine.Scan(look, []byte{record.PrefixLog}, record.LogKey(want),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			if seq != want && look.Dense() {
				s.log.Error("events are missing from the log", "from", want, "to", seq-1)
			}
			want = seq + 1
			e, err := record.DecodeEvent(append([]byte(nil), value...), seq)
			if err != nil {
				s.log.Error("cannot read an event; it will be set aside", "sequence", seq, "error", err)
				return true, nil
			}
			e.LaneIDs(func(id record.LaneID) {
				if l := s.LaneByID(id); l != nil && seq > l.owedSeq {
					l.owed++
					// The next checkpoint moves the point from which the log is counted, so it must
					// write this sum as well.
					l.markDirtyLocked()
				}
			})
			return true, nil
		})
}

// lastRecord finds the newest event. The records of a batch say where it ends; if the newest one
// promises more, the batch was never answered, and its records go, newest first, so that a crash
// on the way leaves the same kind of log.
func (s *Spool) lastRecord(checkpoint uint64) (uint64, error) {
	for {
		seq, e, err := s.newest()
		if err != nil || seq <= checkpoint {
			return max(seq, checkpoint), err
		}
		if e == nil || e.BatchEnd <= max(seq, s.hw.Last()) || s.shared != nil {
			return seq, nil // or it was answered, and what is missing of it is a loss
		}
		s.log.Warn("removing an event of a batch that was cut off before its answer",
			"sequence", seq, "batch ends", e.BatchEnd)
		if err := s.removeUnanswered(e, checkpoint); err != nil {
			return 0, fmt.Errorf("cannot remove an unfinished batch: %w", err)
		}
	}
}

// unansweredMax bounds the events of an unfinished batch that are removed in one transaction.
const unansweredMax = 1000

// removeUnanswered removes the newest event, and those of its batch before it, as many as one
// transaction takes.
func (s *Spool) removeUnanswered(newest *record.Event, checkpoint uint64) error {
	look := s.engine.Look()
	defer look.Close()
	at := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: true})
	defer at.Close()
	return s.update(func(txn engine.Txn) error {
		at.Seek(record.LogKey(newest.Seq))
		for n := 0; n < unansweredMax && at.Valid(); n++ {
			seq := record.KeySeq(at.Key())
			value, err := engine.Copy(at)
			if err != nil {
				return err
			}
			e, err := record.DecodeEvent(value, seq)
			if err != nil || seq <= checkpoint || e.BatchEnd != newest.BatchEnd {
				return nil // a start looks at what is the newest then
			}
			if err := removeEvent(txn, e); err != nil {
				return err
			}
			at.Next()
		}
		return nil
	})
}

// removeEvent removes an event that was not answered, and what is remembered of its id.
func removeEvent(txn engine.Txn, e *record.Event) error {
	if e.Given {
		value, err := txn.Get(record.IDKey(e.ID()))
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return err
		}
		if r, derr := record.DecodeID(value); err == nil && derr == nil && r.Seq == e.Seq {
			if err := txn.Delete(record.IDKey(e.ID())); err != nil {
				return err
			}
		}
	}
	return txn.Delete(record.LogKey(e.Seq))
}

// newest is the last record of the log; the event is nil if it cannot be read.
func (s *Spool) newest() (uint64, *record.Event, error) {
	look := s.engine.Look()
	defer look.Close()
	key, value, err := engine.Last(look, []byte{record.PrefixLog}, []byte{record.PrefixLog + 1})
	if errors.Is(err, engine.ErrNotFound) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("cannot read the newest event: %w", err)
	}
	seq := record.KeySeq(key)
	e, err := record.DecodeEvent(value, seq)
	if err != nil {
		s.log.Error("cannot read the newest event", "error", err)
	}
	return seq, e, nil
}

// settleStart brings a lane from its record to where it goes on. Exceptions above the position that
// the record does not know were written in a chunk before it; they are counted now.
func (l *Lane) settleStart(head uint64) error {
	err := l.s.scan(record.LaneKey(record.PrefixException, l.id),
		record.LaneSeqKey(record.PrefixException, l.id, l.way.next), func(key, _ []byte) (bool, error) {
			seq := record.KeySeq(key)
			if _, known := l.way.skip[seq]; !known {
				l.way.skipOver(seq)
				l.passed++
				l.exceptions++
				l.markDirtyLocked()
			}
			return true, nil
		})
	if err != nil {
		return fmt.Errorf("cannot read exceptions of target %q: %w", l.name, err)
	}
	if l.owed <= l.passed {
		l.way.next, l.way.skip = head+1, nil
		return nil
	}
	// The position that former versions wrote of a lane may be from before it was idle for a while.
	l.way.next = max(l.way.next, l.s.swept.Load()+1)
	l.way.behind = true
	return nil
}

func (s *Spool) countQuarantined() error {
	n := int64(0)
	err := s.scan([]byte{record.PrefixUnread}, nil, func([]byte, []byte) (bool, error) {
		n++
		return true, nil
	})
	s.quarantined.Store(n)
	return err
}

// putCheckpoint writes the point from which a start counts the log, and what is known of the clock.
func (g *group) putCheckpoint(head uint64) {
	c := record.Checkpoint{Head: head, Swept: g.s.swept.Load(), Replays: g.s.replays.Load()}
	if g.s.shared == nil {
		c.Replays = 0
	}
	g.put(record.MetaKey(record.MetaCheckpoint), c.Encode(), 0)
	if g.s.shared != nil {
		return // each relay judges by what it has seen itself
	}
	if back, changed := g.s.clock.Store(); changed {
		g.put(record.MetaKey(record.MetaClock), record.EncodeInstant(back), 0)
	}
}
