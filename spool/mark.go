package spool

import (
	"sync/atomic"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// purgeMarks are what a lane remembers of the marks of its purged deliveries. Its mutex guards
// them, but for newest.
type purgeMarks struct {
	// newest is the newest event with a mark, or one after it; 0: there is none, and nobody looks.
	newest atomic.Uint64
	// begun are purged deliveries that were not handed out, whose mark a read of the log may not see
	// yet: false until it is synced, true if it was while a read was under way.
	begun   map[uint64]bool
	reading bool
}

// load finds the newest mark of a lane; one without any never looks again.
func (m *purgeMarks) load(look engine.Look, lane record.LaneID) {
	key, _, err := engine.Last(look, record.LaneKey(record.PrefixPurged, lane),
		record.LaneSeqKey(record.PrefixPurged, lane, ^uint64(0)))
	if err == nil {
		m.newest.Store(record.KeySeq(key))
	}
}

// raise says that there is a mark.
func (m *purgeMarks) raise(seq uint64) { m.newest.Store(max(m.newest.Load(), seq)) }

// add says that a delivery is being marked which a read of the log may meet.
func (m *purgeMarks) add(seq uint64) {
	if m.begun == nil {
		m.begun = make(map[uint64]bool)
	}
	m.begun[seq] = false
}

// has reports whether a delivery was purged and a read may not know that.
func (m *purgeMarks) has(seq uint64) bool {
	_, begun := m.begun[seq]
	return begun
}

// synced forgets marks that are on disk now, where reading the log finds them; a read that is under
// way may have looked before that.
func (m *purgeMarks) synced(seqs []uint64) {
	for _, seq := range seqs {
		if !m.has(seq) {
			continue
		}
		if m.reading {
			m.begun[seq] = true
		} else {
			delete(m.begun, seq)
		}
	}
}

// read ends a read, which has left out what has a mark here.
func (m *purgeMarks) read() {
	m.reading = false
	for seq, synced := range m.begun {
		if synced {
			delete(m.begun, seq)
		}
	}
}

// marks are a lane's purge marks from a sequence on, as many as one page of the log can meet.
func (s *Spool) marks(l *Lane, from uint64) (map[uint64]struct{}, error) {
	if l.marks.newest.Load() < from {
		return nil, nil
	}
	marks := make(map[uint64]struct{})
	err := s.scan(record.LaneKey(record.PrefixPurged, l.id), record.LaneSeqKey(record.PrefixPurged,
		l.id, from),
		func(key, _ []byte) (bool, error) {
			marks[record.KeySeq(key)] = struct{}{}
			return len(marks) < pageScanMax, nil
		})
	return marks, err
}

// isPurged reports whether a delivery was deleted by hand.
func (g *group) isPurged(l *Lane, seq uint64) bool {
	return l.marks.newest.Load() >= seq && g.has(record.LaneSeqKey(record.PrefixPurged, l.id, seq))
}

// dropMarks forgets the purge marks of events that go.
func (g *group) dropMarks(seqs []uint64) {
	for _, l := range g.s.Lanes() {
		for _, seq := range seqs {
			if g.isPurged(l, seq) {
				g.delete(record.LaneSeqKey(record.PrefixPurged, l.id, seq))
			}
		}
	}
}
