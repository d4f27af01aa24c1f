package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// Story tells a conversation again from its events, oldest first, by the rules of Apply. It knows
// nothing of what was before its first event. As long as the business writes at least once a
// window, each increment begins where the one before lets it, so that a story which begins in the
// middle may have them begin at other messages; Anchor sets the last one right.
type Story struct {
	Window time.Duration
	// Anchor is when the last increment was opened, as it is remembered; zero: nobody knows.
	Anchor time.Time
	c      conversation
}

// Step is what an event did to its conversation.
type Step struct {
	// Opened: it opened an increment, which ends at Until.
	Opened bool
	// Activated: with it both sides have written.
	Activated bool
	// ByUser: the increment that runs was initiated by the user, who wrote less than a window before.
	ByUser bool
	State  spool.Session
	// Until is when the increment ends that runs; zero: none does.
	Until time.Time
}

// Next lets one event happen.
func (s *Story) Next(side Side, now time.Time) Step {
	before := s.c.state(now, s.Window)
	was := s.c.opened
	if side == SideBusiness && now.Equal(s.Anchor) {
		s.c.opened = now
	}
	s.c.apply(side, now, s.Window)
	step := Step{Opened: !s.c.opened.Equal(was), State: s.c.state(now, s.Window)}
	step.Activated = step.State == spool.SessionActive && before != spool.SessionActive
	if s.c.running(now, s.Window) {
		step.Until = s.c.opened.Add(s.Window)
		step.ByUser = step.Opened && step.State == spool.SessionActive
	}
	return step
}

// String is what the story knows, for ParseStory.
func (s *Story) String() string {
	return fmt.Sprintf("%d,%d", nanos(s.c.opened), nanos(s.c.lastUser))
}

// ParseStory reads String; false: it is none.
func ParseStory(text string, window time.Duration) (*Story, bool) {
	opened, user, _ := strings.Cut(text, ",")
	a, err := strconv.ParseUint(opened, 10, 63)
	b, more := strconv.ParseUint(user, 10, 63)
	s := &Story{Window: window, c: conversation{opened: instant(a), lastUser: instant(b)}}
	return s, err == nil && more == nil
}

// Names are the keys that a text may stand for: itself if it is "field=value", else the value of
// any of the key fields.
func Names(s *config.Session, text string) []string {
	if field, _, ok := strings.Cut(text, "="); ok && slices.Contains(s.KeyFields, field) {
		return []string{text}
	}
	var keys []string
	for _, field := range s.KeyFields {
		if key, ok := shortened(text); ok {
			keys = append(keys, field+"="+key)
		}
	}
	return keys
}

// namesMax bounds the keys whose roots a Finder remembers.
const namesMax = 4096

// Finder recognises the events of one conversation, whichever of its keys they name. It is not safe
// for concurrent use.
type Finder struct {
	cfg    *config.Session
	m      Memory
	wanted map[string]bool   // roots
	roots  map[string]string // of keys that were met
}

// NewFinder makes one for the conversation that some keys name. Its Memory must forget.
func NewFinder(cfg *config.Session, m Memory, names []string) *Finder {
	f := &Finder{cfg: cfg, m: m, wanted: make(map[string]bool), roots: make(map[string]string)}
	for _, name := range names {
		f.wanted[f.root(name)] = true
	}
	return f
}

func (f *Finder) root(key string) string {
	root, ok := f.roots[key]
	if !ok {
		if len(f.roots) >= namesMax {
			clear(f.roots)
		}
		root = findRoot(f.m, key, f.cfg.Window)
		f.roots[key] = root
	}
	return root
}

// Find is what an event of a type says of the conversation; false: it is of another one, or none.
func (f *Finder) Find(typ string, in Payload) (Talk, bool) {
	t := Read(f.cfg, typ, in)
	for _, key := range t.Keys {
		if f.wanted[f.root(key)] {
			return t, true
		}
	}
	return t, false
}
