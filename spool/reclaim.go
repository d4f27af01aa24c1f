package spool

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Deleting in an LSM tree writes: space comes back when a tombstone meets its value in a
// compaction, and Badger has no reason to compact a tree that nobody writes to any more. Seen with
// a budget of 150 MiB: 130,000 events were delivered and swept, 139 MiB stayed on disk, and the
// relay refused events for good. So after a large sweep the keeper flushes the memtable and
// flattens the tree. What that rewrites is the upper levels and what they overlap, not the backlog.
const (
	// reclaimBytes and reclaimShare: so much must have been swept since the last time.
	reclaimBytes = 32 << 20
	reclaimShare = 8 // and that part of what is on disk
	// reclaimPause lies between two; while space is short, reclaimHurry.
	reclaimPause = 30 * time.Second
	reclaimHurry = 5 * time.Second
	// reclaimIdle is how long nothing must have been accepted, unless space is short: the flush
	// holds up the committer.
	reclaimIdle = 3 * time.Second
)

// prefixFlush is written and dropped at once: dropping a prefix is Badger's only way to flush a
// memtable at will, and it does nothing for a prefix without a key.
const prefixFlush = 0xff

// reclaimer is the keeper's memory of what it swept.
type reclaimer struct {
	swept    atomic.Int64 // bytes since the last reclaim
	last     time.Time
	head     uint64 // newest event at the last look
	headSeen time.Time
}

// due decides whether space should be fetched back now.
func (r *reclaimer) due(now time.Time, head uint64, disk DiskUsage, short bool) bool {
	if head != r.head {
		r.head, r.headSeen = head, now
	}
	if r.swept.Load() < max(reclaimBytes, disk.Bytes/reclaimShare) {
		return false
	}
	if short {
		return now.Sub(r.last) >= reclaimHurry
	}
	return now.Sub(r.last) >= reclaimPause && now.Sub(r.headSeen) >= reclaimIdle
}

// reclaim gives the space of what was swept back to the file system, if there is enough of it.
func (s *Spool) reclaim(now time.Time) error {
	disk := s.Disk()
	if !s.reclaimer.due(now, s.head.Load(), disk, s.disk.short()) {
		return nil
	}
	s.reclaimer.last = now
	o := newOp()
	o.flush = true
	if err := s.submit(o); err != nil {
		return err
	}
	s.reclaimer.swept.Store(0)
	flatten := func() error { return s.db.Flatten(1) }
	if err := s.through("flatten", flatten); err != nil {
		return fmt.Errorf("cannot flatten the spool's tree: %w", err)
	}
	s.measureDisk()
	s.log.Info("space of swept events was given back", "bytes_before", disk.Bytes,
		"bytes_after", s.Disk().Bytes)
	return nil
}

// flush writes the memtable into a table. Only the committer may call it, between two groups:
// Badger refuses writes meanwhile. If it fails, nobody knows which of the two holds the newest
// events, so the spool stops.
func (s *Spool) flush() error {
	key := []byte{prefixFlush}
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, nil) })
	s.room.wrote(len(key), 1) // it may have found the memtable full
	if err == nil {
		err = s.through("flush", func() error { return s.db.DropPrefix(key) })
	}
	s.room.turned(0)
	if err != nil {
		return s.fail(fmt.Errorf("cannot flush the memtable: %w", err))
	}
	return nil
}
