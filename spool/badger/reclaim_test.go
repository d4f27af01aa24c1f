package badger

import (
	"testing"
	"time"
)

func TestReclaimDue(t *testing.T) {
	var r reclaimer
	const mib = 1 << 20
	at := time.Unix(1000, 0)
	tree := int64(0)
	f := func(after time.Duration, swept int64, head uint64, short, want bool) {
		t.Helper()
		at = at.Add(after)
		r.Swept.Add(swept)
		if got := r.due(at, head, short, tree, valueFileMax); got != want {
			t.Errorf("after %s, %d MiB swept: %v; want %v", after, r.Swept.Load()/mib, got, want)
		}
		if want {
			r.Swept.Store(0)
			r.last = at
		}
	}
	const tick = time.Second
	// While events come, a file of the value log is swept first.
	f(0, 63*mib, 1, false, false)
	f(tick, mib, 2, false, true)
	f(reclaimPause-1, 64*mib, 3, false, false)
	f(1, 0, 4, false, true)
	// At rest, less will do, after some time.
	f(reclaimRest, 8*mib-1, 5, false, false)
	f(reclaimIdle-1, 1, 5, false, false)
	f(1, 0, 5, false, true)
	f(reclaimRest-1, 8*mib, 5, false, false)
	f(1, 0, 5, false, true)
	// When space is short, soon.
	f(reclaimPause-1, 8*mib, 6, true, false)
	f(1, 0, 7, true, true)
	// A tree that is large is written again when an eighth of it goes, and not while events come.
	tree = treeMax + 8
	f(reclaimRest, 100*mib, 8, false, false)
	f(reclaimIdle, 0, 8, false, true)
	tree = 1000 * mib
	f(reclaimRest, 124*mib, 8, false, false)
	f(tick, mib, 8, false, true)
}
