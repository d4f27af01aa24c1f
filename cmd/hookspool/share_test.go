package main

import (
	"runtime"
	"testing"
)

func TestShareCPUs(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	n := runtime.GOMAXPROCS(0)
	share := shareCPUs()
	if n < runtime.NumCPU() || n >= shareBelow {
		if share != nil {
			t.Error("threads are added where CPUs are limited or plenty")
		}
		return
	}
	defer runtime.SetDefaultGOMAXPROCS()
	share(true)
	if got := runtime.GOMAXPROCS(0); got != n*shareThreads {
		t.Errorf("%d threads during a compaction; want %d", got, n*shareThreads)
	}
	share(false)
	if got := runtime.GOMAXPROCS(0); got != n {
		t.Errorf("%d threads after it; want %d", got, n)
	}
	t.Setenv("GOMAXPROCS", "2")
	if shareCPUs() != nil {
		t.Error("GOMAXPROCS is not respected")
	}
}
