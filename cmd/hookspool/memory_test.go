package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	f := func(inUse, ceiling, want int64) {
		t.Helper()
		if got := memoryLimit(inUse*mib, ceiling*mib); got != want*mib {
			t.Errorf("%d MiB in use, %d allowed: %d MiB; want %d", inUse, ceiling, got/mib, want)
		}
	}
	// little in use; so much that the collector needs room
	f(0, 0, 128)
	f(85, 0, 128)
	f(100, 0, 160)
	f(400, 0, 608)
	// a container allows less
	f(20, 128, 128)
	f(400, 512, 512)
	f(20, 2048, 128)
}

// What lives is counted: 64 MiB that are kept show up.
func TestMemoryInUse(t *testing.T) {
	before := memoryInUse()
	if before <= 0 {
		t.Fatalf("%d bytes are in use", before)
	}
	kept := make([][]byte, 64)
	for i := range kept {
		kept[i] = make([]byte, 1<<20)
	}
	runtime.GC()
	if after := memoryInUse(); after < before+48<<20 {
		t.Errorf("%d bytes are in use, %d before %d MiB were kept", after, before, len(kept))
	}
	if len(kept[63]) == 0 {
		t.Fatal("nothing is kept")
	}
}

// The smaller one of a container's limit and GOMEMLIMIT counts, and what an operator has set is
// never raised.
func TestLimitsBudget(t *testing.T) {
	const mib = 1 << 20
	f := func(l limits, limit, heap int64) {
		t.Helper()
		if b := l.budget(); b.Limit != limit*mib || b.Heap != heap*mib {
			t.Errorf("%+v: %+v; want a limit of %d MiB, %d of them heap", l, b, limit, heap)
		}
	}
	f(limits{}, 0, 0)
	f(limits{machine: 1024 * mib, addresses: 1024 * mib}, 0, 0)
	f(limits{cgroup: 128 * mib}, 128, 96)
	f(limits{heap: 128 * mib}, 128, 128)
	f(limits{cgroup: 512 * mib, heap: 64 * mib}, 64, 64)
	f(limits{cgroup: 128 * mib, heap: 1024 * mib}, 128, 96)
	// GOMEMLIMIT=off, and a cgroup that says the largest number there is
	f(limits{heap: math.MaxInt64}, 0, 0)
	f(limits{cgroup: math.MaxUint64}, 0, 0)

	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(300 * mib)
	limitMemory(0, true)()
	if now := debug.SetMemoryLimit(-1); now != 300*mib {
		t.Errorf("GOMEMLIMIT became %d", now)
	}
	limitMemory(200*mib, true)()
	if now := debug.SetMemoryLimit(-1); now != 200*mib {
		t.Errorf("GOMEMLIMIT is %d in a container with less", now)
	}
}
