package peers

import (
	"sync"
	"time"
)

const (
	// DriftPatience is how long another relay may have another config before it is told: they are
	// reloaded one after the other.
	DriftPatience = 5 * time.Second
	// clockMin is the least difference of clocks that is told, however short the ticks are: it is
	// measured no better than a message is fast.
	clockMin = time.Second
)

// Peer is one of the relays that share a spool, as another one sees it.
type Peer struct {
	Name string
	Note Note
	// SeenAt is when it last gave a sign of life, by this machine's clock.
	SeenAt time.Time
	// Ahead is how far its clock is ahead of ours; behind: negative.
	Ahead time.Duration
	// Differs: it has had another config than ours for longer than DriftPatience.
	Differs bool
	// Strays: its clock differs from ours by more than a tick.
	Strays bool
}

// Finding is something about another relay that was not so at the look before.
type Finding struct {
	Peer Peer
	// Config: it has another config, or the same again. Clock: the same of its clock.
	Config, Clock bool
}

// Watch remembers how long the others have differed. The zero Watch is ready, and safe for
// concurrent use.
type Watch struct {
	mu    sync.Mutex // guards below
	known map[string]*memory
}

// memory is what is known of one other relay.
type memory struct {
	mine, theirs string    // configs that differ; empty: they do not
	since        time.Time // when they were first seen
	differs      bool      // for long enough
	strays       bool
}

// Sight is what there is to see at one look.
type Sight struct {
	Now time.Time
	// Mine is what this relay says of itself.
	Mine Note
	// Interval is its tick.
	Interval time.Duration
	// Others are the others, with what they say and how far ahead they are.
	Others []Peer
}

// Look judges the others, and returns what has changed since the look before.
func (w *Watch) Look(s Sight) (found []Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.known
	w.known = make(map[string]*memory, len(s.Others))
	for _, p := range s.Others {
		m := before[p.Name]
		if m == nil {
			m = new(memory)
		}
		w.known[p.Name] = m
		f := Finding{Config: m.compare(s.Mine.Config, p.Note.Config, s.Now)}
		strays := max(p.Ahead, -p.Ahead) > max(s.Interval, clockMin)
		f.Clock, m.strays = strays != m.strays, strays
		p.Differs, p.Strays = m.differs, m.strays
		if f.Peer = p; f.Config || f.Clock {
			found = append(found, f)
		}
	}
	return found
}

// compare notes two configs, and reports whether that is to be told: once for two that differ, and
// when they do not any more. A relay that has said nothing yet differs from nobody.
func (m *memory) compare(mine, theirs string, now time.Time) bool {
	if mine == theirs || theirs == "" {
		was := m.differs
		m.mine, m.theirs, m.differs = "", "", false
		return was
	}
	if m.mine == "" {
		m.since = now
	}
	told := m.differs && m.mine == mine && m.theirs == theirs
	m.mine, m.theirs = mine, theirs
	m.differs = m.differs || now.Sub(m.since) > DriftPatience
	return m.differs && !told
}

// Judge adds to others what the last look found of them.
func (w *Watch) Judge(others []Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range others {
		if m := w.known[others[i].Name]; m != nil {
			others[i].Differs, others[i].Strays = m.differs, m.strays
		}
	}
}

// Differs reports whether any of the others has another config.
func (w *Watch) Differs() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.known {
		if m.differs {
			return true
		}
	}
	return false
}
