package jetstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
)

// deadDefault is how long nothing is seen of a relay until its lanes are anybody's, unless told
// otherwise.
const deadDefault = 3 * time.Second

// What goes with it, as shares: a relay gives signs of life liveShare times within it, and others
// look lookShare times for somebody who gives none any more. After a stallShare without any message
// whoever follows the stream stands still, and not those that it hears nothing of. Who reads late
// waits lateShare times as long at most.
const liveShare, lookShare, stallShare, lateShare = 3, 30, 2, 3

const (
	// signTTL is how long the stream knows a relay that gives no sign.
	signTTL = time.Hour
	// oldAfter: a sign as old is nobody's who lives, whatever the clocks of the servers.
	oldAfter = time.Minute
	// noteBytesMax bounds what a relay says of itself: all of it goes with each sign.
	noteBytesMax = 128 << 10
	// goneMax is how long saying that it has gone may hold a relay.
	goneMax = time.Second
)

// sign is a sign of life.
type sign struct {
	Incarnation string `json:"incarnation"`
	Note        []byte `json:"note,omitempty"`
	Sent        int64  `json:"sent"` // unix nanoseconds, by the relay's clock
	// Leaving: the relay takes no lanes any more. Gone: it is the last one.
	Leaving bool `json:"leaving,omitempty"`
	Gone    bool `json:"gone,omitempty"`
	// Copies is what it knows of the servers' copies, if it leads.
	Copies *engine.Copies `json:"copies,omitempty"`
}

func readSign(data []byte) (s sign, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("cannot read a sign of life: %w", err)
	}
	return s, nil
}

// seenRelay is the last sign of life of a relay.
type seenRelay struct {
	sign
	seq    uint64
	seen   time.Time
	counts time.Time // from when on it is waited for the next one
	stored time.Time // by a server's clock
}

// relays are those that share the spool, by their signs of life.
type relays struct {
	deadAfter time.Duration

	mu   sync.Mutex // guards below
	seen map[string]seenRelay
	// heard is when the stream was last heard of, and stored when that was, by a server's clock.
	heard, stored time.Time
	living        map[string]bool // as it was told last
	// names are whose each name is: those incarnations that write under it.
	names map[string]string
}

func (r *relays) stall() time.Duration { return r.deadAfter / stallShare }

// applied hears that the stream is followed. Time without that is nobody's death: there were no
// signs, or this relay did not see them, because it stood still itself.
func (r *relays) applied(stored, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gap := now.Sub(r.heard); gap > r.stall() {
		for name, s := range r.seen {
			s.counts = s.counts.Add(gap)
			r.seen[name] = s
		}
	}
	r.heard, r.stored = now, stored
}

// newRelays are none.
func newRelays(deadAfter time.Duration) *relays {
	return &relays{deadAfter: deadAfter, seen: make(map[string]seenRelay),
		living: make(map[string]bool), names: make(map[string]string)}
}

// wrote hears who writes under a name. If it was another before, that one is no relay any more, and
// what it still says of itself is ignored: it stood still, and does not know yet.
func (r *relays) wrote(name, incarnation string) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = incarnation
	if s, ok := r.seen[name]; !ok || s.Incarnation == incarnation {
		return false
	}
	delete(r.seen, name)
	delete(r.living, name)
	return true
}

// gave takes a sign of life. It reports whether the relay came, went, or says something else.
func (r *relays) gave(name string, s seenRelay, now time.Time) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if writes, known := r.names[name]; known && writes != s.Incarnation {
		return false
	}
	before := r.seen[name]
	changed = before.Incarnation != s.Incarnation || r.living[name] == s.Gone ||
		before.Leaving != s.Leaving || !bytes.Equal(before.Note, s.Note)
	if r.living[name] = true; s.Gone {
		delete(r.living, name)
	}
	s.seen, s.counts = now, now
	r.seen[name] = s
	return changed
}

// livesLocked reports whether a relay is waited for, as of when the stream was heard of last. Both
// clocks must say that it gives no sign: this machine's, and the servers', by which a relay that
// reads the stream late sees that what it reads is old. But two servers may differ in their clocks.
func (r *relays) livesLocked(s seenRelay) bool {
	here, there := r.heard.Sub(s.counts), r.stored.Sub(s.stored)
	return !s.Gone && (here < r.deadAfter || there < r.deadAfter && here < lateShare*r.deadAfter)
}

// behind is why this relay does not know what is there: it has followed the stream no further for
// longer than it takes anybody, itself too, to give a sign of life.
func (r *relays) behind(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lag := now.Sub(r.heard); !r.heard.IsZero() && lag > r.deadAfter {
		return fmt.Errorf("%w: this relay's copy of the stream is %s behind", engine.ErrUnavailable,
			lag.Round(time.Second))
	}
	return nil
}

// lives reports whether a relay is the one that gives signs of life.
func (r *relays) lives(o owner) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[o.Relay]
	return ok && s.Incarnation == o.Incarnation && r.livesLocked(s)
}

// died reports whether one that lived does not any more. doubt: one would not, if more were heard.
func (r *relays) died(now time.Time) (changed, doubt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.living, func(name string, _ bool) bool {
		s := r.seen[name]
		dead := !r.livesLocked(s)
		changed = changed || dead
		doubt = doubt || !dead && now.Sub(s.counts) > r.deadAfter
		return dead
	})
	return changed, doubt
}

// start forgets those that gave their last sign long before the stream was read.
func (r *relays) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.seen, func(name string, s seenRelay) bool {
		old := r.stored.Sub(s.stored) > oldAfter
		if old {
			delete(r.living, name)
		}
		return old
	})
}

func (r *relays) of(name string) (s seenRelay, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok = r.seen[name]
	return s, ok
}

// copies is what a relay has told last of the servers' copies; nil: none has.
func (r *relays) copies() (told *engine.Copies) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.Copies != nil && (told == nil || s.Copies.Looked.After(told.Looked)) {
			told = s.Copies
		}
	}
	return told
}

// list is those that live and stay, by name.
func (r *relays) list() (list []engine.Relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, s := range r.seen {
		if r.livesLocked(s) && !s.Leaving {
			list = append(list, engine.Relay{Name: name, Note: bytes.Clone(s.Note), Seen: s.seen,
				Ahead: time.Unix(0, s.Sent).Sub(s.stored)})
		}
	}
	slices.SortFunc(list, func(a, b engine.Relay) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// saying is what this relay says of itself.
type saying struct {
	mu      sync.Mutex // guards note and leaving
	note    []byte
	leaving bool
	// changed has a token once it says something else.
	changed chan struct{}
}

// say reports false for what is too large.
func (s *saying) say(note []byte) bool {
	if len(note) > noteBytesMax {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(note, s.note) {
		s.note = bytes.Clone(note)
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	return true
}

// sign is the sign of life of this moment.
func (c *committer) sign(gone bool) (*nats.Msg, error) {
	c.saying.mu.Lock()
	s := sign{Incarnation: c.incarnation, Note: c.saying.note, Sent: time.Now().UnixNano(),
		Leaving: c.saying.leaving, Gone: gone, Copies: c.copies.Told()}
	c.saying.mu.Unlock()
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot write a sign of life: %w", err)
	}
	m := nats.NewMsg(c.subject(named(relaySubject, c.relay)))
	m.Data = data
	m.Header[rollupHeader] = []string{"sub"}
	m.Header[ttlHeader] = []string{signTTL.String()}
	return m, nil
}

// Leave is part of engine.Shared. Others hear of it before it returns, if they can.
func (e *Engine) Leave() {
	e.saying.mu.Lock()
	e.saying.leaving = true
	e.saying.mu.Unlock()
	ctx, cancel := context.WithTimeout(e.ctx, goneMax)
	defer cancel()
	m, err := e.sign(false)
	if err == nil {
		_, err = e.send(ctx, m)
	}
	if err != nil {
		e.log.Debug("nobody hears that this relay leaves", "error", err)
	}
}

// leave says that this relay has gone, if it was there.
func (e *Engine) leave() {
	e.quiet()
	e.signs.Wait()
	if e.ctx.Err() != nil || !e.joined {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, goneMax)
	defer cancel()
	m, err := e.sign(true)
	if err == nil {
		_, err = e.send(ctx, m)
	}
	if err != nil {
		e.log.Debug("nobody hears that this relay has gone", "error", err)
	}
}
