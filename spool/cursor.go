package spool

import (
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// cursorLife is how long a cursor may be read from. What it sees stays on disk and in memory
	// until it is closed.
	cursorLife = time.Second
	// cursorsMax lanes keep a cursor between two pages; the others open one for each.
	cursorsMax = 16
)

// logCursor is a place in the log as it was at one instant. A lane that has fallen behind keeps it
// from page to page, because opening a snapshot of the engine waits for the commit under way, of
// which there are 15 a second while the engine compacts.
type logCursor struct {
	look engine.Look
	at   engine.Walker
	head uint64 // the newest event that is sure to be seen
	next uint64 // the sequence it stands at; it may not exist
	born time.Time
}

// openCursor makes a cursor that stands at a sequence.
func (s *Spool) openCursor(from uint64) *logCursor {
	// The head first, so that the snapshot has it.
	c := &logCursor{head: s.head.Load(), next: from, born: time.Now()}
	c.look = s.engine.Look()
	c.at = c.look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	c.at.Seek(record.LogKey(from))
	return c
}

func (c *logCursor) close() {
	c.at.Close()
	c.look.Close()
}

// cursorAt is the lane's cursor, or a new one. fetching is held.
func (l *Lane) cursorAt(from uint64) *logCursor {
	c := l.cursor
	if c != nil && c.next == from && time.Since(c.born) < cursorLife {
		return c
	}
	l.dropCursor()
	return l.s.openCursor(from)
}

// keepCursor keeps a cursor for the lane's next page, if there is more to see and not too many are
// kept. fetching is held.
func (l *Lane) keepCursor(c *logCursor, more bool) {
	more = more && !l.s.closed()
	switch {
	case c == l.cursor && more:
		return
	case c == l.cursor:
		l.dropCursor()
		return
	case more && l.s.cursors.Add(1) <= cursorsMax:
		l.cursor = c
		return
	case more:
		l.s.cursors.Add(-1)
	}
	c.close()
}

// dropCursor closes what is kept. fetching is held.
func (l *Lane) dropCursor() {
	if l.cursor != nil {
		l.cursor.close()
		l.cursor = nil
		l.s.cursors.Add(-1)
	}
}

// dropCursors closes the cursors of lanes that have not been read since an instant; of all lanes,
// when the spool closes.
func (s *Spool) dropCursors(since time.Time) {
	for _, l := range s.Lanes() {
		if !s.closed() {
			if !l.fetching.TryLock() {
				continue // it is being read, and looks at its age itself
			}
		} else {
			l.fetching.Lock()
		}
		if l.cursor != nil && (s.closed() || l.cursor.born.Before(since)) {
			l.dropCursor()
		}
		l.fetching.Unlock()
	}
}
