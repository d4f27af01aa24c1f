package badger

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"
)

// compactors is how many of the engine's compactors there are in this process.
func compactors() int {
	b := make([]byte, 16<<20)
	return bytes.Count(b[:runtime.Stack(b, true)], []byte(".(*levelsController).runCompactor("))
}

// TestCompactorsSleep asserts that the engine's compactors end when nothing was written for a while,
// are there again once something is, and after a flatten and a flush, which stop them themselves; that
// they compact then; and that the engine closes while they sleep.
func TestCompactorsSleep(t *testing.T) {
	s := openStore(t, StoreOptions{})
	const most = testPatience
	now := time.Unix(1_000_000, 0)
	want := func(n int, when string) {
		t.Helper()
		for end := time.Now().Add(most); compactors() != n; {
			if time.Now().After(end) {
				t.Fatalf("%d compactors %s; want %d", compactors(), when, n)
			}
			runtime.Gosched()
		}
	}
	rest := func() {
		t.Helper()
		s.keepMemory(now)
		now = now.Add(sleepAfter - 1)
		s.keepMemory(now)
		want(2, "before the rest is long enough")
		now = now.Add(1)
		s.keepMemory(now)
		want(0, "at rest")
		s.keepMemory(now.Add(time.Hour))
		want(0, "an hour later")
	}
	putValues(t, s, 1, 2)
	rest()
	putValues(t, s, 2, 3)
	s.keepMemory(now)
	want(2, "after a commit")
	rest()
	if err := s.Flatten(); err != nil {
		t.Fatal(err)
	}
	want(2, "after a flatten")
	s.keepMemory(now)
	want(0, "again at rest")
	for seq := uint64(3); seq < 3+2*levelZeroTables; seq++ {
		putValues(t, s, seq, seq+1)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.keepMemory(now)
	want(2, "after flushes")
	for end := time.Now().Add(most); s.Compacts(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal(errors.New("nothing is compacted"))
		}
	}
	rest() // and the store is closed
}
