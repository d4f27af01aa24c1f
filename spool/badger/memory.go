package badger

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// mappedBytesMax of the engine's tables may be resident before the memory loop lets go of them.
	mappedBytesMax = 64 << 20
	// memoryPause lies between two looks while something is written, for a compaction maps up to 1 GiB
	// a second; restPause while nothing is, because ten looks a second cost half a percent of a core.
	memoryPause = 100 * time.Millisecond
	restPause   = time.Second
	// restAfter is how long nothing must have been written before the heap of a burst is given back
	// to the system. The engine keeps what its flushes and compactions needed for some seconds.
	restAfter = 15 * time.Second
	// sleepAfter is how long nothing must have been written before the compactors are stopped.
	sleepAfter = 3 * time.Second
)

// rest is the memory loop's memory of when the spool came to rest.
type rest struct {
	commits uint64
	since   time.Time
	freed   bool
}

// due is true once after every burst, when it is over.
func (r *rest) due(now time.Time, commits uint64) bool {
	if commits != r.commits || r.since.IsZero() {
		r.commits, r.since, r.freed = commits, now, commits == 0
	}
	if r.freed || now.Sub(r.since) < restAfter {
		return false
	}
	r.freed = true
	return true
}

// rests reports that nothing was written for a while, as of the last look.
func (r *rest) rests(now time.Time) bool { return now.Sub(r.since) >= sleepAfter }

// Run is part of engine.Worker: the memory loop. It is a goroutine of its own because the keeper
// may be busy for seconds with fetching space back, just when most is mapped (seen: 1.4 GiB).
func (s *Store) Run(ctx context.Context) {
	timer := time.NewTimer(restPause)
	defer timer.Stop()
	busy := false
	defer func() {
		s.sleep(false) // the engine stops them when it is closed
		if busy {
			s.onCompaction(false)
		}
	}()
	for seen := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-s.stirred:
		case <-timer.C:
		}
		if now := s.Compacting(); now != busy {
			busy = now
			s.onCompaction(busy)
		}
		s.keepMemory(time.Now())
		pause := restPause
		if n := s.Commits(); n != seen || s.reclaiming.Load() {
			seen, pause = n, memoryPause
		}
		timer.Reset(pause)
	}
}

// Compacting reports that the engine compacts, or is about to.
func (s *Store) Compacting() bool { return s.reclaiming.Load() || s.Compacts() }

// stir wakes the memory loop for work that no commit shows.
func (s *Store) stir() {
	select {
	case s.stirred <- struct{}{}:
	default:
	}
}

// keepMemory keeps resident memory small, whatever the backlog: without it a burst of 1,000,000
// events leaves 2 GiB resident.
func (s *Store) keepMemory(now time.Time) {
	if err := s.TrimMapped(s.shape.MappedBytesMax); err != nil {
		s.Log.Debug("mapped tables stay resident", "error", err)
	}
	if s.rest.due(now, s.Commits()) {
		debug.FreeOSMemory()
	}
	s.sleep(s.rest.rests(now))
}

// sleep stops the compactors, or starts them again. While something else does so it is put off; the
// caller asks again within a second, in which far fewer tables come than the engine waits for. It
// ends before the engine is closed.
func (t *Tree) sleep(rest bool) {
	if !t.idle.mu.TryLock() {
		return
	}
	defer t.idle.mu.Unlock()
	switch {
	case rest && !t.idle.asleep && !t.Compacts():
		stopCompactions(t.DB)
		t.idle.asleep = true
	case !rest && t.idle.asleep:
		startCompactions(t.DB)
		t.idle.asleep = false
	}
}
