package badger

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

func TestReclaimDue(t *testing.T) {
	var r reclaimer
	const mib = 1 << 20
	at := time.Unix(1000, 0)
	disk := engine.Usage{Bytes: 1000 * mib}
	compacts := false
	f := func(after time.Duration, swept int64, head uint64, short, due, flush bool) {
		t.Helper()
		at = at.Add(after)
		r.Swept.Add(swept)
		disk.Short = short
		gotDue, gotFlush := r.due(at, head, disk, compacts)
		if gotDue != due || gotDue && gotFlush != flush {
			t.Errorf("after %s, %d MiB swept: %v, %v; want %v, %v", after, r.Swept.Load()/mib, gotDue,
				gotFlush, due, flush)
		}
		if gotDue {
			r.begin(at, gotFlush)
		}
	}
	const tick = time.Second
	// a backlog drains: that is no reason unless it takes long, and a half of it is gone
	f(0, 0, 9, false, false, false)
	f(reclaimIdle, 900*mib, 9, false, false, false)
	disk.Bytes = 3000 * mib
	for range reclaimGoing/tick - 1 {
		f(tick, 1*mib, 9, false, false, false)
	}
	f(tick, 1*mib, 9, false, true, false)
	disk.Bytes = 1000 * mib
	// never soon again, and not while somebody sends
	head := uint64(9)
	f(tick, 600*mib, head, false, false, false)
	for range reclaimPause / tick {
		head++
		f(tick, 1*mib, head, false, false, false)
	}
	for range reclaimIdle/tick - 1 {
		f(tick, 1*mib, head, false, false, false)
	}
	f(tick, 1*mib, head, false, true, false)
	// at the end, an eighth is enough, and what the memtable knows counts
	disk.Bytes = 300 * mib
	f(reclaimPause, 20*mib, head, false, false, false)
	f(reclaimIdle-1, 0, head, false, false, false)
	f(1, 0, head, false, true, true)
	f(reclaimPause, 20*mib, head, false, false, false)
	f(reclaimPause, 0, head, false, false, false)
	f(reclaimPause, 18*mib, head, false, false, false)
	// while the engine compacts, a sweep that stands still is not at rest
	compacts = true
	for range 10 {
		f(reclaimIdle-1, 0, head, false, false, false)
	}
	compacts = false
	f(reclaimIdle-1, 0, head, false, false, false)
	f(1, 0, head, false, true, true)
	// when space is short, at once
	f(tick, 60*mib, head+1, true, false, false)
	f(reclaimHurry, 1*mib, head+2, true, true, true)
	// a small spool at rest gives back what it can, down to 48 MiB
	disk.Bytes = 60 * mib
	head += 2
	f(reclaimPause, 7*mib, head, false, false, false)
	f(reclaimIdle, 0, head, false, false, false)
	f(tick, 1*mib, head, false, false, false)
	f(reclaimIdle, 0, head, false, true, true)
}
