package session

import (
	"time"

	"github.com/hookspool/hookspool/spool"
)

// Known is what is kept of a conversation.
type Known struct {
	// Root is the key that it is kept under.
	Root string
	// Opened is when a business message opened the increment that was last, LastUser when the user
	// wrote last; zero: not within what is remembered.
	Opened, LastUser time.Time
	State            spool.Session
}

// Until is when the increment ends that runs; zero: none does.
func (k *Known) Until(now time.Time, window time.Duration) time.Time {
	if c := (&conversation{opened: k.Opened}); !c.running(now, window) {
		return time.Time{}
	}
	return k.Opened.Add(window)
}

// Recall is what is kept of the conversation that a key names. It may shorten ways between keys, as
// Before does.
func Recall(m Memory, key string, now time.Time, window time.Duration) Known {
	root := findRoot(m, key, window)
	c := recall(m, root, now)
	return Known{Root: root, Opened: c.opened, LastUser: c.lastUser, State: c.state(now, window)}
}

// RecallFor is what is kept of the conversation that an event belongs to. It may shorten ways
// between keys, as Before does.
func RecallFor(m Memory, t *Talk, now time.Time, window time.Duration) Known {
	var c conversation
	for _, key := range t.Keys {
		c.merge(recall(m, findRoot(m, key, window), now))
	}
	return Known{Opened: c.opened, LastUser: c.lastUser}
}

// Ends is when the session that was opened last is over; zero: there was none.
func (k Known) Ends(window time.Duration) time.Time {
	if k.Opened.IsZero() {
		return time.Time{}
	}
	return k.Opened.Add(window)
}

// Why says in one sentence what makes the session active or not at an instant, of an event that
// comes then.
func (k Known) Why(now time.Time, window time.Duration) string {
	c := conversation{opened: k.Opened, lastUser: k.LastUser}
	user := "the user wrote " + whenText(k.LastUser, now)
	if k.LastUser.IsZero() {
		user = "the user has not written"
	}
	opened := "a business message opened it " + whenText(k.Opened, now)
	ends := whenText(k.Ends(window), now)
	switch {
	case k.Opened.IsZero():
		return "no business message has opened a session; " + user
	case !c.running(now, window):
		return "the last session ended " + ends + "; " + user
	case c.state(now, window) == spool.SessionActive:
		return opened + ", " + user + "; it ends " + ends
	case k.LastUser.IsZero():
		return opened + ", " + user + "; it ends " + ends
	}
	return opened + ", and " + user + ", which is too long before; it ends " + ends
}

func whenText(at, now time.Time) string {
	if at.Equal(now) {
		return "with this event"
	}
	return "at " + at.UTC().Format(time.RFC3339)
}
