package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// DiskUsage is what the keeper measured last.
type DiskUsage struct {
	// Bytes on disk of the spool's directory, and its limit; Limit 0: none.
	Bytes, Limit int64
	// FreeBytes on the file system for this user, and the least that must stay.
	FreeBytes, MinFreeBytes int64
	// ReserveBytes must stay free for the engine's work; it grows with what is stored.
	ReserveBytes int64
	// FreeInodes are the files that the file system can still hold, MinFreeInodes those that must
	// stay. FreeInodes is -1 where nobody counts them.
	FreeInodes, MinFreeInodes int64
}

type diskState struct {
	bytes, free, inodes atomic.Int64
	// since counts bytes accepted since the last measurement.
	since    atomic.Int64
	pressure atomic.Bool
	// ample: the disk and the limit leave room for what need not be there any more.
	ample atomic.Bool
	// compaction is what the engine may write before it frees what it has read; deep is the size of
	// the levels that only deletions make it write again.
	compaction, deep atomic.Int64
}

func (d *diskState) short() bool { return d.pressure.Load() }

// ErrDirectory: what spool.dir names cannot be the spool's directory.
var ErrDirectory = errors.New("cannot use spool directory")

// prepareDir makes the spool's directory.
func prepareDir(dir string) error {
	found, err := findDir(dir)
	if err != nil || found {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w %q: cannot make it: %w", ErrDirectory, dir, err)
	}
	return nil
}

// findDir says whether the directory is there. A link would let someone else choose where the spool
// lies, so it is refused.
func findDir(dir string) (found bool, err error) {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot look at spool directory %q: %w", dir, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return false, fmt.Errorf("%w %q: it is a symbolic link", ErrDirectory, dir)
	case !info.IsDir():
		return false, fmt.Errorf("%w %q: it is not a directory", ErrDirectory, dir)
	}
	return true, nil
}

// attainable is how many bytes the spool may grow to, as far as its limit and the disk go now.
func (s *Spool) attainable() int64 {
	taken, err := volume.BytesOnDisk(s.dir)
	free, ferr := s.tree.Room.Free(s.dir)
	if errors.Join(err, ferr) != nil {
		return 0
	}
	if most := s.limits.Load().MaxBytes; most > 0 {
		return min(most, taken+free)
	}
	return taken + free
}

// measureDisk looks at the directory and the file system, and whether the directory is still ours.
func (s *Spool) measureDisk() {
	if !s.onDisk() {
		return
	}
	s.disk.since.Store(0)
	now := s.lookAround()
	if now == nil {
		return
	}
	free, err := s.tree.Room.Free(s.dir)
	inodes, ierr := s.tree.Room.Inodes(s.dir)
	if err := errors.Join(err, ierr); err != nil {
		s.log.Error("cannot measure the spool's disk; the last figures stay", "error", err)
		return
	}
	// What is only kept in reserve does not count against spool.max_size.
	total := max(0, now.bytes-s.ballast.Size()-s.tree.Room.Unused.Load())
	s.disk.bytes.Store(total)
	s.disk.free.Store(free)
	s.disk.inodes.Store(inodes)
	s.disk.compaction.Store(s.tree.CompactionBytes())
	s.disk.deep.Store(s.tree.DeepBytes())
	lim := s.limits.Load()
	s.disk.judge(lim.MaxBytes, max(lim.MinFreeBytes, s.engineNeeds()), s.mustStayFree(lim))
}

// judge decides by the last measurement whether space is short and whether it is ample. work is
// what the engine needs as long as nothing is swept, must what Admit leaves; most 0: no limit.
func (d *diskState) judge(most, work, must int64) {
	total, free := d.bytes.Load(), d.free.Load()
	d.pressure.Store(most > 0 && total > most/10*8 || free < 2*work || free < must+must/4)
	d.ample.Store((most <= 0 || total < most/10*6) && free > 4*work && free > 2*must)
}

// engineNeeds is what a start and the engine's work need, as long as nothing is swept.
func (s *Spool) engineNeeds() int64 { return ondisk.PreflightBytes + s.disk.compaction.Load() }

// mustStayFree is what Admit leaves: what the operator wants, and at least what a start, the
// engine's work and a sweep when half of the log may go need, so that a disk that the relay itself
// has filled stops none of them.
func (s *Spool) mustStayFree(lim *Limits) int64 {
	return max(lim.MinFreeBytes, s.engineNeeds()+s.disk.deep.Load()/2)
}

// Disk is the last measurement, at most about a second old.
func (s *Spool) Disk() DiskUsage {
	lim := s.limits.Load()
	inodes := s.disk.inodes.Load()
	if inodes == volume.InodesUncounted {
		inodes = -1
	}
	return DiskUsage{Bytes: s.disk.bytes.Load(), Limit: lim.MaxBytes,
		FreeBytes: s.disk.free.Load(), MinFreeBytes: lim.MinFreeBytes,
		ReserveBytes: s.mustStayFree(lim), FreeInodes: inodes, MinFreeInodes: s.inodesMustStay()}
}

// Free inodes are watched like free bytes: a disk with neither is full, and the engine can write on
// neither. They are not what the spool uses up, which makes a file for every 4 to 16 MiB; others
// do, a thousand in a moment.

const (
	// appendInodes must be free for an append, besides those of a compaction. With less, what is left
	// is for settling and the next start; 64 leave the gate the time to see how they go.
	appendInodes = 64
)

// ErrNoInodes: the file system can hold no more files, however many bytes it has.
var ErrNoInodes = engine.ErrNoInodes

// inodesMustStay is how many files Admit leaves to be made: those of the engine's next compaction,
// and some.
func (s *Spool) inodesMustStay() int64 {
	return appendInodes + ondisk.TablesOf(s.disk.compaction.Load())
}

// Admit says whether n more bytes may be accepted: ErrFull beyond the budget, ErrFailed after a
// disk error. Until the next measurement they count as written; what is not spooled after all is to
// be given back by Forgo. Room for settling what was accepted is never part of what Admit gives
// away; see mustStayFree.
func (s *Spool) Admit(n int) error {
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.gate.err(); err != nil {
		return err
	}
	if !s.onDisk() {
		return nil
	}
	lim := s.limits.Load()
	// Badger writes an event to its log and, later, to a table.
	since := 2 * s.disk.since.Add(int64(n))
	if bytes := s.disk.bytes.Load(); lim.MaxBytes > 0 && bytes+since > lim.MaxBytes {
		s.Forgo(n)
		return fmt.Errorf("%w: %d bytes are on disk and up to %d more on their way; spool.max_size "+
			"is %d", ErrFull, bytes, since, lim.MaxBytes)
	}
	need := s.mustStayFree(lim)
	if free := s.disk.free.Load() - since; free < need {
		s.Forgo(n)
		return fmt.Errorf("%w: %d bytes are free on its disk; %d must stay free "+
			"(spool.min_free_disk, or what the engine needs to work)", ErrFull, free, need)
	}
	if free, need := s.disk.inodes.Load(), s.inodesMustStay(); free < need {
		s.Forgo(n)
		return ondisk.NoInodesError(free, need)
	}
	return nil
}

// Forgo gives back n bytes that were admitted and not spooled. A measurement in between has
// forgotten them already.
func (s *Spool) Forgo(n int) {
	for {
		since := s.disk.since.Load()
		if s.disk.since.CompareAndSwap(since, max(0, since-int64(n))) {
			return
		}
	}
}

// SyncLatency is the least that one of the last syncs of a small file beside the log took: what the
// disk takes, without what other work adds to it. 0: there was none yet.
func (s *Spool) SyncLatency() time.Duration { return s.hw.Latency() }

// trimBallast is the keeper's: it makes a ballast when there is ample room, and removes one that a
// new limit does not allow.
func (s *Spool) trimBallast() {
	if !s.onDisk() {
		return
	}
	if s.ballast.Missed() {
		s.log.Warn("somebody has removed the ballast; another is made when there is room")
	}
	lim := s.limits.Load()
	var err error
	switch free := s.disk.free.Load(); {
	case lim.MaxBytes > 0 && lim.MaxBytes < volume.BallastShare*volume.BallastBytes:
		_, err = s.ballast.ThrowOff()
	case s.ballast.Size() == 0 && !s.gate.closed() &&
		free >= 2*(s.mustStayFree(lim)+volume.BallastBytes):
		err = s.ballast.Take()
	}
	if err != nil && !errors.Is(err, volume.ErrCannotAllocate) {
		s.log.Warn("cannot keep a ballast; it is tried again", "error", err)
	}
}
