package badger

import (
	"math"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// Above sweepWholeBytes on disk the log is swept when half of its events may go. Deletions carry
	// old keys and new events carry new ones, and a compaction puts both into one table, which
	// overlaps all that is kept in between: going one level down it writes all of that again. A
	// backlog is let drain to its end before, because it would stand still meanwhile. While space is
	// scarce a quarter is enough. DESIGN.md has what was tried.
	sweepWholeBytes = 1 << 30
	sweepShare      = 2
	sweepDrained    = 64
	sweepShareShort = 4
	// deletionsPerTable are in a table of level 0 that has nothing but them and the lanes' records
	// (400,000, measured), with something to spare.
	deletionsPerTable = 250_000
)

// SweepTo is part of engine.Trimmer: it decides whether enough of the log may go, and whether the
// disk has room for what the engine makes of that.
func (s *Store) SweepTo(p engine.Prospect) (uint64, error) {
	s.portion.Store(false)
	tight := s.Tight()
	if s.treeBytes() < s.SweepWhole && !tight {
		return math.MaxUint64, nil
	}
	share := uint64(sweepShare)
	switch ample := s.Figures.Ample.Load(); {
	case !ample:
		share = sweepShareShort
	case p.Head-p.Settled > (p.Head-p.Swept)/sweepDrained:
		return 0, nil
	}
	part := p.Swept + (p.Head-p.Swept)/share
	may, err := p.MayGo(part)
	if err != nil || !may {
		return 0, err
	}
	if !tight {
		return math.MaxUint64, nil
	}
	to := p.Settled
	if all, err := p.MayGo(to); err != nil || !all {
		to = part
	}
	return s.roomToSweep(p, to)
}

// treeBytes is what lies in the tree, which writes again what it keeps.
func (s *Store) treeBytes() int64 {
	return max(0, s.Figures.Bytes.Load()-s.Figures.Values.Load())
}

// Tight is part of engine.Trimmer: the disk has no room to write all of the deep levels again. What
// deletes here and there would have the engine do that; see RewrittenBytes.
func (s *Store) Tight() bool {
	deep := s.Figures.Deep.Load()
	return deep > 0 && s.Figures.Free.Load()-s.Needs() < deep
}

// roomToSweep decides how far the log may be swept when the disk is tight: so far that what is kept
// fits, and at once, before the engine compacts by itself.
func (s *Store) roomToSweep(p engine.Prospect, to uint64) (uint64, error) {
	tables := s.LevelZeroTables() - 2 // one is being filled, and one begun
	to = min(to, p.Swept+uint64(tables-1)*deletionsPerTable)
	top, topBytes := s.LevelZero()
	kept := s.RewrittenBytes(to) + s.HeldBytes(p, to-p.Swept)
	// It goes through the base level, whose own part of the work is no more than what it holds.
	need := min(s.Needs()+kept, PreflightBytes+topBytes+2*kept)
	if s.Figures.Free.Load() < need || s.Compacting() {
		return 0, nil
	}
	if top+int(to-p.Swept)/deletionsPerTable >= tables {
		s.reclaiming.Store(true)
		defer s.reclaiming.Store(false)
		s.stir()
		return 0, s.Flatten() // what was above lies in the way now, so it is judged again
	}
	s.portion.Store(true)
	return to, nil
}

// HeldBytes is what is left of so many swept events because failed deliveries need it, if those are
// as large as the others.
func (s *Store) HeldBytes(p engine.Prospect, swept uint64) int64 {
	each := s.treeBytes() / int64(max(p.Head-p.Swept, 1))
	return int64(min(p.Held, swept)) * each
}

// Swept is part of engine.Trimmer. What is held is counted as well; it will be released one day,
// uncounted.
func (s *Store) Swept(bytes int64, more bool) {
	s.Reclaimer.Swept.Add(bytes)
	if !more {
		s.portion.Store(false)
	}
	s.stir() // the sweep has mapped what it looked at
}
