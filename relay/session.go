package relay

import (
	"encoding/binary"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// side is who wrote, as far as an event tells.
type side uint8

const (
	sideNone side = iota
	sideUser
	sideBusiness
)

// talk is what an event says about its conversation; made by the accepting goroutine, applied in
// commit order.
type talk struct {
	keys []string // field=value, in the order of key_fields; never empty
	side side
}

// sideOf decides who wrote. Only events of the two lists take a side at all, and on those the
// owner field of the body overrides the list (Wati sends true, "true", false or "false").
func sideOf(s *config.Session, typ string, owner string) side {
	listed := sideNone
	switch {
	case matchAny(s.UserEvents, typ):
		listed = sideUser
	case matchAny(s.BusinessEvents, typ):
		listed = sideBusiness
	}
	switch {
	case listed == sideNone:
		return sideNone
	case owner == "true":
		return sideBusiness
	case owner == "false":
		return sideUser
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
func (c *conversation) apply(s side, now time.Time, window time.Duration) {
	switch s {
	case sideUser:
		if now.After(c.lastUser) {
			c.lastUser = now
		}
	case sideBusiness:
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
// "a" + key the key under which the conversation is kept. Aliases outlive many windows, because a
// status event names only one of a conversation's keys.
const (
	statePrefixConversation = "c"
	statePrefixAlias        = "a"
	aliasKept               = 30 * 24 * time.Hour
	aliasHopsMax            = 8
)

// talkState is where conversations are kept: a *spool.View, or a memo when nothing may change.
type talkState interface {
	// Get returns a value that is not to be changed; nil: there is none.
	Get(key []byte) []byte
	// Put stores a value that may be forgotten after ttl.
	Put(key, value []byte, ttl time.Duration)
}

// stateBefore is the state of a conversation before an event.
func stateBefore(v talkState, t *talk, now time.Time, window time.Duration) spool.Session {
	var c conversation
	for _, key := range t.keys {
		c.merge(readConversation(v, resolveAlias(v, key)))
	}
	return c.state(now, window)
}

// applyTalk brings a conversation up to date and returns its state after the event (CONTRACT §7).
func applyTalk(v talkState, t *talk, now time.Time, window time.Duration) spool.Session {
	root := resolveAlias(v, t.keys[0])
	stored := readConversation(v, root)
	c := stored
	for _, key := range t.keys[1:] {
		other := resolveAlias(v, key)
		if other != root {
			c.merge(readConversation(v, other))
			putAlias(v, other, root)
		}
		if key != root {
			putAlias(v, key, root)
		}
	}
	if first := t.keys[0]; first != root {
		putAlias(v, first, root)
	}
	c.apply(t.side, now, window)
	if c != stored {
		putConversation(v, root, c, window)
	}
	return c.state(now, window)
}

// resolveAlias follows aliases to the key under which a conversation is kept.
func resolveAlias(v talkState, key string) string {
	for range aliasHopsMax {
		next := v.Get([]byte(statePrefixAlias + key))
		if len(next) == 0 {
			break
		}
		key = string(next)
	}
	return key
}

func putAlias(v talkState, key, root string) {
	if string(v.Get([]byte(statePrefixAlias+key))) != root {
		v.Put([]byte(statePrefixAlias+key), []byte(root), aliasKept)
	}
}

func readConversation(v talkState, key string) conversation {
	b := v.Get([]byte(statePrefixConversation + key))
	if len(b) != 16 {
		return conversation{}
	}
	return conversation{
		opened:   instant(binary.BigEndian.Uint64(b)),
		lastUser: instant(binary.BigEndian.Uint64(b[8:])),
	}
}

func putConversation(v talkState, key string, c conversation, window time.Duration) {
	if c == (conversation{}) {
		return
	}
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, nanos(c.opened))
	binary.BigEndian.PutUint64(b[8:], nanos(c.lastUser))
	// What happened more than a window ago says nothing any more. An hour on top, because the
	// spool's expiry has a grain of a second and a clock of its own.
	v.Put([]byte(statePrefixConversation+key), b, window+time.Hour)
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
