package jetstream

import (
	"maps"
	"sync"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// news is what others have written since it was asked last.
type news struct {
	token chan struct{} // of one, so that a token stays until it is taken

	mu   sync.Mutex // guards below
	told engine.News

	// The follower's own: what is read and not applied yet.
	read engine.News
}

func noNews() engine.News {
	return engine.News{Kinds: make(map[byte]bool), Lanes: make(map[record.LaneID]bool)}
}

// wrote notes what another relay has written.
func (n *news) wrote(w *write) {
	if n.read.Kinds == nil {
		n.read = noNews()
	}
	switch w.kind {
	case eventSubject, deletedSubject:
		n.read.Kinds[record.PrefixLog] = true
	default:
		n.read.Kinds[w.key[0]] = true
		if lane, ok := laneOf(w.key); ok {
			n.read.Lanes[lane] = true
		}
	}
}

// moved notes that a lane has another owner, or that a relay is another than before.
func (n *news) moved() { n.read.Crew = true }

// forget drops what was read and not applied; it is read again.
func (n *news) forget() { n.read = engine.News{} }

// died makes known that relays give no signs any more.
func (n *news) died() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told.Kinds == nil {
		n.told = noNews()
	}
	n.told.Crew = true
	n.give()
}

func (n *news) give() {
	select {
	case n.token <- struct{}{}:
	default:
	}
}

// tell makes what was read known, as it is applied.
func (n *news) tell() {
	if n.read.Kinds == nil && !n.read.Crew {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told.Kinds == nil {
		n.told = noNews()
	}
	maps.Copy(n.told.Kinds, n.read.Kinds)
	maps.Copy(n.told.Lanes, n.read.Lanes)
	n.told.Crew = n.told.Crew || n.read.Crew
	n.read = engine.News{}
	n.give()
}

// take hands out what is known.
func (n *news) take() engine.News {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := n.told
	n.told = engine.News{}
	if told.Kinds == nil {
		told = noNews()
	}
	return told
}
