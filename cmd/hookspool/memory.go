package main

import (
	"log/slog"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/hookspool/hookspool/relay/memory"
)

const (
	// memoryAim is where the garbage collector begins to work harder. A relay at full load needs half
	// of it. Compactions count as heap and take as much again: beside a million deliveries that all
	// fail 290 to 310 MiB were resident at most, mapped files included, and 275 to 300 beside a
	// million of 1,000 targets, where an aim of 256 MiB made it 335 to 370 and 345, with the same CPU.
	memoryAim = 128 << 20
	// memoryPause lies between two looks at what is in use.
	memoryPause = time.Second
)

// budget divides the memory that this process may have.
func (l limits) budget() memory.Budget {
	known := func(n uint64) int64 {
		if n >= math.MaxInt64 {
			return 0 // GOMEMLIMIT=off
		}
		return int64(n)
	}
	return memory.For(known(l.cgroup), known(l.heap))
}

// limitMemory lets the garbage collector know how much is meant to be used, and how much there is
// before the kernel enforces that, until the function returned is called. A GOMEMLIMIT is never
// raised.
func limitMemory(ceiling int64, given bool) (stop func()) {
	if given {
		if ceiling > 0 {
			debug.SetMemoryLimit(ceiling)
		}
		return func() {}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(memoryPause)
		defer ticker.Stop()
		for last := int64(0); ; {
			if limit := memoryLimit(memoryInUse(), ceiling); limit != last {
				last = limit
				debug.SetMemoryLimit(limit)
			}
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// memoryLimit is the limit for a process that cannot do without inUse bytes: room for half as much
// garbage, or the collector would do nothing but collect. Seen with a fixed limit: 6,000
// connections took half of the CPU for that. ceiling 0: there is none.
func memoryLimit(inUse, ceiling int64) int64 {
	limit := max(memoryAim, inUse+inUse/2)
	limit = (limit + memoryGrain - 1) / memoryGrain * memoryGrain
	if ceiling > 0 {
		limit = min(limit, ceiling)
	}
	return limit
}

// memoryGrain keeps the limit still while memory in use moves a little.
const memoryGrain = 16 << 20

// memoryInUse is what the last collection found alive, and what it cannot collect.
func memoryInUse() int64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/os-stacks:bytes"}, {Name: "/memory/classes/other:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
	}
	metrics.Read(samples)
	var sum int64
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += int64(s.Value.Uint64())
		}
	}
	return sum
}

// logMemory tells what is derived from the limit, if there is one.
func logMemory(log *slog.Logger, b memory.Budget) {
	if b.Limit == 0 {
		return
	}
	log.Info("memory is limited", "limit", bytesText(b.Limit), "heap", bytesText(b.Heap),
		"bodies", bytesText(b.Bodies), "fresh", bytesText(b.Fresh), "engine", bytesText(b.Engine),
		"refused_above", bytesText(b.Brink), "connections", b.Connections)
}
