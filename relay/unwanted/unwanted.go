// Package unwanted remembers the newest events that no target wanted, for whoever asks where one of
// them is. They were answered 200 and never spooled, so nothing but this memory can tell.
//
// It is bounded in number and in bytes, and written by whoever accepts: a lock and a store.
// Why nobody wanted an event is worked out by whoever asks.
package unwanted

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool"
)

const (
	// Most are remembered, with bytesMax of what they hold.
	Most     = 4096
	bytesMax = 4 << 20
	// judgesMax bounds the configurations that are kept alive by events judged by them.
	judgesMax = 4
	// eventBytes is about what one takes beside what it holds.
	eventBytes = 160
	// nameBytesMax bounds a content type; a longer one is left out.
	nameBytesMax = 256
)

// Event is one that no target wanted.
type Event struct {
	ID, Type, ContentType string
	At                    time.Time
	Session               spool.Session
	Bytes                 int // of the payload
	// By is what judged it, and Left what that wants to know again.
	By, Left any
}

// Memory are the newest of them. The zero Memory is empty. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex // guards below
	ring  []remembered
	next  uint64 // number of the next one; those before it are in the ring as far as they are kept
	first uint64 // number of the oldest that is kept
	bytes int
	// judges are what judged those that are kept, newest last.
	judges []any
}

// remembered is an event with what it takes.
type remembered struct {
	Event
	bytes int
}

// Note remembers an event. held is about how many bytes its Left holds.
func (m *Memory) Note(e Event, held int) {
	if len(e.ContentType) > nameBytesMax {
		e.ContentType = ""
	}
	r := remembered{e, eventBytes + len(e.ID) + len(e.Type) + len(e.ContentType) + held}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admitLocked(e.By)
	for m.next-m.first >= Most || m.next > m.first && m.bytes+r.bytes > bytesMax {
		m.dropLocked()
	}
	if at := int(m.next % Most); at < len(m.ring) {
		m.ring[at] = r
	} else {
		m.ring = append(m.ring, r)
	}
	m.next++
	m.bytes += r.bytes
}

// dropLocked forgets the oldest.
func (m *Memory) dropLocked() {
	old := &m.ring[m.first%Most]
	m.bytes -= old.bytes
	*old = remembered{}
	m.first++
}

// admitLocked makes room for what a judge leaves: one too many, and the events of the oldest go.
func (m *Memory) admitLocked(by any) {
	if n := len(m.judges); n > 0 && m.judges[n-1] == by {
		return
	}
	for i, known := range m.judges {
		if known == by {
			m.judges = append(append(m.judges[:i:i], m.judges[i+1:]...), by)
			return
		}
	}
	if m.judges = append(m.judges, by); len(m.judges) <= judgesMax {
		return
	}
	gone := m.judges[0]
	m.judges = append([]any(nil), m.judges[1:]...)
	for n := m.first; n < m.next; n++ {
		if r := &m.ring[n%Most]; r.By == gone {
			m.bytes -= r.bytes
			*r = remembered{}
		}
	}
}

// Find is the newest event with an id, as far as it is remembered.
func (m *Memory) Find(id string) (Event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := m.next; n > m.first; n-- {
		if r := &m.ring[(n-1)%Most]; r.ID == id && r.bytes > 0 {
			return r.Event, true
		}
	}
	return Event{}, false
}
