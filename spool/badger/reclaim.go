package badger

import (
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// Deleting in an LSM tree writes: space comes back when a tombstone meets its value in a
// compaction, and Badger has no reason to compact a tree that nobody writes to any more. A relay
// whose budget was full of delivered events would refuse others for good. So after a large sweep
// the keeper flushes the memtable and flattens the tree. What that rewrites is the upper levels and
// what they overlap, not the backlog.
const (
	// reclaimBytes must have been swept since the last time: with them and what the engine has for
	// itself, 32 MiB, a spool at rest stays below three memtables. And a part of what is on disk must
	// have been, all of which may be written again: an eighth when the sweep rests or space is short,
	// a half when a sweep has gone on for reclaimGoing. An eighth in any case has a backlog drain at a
	// quarter of the rate, for it is written again on the way.
	reclaimBytes      = 8 << 20
	reclaimShare      = 8
	reclaimGoingShare = 2
	reclaimGoing      = 10 * time.Minute
	// reclaimPause lies between two; while space is short, reclaimHurry.
	reclaimPause = 30 * time.Second
	reclaimHurry = 5 * time.Second
	// reclaimIdle is how long nothing must have been accepted, unless space is short: the flush
	// holds up the committer.
	reclaimIdle = 3 * time.Second
	// valuesTreeMax is the largest tree that is flattened while the sweep goes on.
	valuesTreeMax = 256 << 20
)

// reclaimer is the memory of what was swept. It is the keeper's.
type reclaimer struct {
	Swept    atomic.Int64 // bytes since the last reclaim
	last     time.Time
	head     uint64 // newest event at the last look
	headSeen time.Time
	seen     int64 // swept at the last look
	// sweptAt is when the sweep was last seen to go on, since when it had not rested.
	sweptAt, since time.Time
	// unflushed was swept before the last reclaims, which left the memtable as it was.
	unflushed int64
}

// due decides whether space should be fetched back now, and whether also what the memtable knows to
// be gone. While the engine compacts, a sweep that stands still does not rest: it waits, as the
// deliveries do.
func (r *reclaimer) due(now time.Time, head uint64, disk engine.Usage, compacts bool) (due,
	flush bool) {
	if head != r.head {
		r.head, r.headSeen = head, now
	}
	swept := r.Swept.Load()
	rests := now.Sub(r.sweptAt) >= reclaimIdle
	if swept != r.seen {
		if rests {
			r.since = now
		}
		r.seen, r.sweptAt, rests = swept, now, false
	} else if compacts && !rests {
		r.sweptAt = now
	}
	flush = disk.Short || rests
	share := int64(reclaimShare)
	if flush {
		swept += r.unflushed
	} else {
		share = reclaimGoingShare
	}
	if swept < max(reclaimBytes, disk.Bytes/share) || !flush && now.Sub(r.since) < reclaimGoing {
		return false, false
	}
	if disk.Short {
		return now.Sub(r.last) >= reclaimHurry, flush
	}
	return now.Sub(r.last) >= reclaimPause && now.Sub(r.headSeen) >= reclaimIdle, flush
}

// valuesDue reports whether a file of the value log may be dead although the sweep does not rest. A
// small tree costs little to flush and flatten, which is what tells the engine of dead values.
func (r *reclaimer) valuesDue(now time.Time, tree int64) bool {
	return r.Swept.Load() >= valueFileBytes && tree <= valuesTreeMax && now.Sub(r.last) >= reclaimHurry
}

// begin notes a reclaim.
func (r *reclaimer) begin(now time.Time, flush bool) {
	r.last = now
	r.unflushed += r.Swept.Swap(0)
	r.seen = 0
	if flush {
		r.unflushed = 0
	}
}

// Reclaim is part of engine.Trimmer. A compaction in the middle of a portion whose end was chosen
// for the room on the disk would need more.
func (s *Store) Reclaim(now time.Time, head uint64,
	between func(run func() error) error) error {
	disk := s.Usage()
	due, flush := s.Reclaimer.due(now, head, disk, s.Compacting())
	if !due && s.Reclaimer.valuesDue(now, s.treeBytes()) {
		due, flush = true, true
	}
	if !due || s.portion.Load() {
		return nil
	}
	s.Reclaimer.begin(now, flush)
	s.reclaiming.Store(true)
	defer s.reclaiming.Store(false)
	s.stir()
	// Before the flush, so that there is little left to compact while the committer waits for it:
	// with level 0 full and half of a million events swept it waited for two seconds.
	if err := s.Flatten(); err != nil {
		return err
	}
	if flush {
		if err := between(s.Flush); err != nil {
			return err
		}
		if err := s.Flatten(); err != nil {
			return err
		}
	}
	if err := s.collect(between); err != nil {
		return err
	}
	err := s.Measure(true)
	s.Log.Info("space of swept events was given back", "bytes_before", disk.Bytes,
		"bytes_after", s.Usage().Bytes)
	return err
}

// Flush writes the engine's memtable into a table. Only the committer may call it, between two
// groups. If it fails, nobody knows what holds the newest events.
func (s *Store) Flush() error {
	s.Premises.flushes.Add(1)
	err := s.Tree.Flush()
	s.Premises.flushes.Add(1)
	return err
}
