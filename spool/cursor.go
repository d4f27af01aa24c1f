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

// keptCursor is the cursor that a lane keeps from page to page, if it keeps one. The lane's
// fetching guards it.
type keptCursor struct {
	s *Spool
	c *logCursor
}

// at is the cursor that is kept, or a new one.
func (k *keptCursor) at(from uint64) *logCursor {
	if k.c != nil && k.c.next == from && time.Since(k.c.born) < cursorLife {
		return k.c
	}
	k.drop()
	return k.s.openCursor(from)
}

// keep keeps a cursor for the next page, if there is more to see and not too many are kept.
func (k *keptCursor) keep(c *logCursor, more bool) {
	more = more && !k.s.closed()
	switch {
	case c == k.c && more:
		return
	case c == k.c:
		k.drop()
		return
	case more && k.s.cursors.Add(1) <= cursorsMax:
		k.c = c
		return
	case more:
		k.s.cursors.Add(-1)
	}
	c.close()
}

// drop closes what is kept.
func (k *keptCursor) drop() {
	if k.c != nil {
		k.c.close()
		k.c = nil
		k.s.cursors.Add(-1)
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
		if c := l.cursor.c; c != nil && (s.closed() || c.born.Before(since)) {
			l.cursor.drop()
		}
		l.fetching.Unlock()
	}
}
