package main

import (
	"runtime"
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
	f(0, 0, 256)
	f(170, 0, 256)
	f(200, 0, 304)
	f(400, 0, 608)
	// a container allows less
	f(20, 128, 128)
	f(400, 512, 512)
	f(20, 2048, 256)
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
