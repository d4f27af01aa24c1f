package session

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/wallclock"
)

// notes is a Memory that counts what is asked of it.
type notes struct {
	kept       map[string]string
	gets, puts int
	clock      wallclock.Clock
}

func (n *notes) Was(at, now time.Time) time.Time { return n.clock.Was(at, now) }

func (n *notes) Get(key []byte) []byte {
	n.gets++
	return []byte(n.kept[string(key)])
}

func (n *notes) Put(key, value []byte, _ time.Duration) {
	n.puts++
	n.kept[string(key)] = string(value)
}

// chat plays a conversation whose keys become known one after the other.
type chat struct {
	*notes
	t   *testing.T
	now time.Time
}

func newChat(t *testing.T) *chat {
	return &chat{&notes{kept: map[string]string{}}, t, time.Unix(1_700_000_000, 0)}
}

func (c *chat) say(s Side, keys ...string) spool.Session {
	c.now = c.now.Add(time.Second)
	return Apply(c, &Talk{Keys: keys, Side: s}, c.now, 24*time.Hour)
}

// check wants the conversation under every key, after a few hops and without a write.
func (c *chat) check(what string, keys []string) {
	c.t.Helper()
	for round := range 2 {
		for _, key := range keys {
			c.gets, c.puts = 0, 0
			if got := c.say(SideNone, key); got != spool.SessionActive {
				c.t.Errorf("%s: the session of %s is %v", what, key, got)
			}
			if c.gets > 8 || round > 0 && (c.gets > 3 || c.puts > 0) {
				c.t.Errorf("%s, round %d: %s took %d reads and %d writes", what, round, key, c.gets,
					c.puts)
			}
		}
	}
	c.gets, c.puts = 0, 0
	if c.say(SideNone, keys...); c.puts > 0 {
		c.t.Errorf("%s: an event that tells nothing new wrote %d times", what, c.puts)
	}
}

// However many keys a conversation has, and in whatever order they were linked, it is one.
func TestAliases(t *testing.T) {
	const links = 50
	var keys []string
	for i := range links + 1 {
		keys = append(keys, fmt.Sprint("k=", i))
	}
	f := func(what string, pair func(i int) []string) {
		t.Helper()
		c := newChat(t)
		c.say(SideBusiness, pair(0)...)
		for i := range links {
			c.say(SideNone, pair(i)...)
		}
		if got := c.say(SideUser, pair(links-1)...); got != spool.SessionActive {
			t.Errorf("%s: what was linked last is %v", what, got)
		}
		c.check(what, keys)
	}
	// A chain from its beginning, from its end, and either with the new key last.
	f("forward", func(i int) []string { return []string{keys[i+1], keys[i]} })
	f("forward, swapped", func(i int) []string { return []string{keys[i], keys[i+1]} })
	f("backward", func(i int) []string { return []string{keys[links-i-1], keys[links-i]} })
	f("backward, swapped", func(i int) []string { return []string{keys[links-i], keys[links-i-1]} })
	// One user with a new conversation every time.
	f("star", func(i int) []string { return []string{keys[i+1], keys[0]} })
	f("star, swapped", func(i int) []string { return []string{keys[0], keys[i+1]} })
}

// Trees of equal height are the worst there is: their ways grow with the logarithm alone.
func TestAliasesOfEqualTrees(t *testing.T) {
	c := newChat(t)
	var keys []string
	for i := range 256 {
		keys = append(keys, fmt.Sprint("k=", i))
	}
	c.say(SideBusiness, keys[0])
	c.say(SideUser, keys[255])
	for width := 1; width < len(keys); width *= 2 {
		for i := 0; i < len(keys); i += 2 * width {
			a, b := findRoot(c, keys[i], time.Hour), findRoot(c, keys[i+width], time.Hour)
			c.say(SideNone, a, b)
		}
	}
	for _, key := range keys {
		hops := 0
		for next := key; c.kept[statePrefixAlias+next] != ""; hops++ {
			next = c.kept[statePrefixAlias+next]
		}
		if hops > 8 {
			t.Fatalf("the way of %s has %d hops", key, hops)
		}
	}
	if got := c.say(SideNone, keys[100]); got != spool.SessionActive {
		t.Errorf("the session is %v", got)
	}
}

// A ring, as versions that cut walks short could make one, ends at the first event, and nothing
// that was known under any of its keys is lost. A long way with an end is none.
func TestAliasRing(t *testing.T) {
	f := func(length int, end string) {
		t.Helper()
		c := newChat(t)
		var keys []string
		for i := range length {
			keys = append(keys, fmt.Sprint("k=", i))
		}
		c.say(SideUser, keys[length-1])
		if end == "" {
			c.say(SideBusiness, keys[length-1])
		} else {
			c.say(SideBusiness, keys[0])
		}
		for i, key := range keys {
			c.kept[statePrefixAlias+key] = keys[(i+1)%length]
		}
		c.kept[statePrefixAlias+keys[length-1]] = end
		for range 2 {
			if got := c.say(SideNone, keys[0]); got != spool.SessionActive {
				t.Errorf("%d keys, %q: the session is %v", length, end, got)
			}
		}
		for _, key := range keys {
			if root := findRoot(c, key, time.Hour); findRoot(c, root, time.Hour) != root {
				t.Errorf("%d keys, %q: %s still has no root", length, end, key)
			}
		}
		c.gets = 0
		if c.say(SideNone, "other=1", keys[0]); c.gets > 20 {
			t.Errorf("%d keys, %q: %d reads after the repair", length, end, c.gets)
		}
	}
	for _, length := range []int{1, 2, 3, 50} {
		f(length, "k=0")
	}
	f(50, "k=25")
	f(50, "")
	f(aliasHopsMax, "k=0")
	f(aliasHopsMax+1, "")
}

// The repair of a ring outlives a restart: an empty alias is one that ends the way.
func TestAliasRingOnDisk(t *testing.T) {
	dir := t.TempDir() + "/spool"
	var roots []string
	run := func(ring bool) {
		t.Helper()
		s, err := spool.Open(spool.Options{Dir: dir, Log: slog.New(slog.DiscardHandler),
			Decide: func(v *spool.View, d *spool.Draft) {
				if ring {
					v.Put([]byte(statePrefixAlias+"k=0"), []byte("k=1"), aliasKept)
					v.Put([]byte(statePrefixAlias+"k=1"), []byte("k=0"), aliasKept)
					return
				}
				roots = append(roots, findRoot(v, "k=0", time.Hour), findRoot(v, "k=1", time.Hour))
			}})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if err := errors.Join(s.Append(&spool.Draft{At: time.Now()}), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	run(true)
	run(false)
	run(false)
	for _, root := range roots {
		if root != roots[0] {
			t.Fatalf("the roots are %q", roots)
		}
	}
}
