package look_test

import (
	"testing"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// However short the pages are, all of them together visit each delivery that failed once, and those
// that were delivered, purged or never tried not at all.
func TestFailuresInPages(t *testing.T) {
	const n = 600
	f := open(t, nil)
	a, b := f.furnish(n)
	g := func(lane record.LaneID, state record.State, most int, enough bool, want int) {
		t.Helper()
		visited, pages, looked, next := make(map[uint64]int), 0, 0, uint64(0)
		for {
			some, on, err := look.Failures(f, look.Failing{Lane: lane, State: state, From: next,
				Most: most, Enough: func() bool { return enough }},
				func(d look.Failed) { visited[d.Seq]++ })
			if err != nil || on > 0 && (on <= next || some == 0) {
				t.Fatalf("after %d it goes on at %d, %v", next, on, err)
			}
			pages, looked = pages+1, looked+some
			if next = on; next == 0 {
				break
			}
		}
		if looked != want || len(visited) != want || (pages > 1) != (want > most || enough && want > 16) {
			t.Errorf("%s: %d pages looked at %d and visited %d; want %d", state, pages, looked,
				len(visited), want)
		}
		for seq, times := range visited {
			if times != 1 || stateOfA(seq) != state {
				t.Errorf("event %d, which is %s, was visited %d times", seq, stateOfA(seq), times)
			}
		}
	}
	for _, state := range []record.State{record.StatePending, record.StateExhausted} {
		g(a.ID(), state, 20000, false, n/6)
		g(a.ID(), state, 20000, true, n/6)
		g(a.ID(), state, 7, false, n/6)
		g(b.ID(), state, 7, false, 0)
	}
}
