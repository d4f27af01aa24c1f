package spooltest

import (
	"testing"
)

// memoryBed is a bed in memory.
func memoryBed(tb testing.TB) *MemoryBed {
	return &MemoryBed{Memory: NewMemory(), Dir: tb.TempDir() + "/spool"}
}

// The engine in memory passes what every engine must.
func TestMemory(t *testing.T) {
	Run(t, func(tb testing.TB) Bed { return memoryBed(tb) })
}
