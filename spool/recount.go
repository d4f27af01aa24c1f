package spool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// loadRepaired compares what was found with what had been answered, and counts the spool again
// after a repair.
func (s *Spool) loadRepaired() error {
	if err := s.mendSmall(); err != nil {
		return err
	}
	checkpoint, err := s.loadCheckpoint()
	if err != nil {
		return err
	}
	head, err := s.lastRecord(checkpoint)
	if err != nil {
		return err
	}
	if s.hw.Damaged() {
		s.log.Error("cannot read the high-water mark; it is written again, and a loss of the newest "+
			"events would go unnoticed at this start", "file", highwater.Name)
	}
	if lost := s.hw.Last() - min(head, s.hw.Last()); lost > 0 {
		// A log with a torn end explains a loss, and what is missing is known one by one. A log that
		// is gone may be elsewhere.
		if (s.Logs == 0 || s.shared != nil) && !s.Recounting() && !s.AcceptLoss {
			return fmt.Errorf("%w: event %d was answered, but the newest on disk is %d (%d missing)",
				ErrLoss, s.hw.Last(), head, lost)
		}
		s.log.Error("the spool has lost events that it had acknowledged; they count as set aside, and "+
			"it goes on without them", "missing", lost, "newest", head, "answered", s.hw.Last())
		if s.shared != nil {
			return nil // each lane counts what is there
		}
		if err := s.WantRecount(); err != nil {
			return err
		}
	}
	if !s.Recounting() {
		return nil
	}
	if err := s.recount(max(head, s.hw.Last())); err != nil {
		return fmt.Errorf("cannot count the spool again: %w", err)
	}
	return s.through("repair", func() error {
		return errors.Join(volume.Remove(filepath.Join(s.dir, ondisk.RecountName)),
			volume.SyncDir(s.dir))
	})
}

// recount makes every count fit what is there, after files were repaired: records may be missing
// anywhere, and older versions of some may have come back. It reads the whole log, and may be cut
// off and done again. What it decides by: a repeated delivery is better than none, and what is
// missing is counted.
type recount struct {
	*care.Snapshot
	s     *Spool
	lanes map[*care.Lane]*recountedLane
	// want is the next sequence that the log should have.
	want uint64
	// prefix: everything so far is missing or held, as a sweep leaves it.
	prefix   bool
	settled  uint64 // every lane with something on its way has passed this
	missing  []run
	unnamed  map[record.LaneID]bool
	newSwept uint64
}

// recountedLane is what a lane has, by its records.
type recountedLane struct {
	exceptions, above uint64 // of them above the position, and unknown to its record
	exhausted         uint64 // and expired, which are counted among them
	expired           uint64
	settled           []uint64 // exhausted above the position, and unknown to its record
	fresh             uint64
	tail              uint64 // owed since its record was written
	lost              uint64 // missing above the position
}

func (s *Spool) recount(head uint64) error {
	s.log.Warn("the spool was repaired; everything in it is counted again", "newest", head)
	if err := s.deleteAgain(); err != nil {
		return err
	}
	look := s.engine.Look()
	defer look.Close()
	v, err := care.OpenSnapshot(look)
	if err != nil {
		return err
	}
	defer v.Close()
	v.Head = head
	r := &recount{Snapshot: v, s: s, lanes: make(map[*care.Lane]*recountedLane), want: v.Swept + 1,
		prefix: true, unnamed: make(map[record.LaneID]bool), newSwept: v.Swept}
	if err := r.countLanes(); err != nil {
		return err
	}
	if err := r.countLog(); err != nil {
		return err
	}
	for _, fault := range v.Faults() {
		s.log.Warn("found while counting", "fault", fault)
	}
	if len(r.unnamed) > 0 {
		if err := r.nameLanes(); err != nil {
			return err
		}
		return s.recount(head) // with them
	}
	return r.store()
}

// countLanes counts what lies beside the log.
func (r *recount) countLanes() error {
	if len(r.Snapshot.Lanes) > 0 {
		r.settled = r.Head
	}
	for _, l := range r.Snapshot.Lanes {
		n := new(recountedLane)
		r.lanes[l] = n
		l.Record.Position = min(l.Record.Position, r.Head)
		r.settled = min(r.settled, r.settledBy(l))
		err := r.Scan(record.LaneKey(record.PrefixException, l.ID), nil,
			func(key, _ []byte) (bool, error) {
				n.exceptions++
				if !l.Passed(record.KeySeq(key)) {
					n.above++
				}
				return true, nil
			})
		if err != nil {
			return err
		}
		err = r.Scan(record.LaneKey(record.PrefixExhausted, l.ID), nil,
			func(key, value []byte) (bool, error) {
				n.exhausted++
				if x, err := record.DecodeException(value); err == nil && x.Expired {
					n.expired++
				}
				if seq := record.KeySeq(key); !l.Passed(seq) && len(n.settled) < windowMax {
					n.settled = append(n.settled, seq)
				}
				return true, nil
			})
		if err != nil {
			return err
		}
	}
	// A lane whose name is gone would not be seen.
	return r.Scan([]byte{record.PrefixLane}, nil, func(key, _ []byte) (bool, error) {
		if id := record.KeyLane(key); r.ByID[id] == nil && !r.Forgotten[id] {
			r.unnamed[id] = true
		}
		return true, nil
	})
}

// settledBy is the event up to which a lane is known to owe nothing that is not beside the log. An
// idle lane's record may be an old one: it says nothing new until the lane owes something, but
// every record was up to date when the checkpoint was written.
func (r *recount) settledBy(l *care.Lane) uint64 {
	value, err := r.Get(record.LaneKey(record.PrefixLane, l.ID))
	if err == nil {
		_, err = record.DecodeLane(value)
	}
	switch {
	case err != nil:
		return 0
	case l.Record.Owed > l.Record.Passed:
		return l.Record.Position
	}
	return max(l.Record.Position, l.Record.OwedSeq, r.Checkpoint)
}

// countLog counts what is on its way through the log, and finds what is missing from it.
func (r *recount) countLog() error {
	err := r.Walk(0, func(e *record.Event, owed []care.Owed) error {
		e.LaneIDs(func(id record.LaneID) {
			if l := r.ByID[id]; l == nil {
				if !r.Forgotten[id] {
					r.unnamed[id] = true
				}
			} else if e.Seq > l.Record.OwedSeq {
				r.lanes[l].tail++
			}
		})
		r.checkGap(e.Seq)
		held := false
		for _, d := range owed {
			held = held || d.State == StatePending || d.State == StateExhausted ||
				d.State == StateExpired
			if d.Fresh {
				r.lanes[d.Lane].fresh++
			}
		}
		r.prefix = r.prefix && held
		return nil
	})
	r.checkGap(r.Head + 1)
	return err
}

// checkGap looks at the sequences that are missing before one. What a sweep removed is missing for
// good reason: such events come first, each of them settled everywhere, and with every event among
// them that nothing holds. That is told from a loss here because the record that says how far the
// sweep came may be an old one.
func (r *recount) checkGap(seq uint64) {
	if !r.Dense() {
		return // what is missing may never have been
	}
	r.Gap(context.Background(), r.want, seq, func(uint64, bool) {
		r.prefix = false // it was set aside, or it cannot be read and is when it is its turn
	}, r.lose)
	r.want = max(r.want, seq+1)
}

// lossMax is how many events in a row can have been lost: more than 25 value logs hold. A longer
// run is none, but a sequence of which a bit has flipped.
const lossMax = 1 << 24

// lose counts a run of sequences of which there is nothing.
func (r *recount) lose(first, last uint64) {
	if r.prefix && first <= r.settled {
		r.newSwept = min(last, r.settled)
		first = r.newSwept + 1
	}
	if first > last {
		return
	}
	r.prefix = false
	if last-first >= lossMax {
		r.s.log.Error("the log has an event far beyond the one before it; nothing is set aside between",
			"first", first, "last", last)
		return
	}
	r.missing = append(r.missing, run{first, last})
	for _, l := range r.Snapshot.Lanes {
		if last > l.Record.Position {
			r.lanes[l].lost += last - max(first-1, l.Record.Position)
		}
	}
}

// run is a run of sequences, both ends included.
type run struct{ first, last uint64 }

// nameLanes refuses to go on when deliveries are owed to lanes whose names are gone: nobody would
// ever make them, and nobody would miss them. Told to, it gives those lanes names.
func (r *recount) nameLanes() error {
	if !r.s.AcceptLoss {
		return fmt.Errorf("%w: the names of %d targets that events are owed to", ErrLoss,
			len(r.unnamed))
	}
	return r.s.update(func(txn engine.Txn) error {
		var errs error
		for id := range r.unnamed {
			name := record.EncodeName(fmt.Sprintf("unnamed-%d", id))
			errs = errors.Join(errs, txn.Put(record.LaneKey(record.PrefixName, id), name, 0))
		}
		return errs
	})
}

// store writes what was counted. The records of lanes and the checkpoint come last, in one
// transaction.
func (r *recount) store() error {
	if err := r.setAside(); err != nil {
		return err
	}
	return r.s.update(func(txn engine.Txn) error {
		var errs error
		for _, l := range r.Snapshot.Lanes {
			rec := r.record(l)
			errs = errors.Join(errs, txn.Put(record.LaneKey(record.PrefixLane, l.ID), rec.Encode(), 0))
		}
		c := record.Checkpoint{Head: r.Head, Swept: r.newSwept}
		return errors.Join(errs, txn.Put(record.MetaKey(record.MetaCheckpoint), c.Encode(), 0))
	})
}

// setAside notes of each event that is missing that nobody need wait for it.
func (r *recount) setAside() error {
	n := uint64(0)
	for _, m := range r.missing {
		n += m.last - m.first + 1
	}
	if n == 0 {
		return nil
	}
	r.s.log.Error("events are missing from the log and are set aside", "events", n,
		"first", r.missing[0].first, "last", r.missing[len(r.missing)-1].last)
	_, most := r.s.groupMax()
	for rest := r.missing; len(rest) > 0; {
		var seqs []uint64
		for len(seqs) < most && len(rest) > 0 {
			seqs = append(seqs, rest[0].first)
			if rest[0].first++; rest[0].first > rest[0].last {
				rest = rest[1:]
			}
		}
		err := r.s.update(func(txn engine.Txn) error {
			var errs error
			for _, seq := range seqs {
				errs = errors.Join(errs, txn.Put(record.UnreadKey(seq), nil, 0))
			}
			return errs
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// record is a lane's record as a start wants it: it finds the exceptions above the position itself,
// and gives up as lost, once the lane has read the log, what is owed and was never found.
func (r *recount) record(l *care.Lane) *record.Lane {
	n, rec := r.lanes[l], l.Record
	known := n.exceptions - n.above
	if known < rec.Exceptions {
		lost := rec.Exceptions - known
		rec.Quarantined += lost
		r.s.log.Error("deliveries that had failed are missing; they count as set aside",
			"target", l.Name, "deliveries", lost)
	}
	rec.Exceptions, rec.Exhausted, rec.Expired = known, n.exhausted, n.expired
	rec.Above = mergeSorted(rec.Above, n.settled)
	rec.Passed += uint64(len(n.settled))
	found := rec.Passed + n.above + n.fresh
	rec.Owed = min(max(rec.Owed+n.tail, found), found+n.lost)
	rec.OwedSeq = r.Head
	return &rec
}

func mergeSorted(a, b []uint64) []uint64 {
	out := make([]uint64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// deleteAgain deletes again what is deleted while older versions of it are still there. A table
// that was listed again may hold the older version where the engine, merging others, drops the
// deletion first: an exception that was settled long ago would come back in the middle of a run. As
// the newest of all, the deletion outlives what it hides. The table of records says which kinds
// need it; events do not: what comes back of them is below every position.
func (s *Spool) deleteAgain() error {
	_, most := s.groupMax()
	for i := range record.Kinds() {
		if !record.Kinds()[i].Again {
			continue
		}
		keys, err := s.hidden(record.Kinds()[i].Prefix)
		for err == nil && len(keys) > 0 {
			n := min(len(keys), most)
			err = s.update(func(txn engine.Txn) error {
				var errs error
				for _, key := range keys[:n] {
					errs = errors.Join(errs, txn.Delete(key))
				}
				return errs
			})
			keys = keys[n:]
		}
		if err != nil {
			return fmt.Errorf("cannot delete again what had been deleted: %w", err)
		}
	}
	return nil
}

// hidden are the keys that are deleted and have an older version.
func (s *Spool) hidden(prefix byte) (keys [][]byte, err error) {
	look := s.engine.Look()
	defer look.Close()
	at := look.Walk(engine.Walk{Prefix: []byte{prefix}, Gone: true})
	defer at.Close()
	var last []byte
	deleted := false
	for at.Seek([]byte{prefix}); at.Valid(); at.Next() {
		if string(at.Key()) != string(last) {
			last = append(last[:0], at.Key()...)
			deleted = at.Gone()
			continue
		}
		if deleted {
			keys = append(keys, append([]byte(nil), last...))
			deleted = false
		}
	}
	return keys, nil
}
