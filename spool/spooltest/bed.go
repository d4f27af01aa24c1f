package spooltest

import (
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
)

// Bed is what the spools of one test stand on, one after the other: an engine's storage, and what
// the test does to it.
type Bed interface {
	// Prepare completes the options of the next spool with its directory and its engine.
	Prepare(o *spool.Options)
	// Crash ends a spool as a kill would: what it has committed stays, and nothing else.
	Crash(s *spool.Spool)
	// FailCommit lets the n-th commit from now fail, and all after it; 0: none any more. kept: the
	// first of them takes effect all the same.
	FailCommit(n int, kept bool)
	// TxnBytes is what one transaction may hold.
	TxnBytes() int
	// Pass lets time pass for records that expire. It returns how long it may take until that is
	// seen: 0 where the clock of the engine is the test's.
	Pass(d time.Duration) (atMost time.Duration)
}

// MemoryBed is a bed of the engine in memory.
type MemoryBed struct {
	*Memory
	// Dir is where the spool's own files are.
	Dir string
	// Wrap, when set, is what the spool gets of an engine.
	Wrap func(engine.Engine) engine.Engine
}

var _ Bed = (*MemoryBed)(nil)

// Prepare is part of Bed.
func (b *MemoryBed) Prepare(o *spool.Options) {
	o.Dir, o.Engine = b.Dir, b.Memory.Engine()
	if b.Wrap != nil {
		o.Engine = b.Wrap(o.Engine)
	}
}

// Crash is part of Bed.
func (b *MemoryBed) Crash(s *spool.Spool) {
	b.Memory.Crash()
	_ = s.Close() // it cannot write any more, and says so
}

// TxnBytes is part of Bed.
func (b *MemoryBed) TxnBytes() int { return memoryBytesMax }

// Pass is part of Bed.
func (b *MemoryBed) Pass(d time.Duration) time.Duration {
	b.Memory.Pass(d)
	return 0
}
