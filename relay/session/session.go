// Package session is the 24-hour increment of a conversation (CONTRACT §7): when one opens, whether
// both sides wrote in it, and which keys name the same conversation. It is pure: all it knows is
// read and written through a Memory, which the spool commits together with the event, and the clock
// is the instant of acceptance. It is not safe for concurrent use of one Memory; the spool calls it
// in commit order.
package session

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// Side is who wrote, as far as an event tells.
type Side uint8

// The sides. An event of no list takes none.
const (
	SideNone Side = iota
	SideUser
	SideBusiness
)

// Talk is what an event says about its conversation; made by the accepting goroutine, applied in
// commit order.
type Talk struct {
	Keys []string // field=value, in the order of key_fields; never empty
	Side Side
}

// SideOf decides who wrote. Only events of the two lists take a side at all, and on those the
// owner field of the body overrides the list (Wati sends true, "true", false or "false").
func SideOf(s *config.Session, typ string, owner string) Side {
	listed := SideNone
	switch {
	case matchAny(s.UserEvents, typ):
		listed = SideUser
	case matchAny(s.BusinessEvents, typ):
		listed = SideBusiness
	}
	switch {
	case listed == SideNone:
		return SideNone
	case owner == "true":
		return SideBusiness
	case owner == "false":
		return SideUser
	}
	return listed
}

func matchAny(patterns []config.Pattern, typ string) bool {
	for _, p := range patterns {
		if p.Match(typ) {
			return true
		}
	}
	return false
}

// conversation is the stored state: when the running increment was opened by a business message,
// and when the user wrote last. Both zero: nothing is known. From the two follows everything: the
// increment is [opened, opened+window), and the user's side is in it if the user wrote after
// opened−window (a message less than a window before the opening makes it user-initiated).
type conversation struct {
	opened   time.Time
	lastUser time.Time
}

// apply lets one event happen. Increments are fixed: further messages do not extend one.
func (c *conversation) apply(s Side, now time.Time, window time.Duration) {
	switch s {
	case SideUser:
		if now.After(c.lastUser) {
			c.lastUser = now
		}
	case SideBusiness:
		if !c.running(now, window) {
			c.opened = now
		}
	}
}

func (c *conversation) running(now time.Time, window time.Duration) bool {
	return !c.opened.IsZero() && now.Sub(c.opened) < window
}

func (c *conversation) state(now time.Time, window time.Duration) spool.Session {
	userIn := !c.lastUser.IsZero() && c.opened.Sub(c.lastUser) < window
	if c.running(now, window) && userIn {
		return spool.SessionActive
	}
	return spool.SessionInactive
}

// merge takes the latest of each from what was known under another key.
func (c *conversation) merge(o conversation) {
	if o.opened.After(c.opened) {
		c.opened = o.opened
	}
	if o.lastUser.After(c.lastUser) {
		c.lastUser = o.lastUser
	}
}

// Small state of the spool: "c" + key holds a conversation (two i64 of unix nanoseconds, 0: never),
// "a" + key the next key on the way to its root, the key under which the conversation is kept (none
// or empty: it is one), "r" + root how long the ways to it may be (u8, see unite). Aliases outlive
// many windows, because a status event names only one of a conversation's keys.
const (
	statePrefixConversation = "c"
	statePrefixAlias        = "a"
	statePrefixRank         = "r"
	aliasKept               = 30 * 24 * time.Hour
	// aliasHopsMax bounds a walk. The ways that unite makes are far shorter: as many hops as the
	// number of a conversation's keys has bits.
	aliasHopsMax = 1024
)

// Memory is the small state in which conversations are kept: spool.View, which is committed with
// the event, or something that forgets, when nothing may change.
type Memory interface {
	// Get reads a value, which must not be changed; nil: there is none.
	Get(key []byte) []byte
	// Put stores a value that may be forgotten after ttl.
	Put(key, value []byte, ttl time.Duration)
	// Was is when something happened at the latest that has an instant, as of now: the clock may have
	// been ahead then.
	Was(at, now time.Time) time.Time
}

// Before is the state of a conversation before an event, and the key that it is kept under. It may
// shorten ways between keys, so give it a Memory that forgets if nothing may change.
func Before(m Memory, t *Talk, now time.Time, window time.Duration) (spool.Session, string) {
	var c conversation
	for _, key := range t.Keys {
		c.merge(recall(m, findRoot(m, key, window), now))
	}
	return c.state(now, window), findRoot(m, t.Keys[0], window)
}

// Apply brings a conversation up to date and returns its state after the event (CONTRACT §7).
// Nothing is written when nothing changes.
func Apply(m Memory, t *Talk, now time.Time, window time.Duration) spool.Session {
	root := findRoot(m, t.Keys[0], window)
	stored := recall(m, root, now)
	c, united := stored, false
	for _, key := range t.Keys[1:] {
		other := findRoot(m, key, window)
		if other == root {
			continue
		}
		known := recall(m, other, now)
		c.merge(known)
		if unite(m, root, other) == other {
			root, stored = other, known
		}
		united = true
	}
	if united {
		// Also those that point there already: a key that goes on getting partners is remembered on.
		for _, key := range t.Keys {
			pointTo(m, key, root)
		}
	}
	c.apply(t.Side, now, window)
	if c != stored {
		putConversation(m, root, c, window)
	}
	return c.state(now, window)
}

// findRoot follows aliases to the root of a key, and points every key on the way there.
func findRoot(m Memory, key string, window time.Duration) string {
	var way []string
	root := key
	for {
		next := m.Get([]byte(statePrefixAlias + root))
		if len(next) == 0 {
			break
		}
		if len(way) == aliasHopsMax {
			makeRoot(m, root, way, window)
			break
		}
		way = append(way, root)
		root = string(next)
	}
	for i := 0; i < len(way)-1; i++ { // the last one points there already
		pointTo(m, way[i], root)
	}
	return root
}

// makeRoot ends a way that has no end: a ring, or what no version of unite has made. To take its
// last key for a root without making it one could build a ring.
func makeRoot(m Memory, root string, way []string, window time.Duration) {
	c := readConversation(m, root)
	for _, key := range way {
		c.merge(readConversation(m, key))
	}
	m.Put([]byte(statePrefixAlias+root), nil, aliasKept)
	putConversation(m, root, c, window)
}

// unite joins two roots and returns the one that stays: that with the longer ways, so that ways
// grow only where two are equally long (union by rank).
func unite(m Memory, a, b string) string {
	rankA, rankB := readRank(m, a), readRank(m, b)
	if rankB > rankA {
		a, b, rankA, rankB = b, a, rankB, rankA
	}
	if rankA == rankB && rankA < math.MaxUint8 {
		rankA++
	}
	pointTo(m, b, a)
	m.Put([]byte(statePrefixRank+a), []byte{rankA}, aliasKept)
	return a
}

func readRank(m Memory, root string) uint8 {
	if b := m.Get([]byte(statePrefixRank + root)); len(b) == 1 {
		return b[0]
	}
	return 0
}

func pointTo(m Memory, key, root string) {
	if key != root {
		m.Put([]byte(statePrefixAlias+key), []byte(root), aliasKept)
	}
}

// recall is a conversation as it is known at an instant.
func recall(m Memory, key string, now time.Time) conversation {
	c := readConversation(m, key)
	return conversation{opened: m.Was(c.opened, now), lastUser: m.Was(c.lastUser, now)}
}

func readConversation(m Memory, key string) conversation {
	b := m.Get([]byte(statePrefixConversation + key))
	if len(b) != 16 {
		return conversation{}
	}
	return conversation{
		opened:   instant(binary.BigEndian.Uint64(b)),
		lastUser: instant(binary.BigEndian.Uint64(b[8:])),
	}
}

func putConversation(m Memory, key string, c conversation, window time.Duration) {
	if c == (conversation{}) {
		return
	}
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, nanos(c.opened))
	binary.BigEndian.PutUint64(b[8:], nanos(c.lastUser))
	// What happened more than a window ago says nothing any more. An hour on top, because the
	// spool's expiry has a grain of a second and a clock of its own.
	m.Put([]byte(statePrefixConversation+key), b, window+time.Hour)
}

func instant(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}

func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}
