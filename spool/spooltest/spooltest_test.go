package spooltest

import (
	"testing"
)

// memoryBed is a bed in memory.
func memoryBed(tb testing.TB) *MemoryBed {
	return &MemoryBed{Memory: NewMemory(false), Dir: tb.TempDir() + "/spool"}
}

// The engine in memory passes what every engine must.
func TestMemory(t *testing.T) {
	Run(t, func(tb testing.TB) Bed { return memoryBed(tb) })
}

// So does one whose log has gaps: nothing above the line reads more into a sequence than an order.
func TestSparseMemory(t *testing.T) {
	Run(t, func(tb testing.TB) Bed {
		return &MemoryBed{Memory: NewMemory(true), Dir: tb.TempDir() + "/spool"}
	})
}
