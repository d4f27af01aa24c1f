package spool

import (
	"context"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/record"
)

// purgedEach is how many events each frame of purgedPaused has.
const purgedEach = 64

// purgedPaused appends frames for two lanes. The first, from which nobody fetches, has those up to a
// sequence purged, the other has all delivered.
func (f *fixture) purgedPaused(frames int, to uint64) (paused *Lane) {
	f.t.Helper()
	paused = f.lane("paused")
	f.lane("other")
	for range frames {
		drafts := f.random(purgedEach, 100, "paused")
		for _, d := range drafts {
			d.Note = []string{"paused", "other"}
		}
		if err := f.Append(drafts...); err != nil {
			f.t.Fatal(err)
		}
	}
	n, err := paused.Purge(context.Background(), Purge{State: StatePending,
		Match: func(e *record.Event) bool { return e.Seq <= to }})
	if err != nil || n != to {
		f.t.Fatalf("purged %d, %v; want %d", n, err, to)
	}
	f.deliverOther()
	return paused
}

func (f *fixture) deliverOther() {
	f.t.Helper()
	other := f.lane("other")
	other.Open(true)
	for _, e := range f.fetch(other, int(other.Counts().Fresh)) {
		f.Settle(Settlement{Lane: other.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
	}
	f.commitCheckpoint()
}

// sweptTo sweeps and wants that to end at a sequence.
func (f *fixture) sweptTo(want uint64) {
	f.t.Helper()
	for range 2 { // the first finds how far the next may go
		f.sweepAt(f.now.Add(2 * time.Hour))
		f.commitCheckpoint()
	}
	if got := f.Swept(); got != want {
		f.t.Errorf("the sweep has come to %d; want %d", got, want)
	}
}

// isOldest wants a delivery to be the oldest, and nothing to be missing.
func (f *fixture) isOldest(l *Lane, want uint64) {
	f.t.Helper()
	if p, ok := l.OldestPending(); !ok || p.Seq != want {
		f.t.Errorf("the oldest delivery is %d, %v; want %d", p.Seq, ok, want)
	}
	if n := f.Quarantined(); n != 0 {
		f.t.Errorf("%d records are set aside, that were swept", n)
	}
}

// The sweep does not wait where a lane stood before its deliveries were purged, although nobody
// fetches from it or asks for its oldest delivery; it waits at the first that is left.
func TestSweepPurgedPaused(t *testing.T) {
	const frames = 3*pageScanMax/purgedEach + 1
	const all, some = frames * purgedEach, (frames - 2) * purgedEach
	t.Run("but some", func(t *testing.T) {
		f := open(t)
		f.purgedPaused(frames, some)
		f.sweptTo(some)
		f.isOldest(f.lane("paused"), some+1)
	})
	t.Run("few", func(t *testing.T) {
		f := open(t)
		f.purgedPaused(2, purgedEach)
		f.sweptTo(purgedEach)
		f.isOldest(f.lane("paused"), purgedEach+1)
	})
	t.Run("and more comes", func(t *testing.T) {
		f := open(t)
		f.purgedPaused(frames, all)
		f.append("new", "paused", "other")
		f.deliverOther()
		f.sweptTo(all)
		f.isOldest(f.lane("paused"), all+1)
	})
	t.Run("after a restart", func(t *testing.T) {
		f := open(t)
		f.purgedPaused(frames, some)
		f.reopen()
		f.sweptTo(some)
		f.isOldest(f.lane("paused"), some+1)
	})
}

// What was swept while a lane owed nothing is not missing, when something comes that it owes.
func TestIdleSwept(t *testing.T) {
	f := open(t)
	paused := f.purgedPaused(2, 2*purgedEach)
	f.sweptTo(2 * purgedEach)
	f.append("new", "paused")
	f.isOldest(paused, 2*purgedEach+1)
	paused.mu.Lock()
	r := paused.recordLocked(f.Head())
	paused.mu.Unlock()
	// Former versions wrote the position from before.
	r.Position = 0
	f.close()
	f.damage(func(txn *badger.Txn) error {
		return txn.Set(record.LaneKey(record.PrefixLane, paused.id), r.Encode())
	})
	f.Spool = nil
	f.reopen()
	f.isOldest(f.lane("paused"), 2*purgedEach+1)
}
