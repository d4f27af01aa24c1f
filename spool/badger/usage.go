package badger

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// Figures are what was measured last of the disk. The keeper stores them; anybody may read them.
type Figures struct {
	// Bytes on disk of the spool's directory; Free bytes and Inodes of its file system.
	Bytes, Free, Inodes atomic.Int64
	// Ample: the disk and the limit leave room for what need not be there any more.
	Ample atomic.Bool
	// Values are the bytes on disk of the value log.
	Values atomic.Int64

	// since counts bytes admitted since.
	since    atomic.Int64
	pressure atomic.Bool
	// compaction is what the engine may write before it frees what it has read.
	compaction atomic.Int64
}

// AppendInodes must be free for an append, besides those of a compaction. Free inodes are watched
// like free bytes: a disk with neither is full, and the engine can write on neither. They are not
// what the spool uses up, which makes a file for every 4 to 16 MiB; others do, a thousand in a
// moment. With less, what is left is for settling and the next start; 64 leave the gate the time to
// see how they go.
const AppendInodes = 64

// SetLimits is part of engine.Space.
func (s *Store) SetLimits(l engine.Limits) { s.limits.Store(&l) }

// Measure is part of engine.Space: it looks at the directory and the file system, and whether what
// is open is still ours. A ballast is made when there is ample room.
func (s *Store) Measure(held bool) error {
	s.Figures.since.Store(0)
	now, err := s.LookAround()
	if err != nil || now == nil {
		return err
	}
	free, err := s.Room.Free(s.Dir)
	inodes, ierr := s.Room.Inodes(s.Dir)
	if err := errors.Join(err, ierr); err != nil {
		s.Log.Error("cannot measure the spool's disk; the last figures stay", "error", err)
		return nil
	}
	// What is only kept in reserve does not count against spool.max_size.
	f := &s.Figures
	unused := s.Room.Unused.Load() + s.Room.values.unused.Load()
	f.Bytes.Store(max(0, now.bytes-s.Ballast.Size()-unused))
	f.Values.Store(max(0, now.values-s.Room.values.unused.Load()))
	f.Free.Store(free)
	f.Inodes.Store(inodes)
	f.compaction.Store(s.CompactionBytes())
	lim := s.limits.Load()
	f.judge(lim.MaxBytes, max(lim.MinFreeBytes, s.Needs()), s.mustStayFree(lim))
	s.trimBallast(held)
	return nil
}

// judge decides by the last measurement whether space is short and whether it is ample. work is
// what the engine needs as long as nothing is swept, must what Admit leaves; most 0: no limit.
func (f *Figures) judge(most, work, must int64) {
	total, free := f.Bytes.Load(), f.Free.Load()
	f.pressure.Store(most > 0 && total > most/10*8 || free < 2*work || free < must+must/4)
	f.Ample.Store((most <= 0 || total < most/10*6) && free > 4*work && free > 2*must)
}

// Needs is what a start and the engine's work need, as long as nothing is swept, and what a kill
// leaves of blocks that the value log had ahead.
func (s *Store) Needs() int64 {
	return PreflightBytes + 2*valueStepMax + s.Figures.compaction.Load()
}

// treeBytes is what lies in the tree, which writes again what it keeps.
func (s *Store) treeBytes() int64 {
	return max(0, s.Figures.Bytes.Load()-s.Figures.Values.Load())
}

// mustStayFree is what Admit leaves: what the operator wants, and at least what a start and the
// engine's work need, so that a disk that the relay itself has filled stops neither.
func (s *Store) mustStayFree(lim *engine.Limits) int64 {
	return max(lim.MinFreeBytes, s.Needs())
}

// inodesMustStay is how many files Admit leaves to be made: those of the engine's next compaction,
// and some.
func (s *Store) inodesMustStay() int64 {
	return AppendInodes + TablesOf(s.Figures.compaction.Load())
}

// Usage is part of engine.Space. It is at most about a second old.
func (s *Store) Usage() engine.Usage {
	f, lim := &s.Figures, s.limits.Load()
	inodes := f.Inodes.Load()
	if inodes == volume.InodesUncounted {
		inodes = -1
	}
	return engine.Usage{Bytes: f.Bytes.Load(), Limit: lim.MaxBytes,
		FreeBytes: f.Free.Load(), MinFreeBytes: lim.MinFreeBytes,
		ReserveBytes: s.mustStayFree(lim), FreeInodes: inodes, MinFreeInodes: s.inodesMustStay(),
		Short: f.pressure.Load()}
}

// Admit is part of engine.Space. Room for settling what was accepted is never part of what it gives
// away; see mustStayFree.
func (s *Store) Admit(n int) error {
	f, lim := &s.Figures, s.limits.Load()
	// Badger writes an event to its log and, later, to a table.
	since := 2 * f.since.Add(int64(n))
	if bytes := f.Bytes.Load(); lim.MaxBytes > 0 && bytes+since > lim.MaxBytes {
		s.Forgo(n)
		return fmt.Errorf("%w: %d bytes are on disk and up to %d more on their way; spool.max_size "+
			"is %d", engine.ErrFull, bytes, since, lim.MaxBytes)
	}
	need := s.mustStayFree(lim)
	if free := f.Free.Load() - since; free < need {
		s.Forgo(n)
		return fmt.Errorf("%w: %d bytes are free on its disk; %d must stay free "+
			"(spool.min_free_disk, or what the engine needs to work)", engine.ErrFull, free, need)
	}
	if free, need := f.Inodes.Load(), s.inodesMustStay(); free < need {
		s.Forgo(n)
		return NoInodesError(free, need)
	}
	return nil
}

// Forgo is part of engine.Space. A measurement in between has forgotten the bytes already.
func (s *Store) Forgo(n int) {
	f := &s.Figures
	for {
		since := f.since.Load()
		if f.since.CompareAndSwap(since, max(0, since-int64(n))) {
			return
		}
	}
}

// trimBallast makes a ballast when there is ample room, and removes one that a new limit does not
// allow. held: nothing is written for want of room.
func (s *Store) trimBallast(held bool) {
	if s.Ballast.Missed() {
		s.Log.Warn("somebody has removed the ballast; another is made when there is room")
	}
	lim := s.limits.Load()
	var err error
	switch free := s.Figures.Free.Load(); {
	case lim.MaxBytes > 0 && lim.MaxBytes < volume.BallastShare*volume.BallastBytes:
		_, err = s.Ballast.ThrowOff()
	case s.Ballast.Size() == 0 && !held &&
		free >= 2*(s.mustStayFree(lim)+volume.BallastBytes):
		err = s.Ballast.Take()
	}
	if err != nil && !errors.Is(err, volume.ErrCannotAllocate) {
		s.Log.Warn("cannot keep a ballast; it is tried again", "error", err)
	}
}

// RideBytes bounds the records of lanes and the checkpoint that ride with a group.
const RideBytes = 64 << 10

func useOf(g engine.Group) Use {
	u := Use{Bytes: RideBytes + g.Bytes + int64(g.Entries)*EntryRoomBytes, Values: RideBytes,
		Rotates: g.Between}
	if g.Largest >= ValueBytesMin || g.Events && g.Bytes >= ValueBytesMin {
		u.Values = u.Bytes
	}
	if g.Events {
		u.Values += valueReserve
	}
	return u
}

// FitEvents is part of engine.Space. Admit asks the same, with older figures and more to spare.
func (s *Store) FitEvents(g engine.Group) error {
	free, err := s.Room.Look(time.Now())
	if err == nil && free < AppendBytes {
		s.Figures.Free.Store(free)
		return FullError(free, AppendBytes)
	}
	return nil
}

// Fit is part of engine.Space. Before the engine begins another log its directories must be in
// their place: it would make that in one that is somebody else's.
func (s *Store) Fit(g engine.Group) error {
	u := useOf(g)
	err := s.Short(u, time.Now())
	if err == nil && !s.Room.Rotates(u) && !s.Room.values.rotates(u.Values) {
		return nil
	}
	if moved := s.moved(s.Premises.left()); moved != nil {
		return moved
	}
	return err
}

// Yield is part of engine.Space: it throws the ballast off. That is bytes: no help where inodes or
// descriptors are missing.
func (s *Store) Yield(reason error) bool {
	var errno syscall.Errno
	other := errors.As(reason, &errno) && errno != syscall.ENOSPC && errno != syscall.EDQUOT
	if other || errors.Is(reason, engine.ErrNoInodes) {
		return false
	}
	thrown, err := s.Ballast.ThrowOff()
	if err != nil {
		s.Log.Error("the spool goes on without its ballast", "error", err)
	}
	if thrown {
		s.Log.Warn("the disk is full; the ballast was thrown off to go on settling", "reason", reason)
	}
	return thrown
}

// roomToClose says whether the engine can be closed, without the ballast if need be.
func (s *Store) roomToClose() error {
	for {
		err := s.ShortToClose(0)
		if err == nil || !s.Yield(err) {
			return err
		}
	}
}
