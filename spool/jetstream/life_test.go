package jetstream

import (
	"errors"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// A relay that gives no sign is dead after a while, but only if others were heard of meanwhile: one
// that stood still itself, or whose servers did, takes nobody for dead because of that.
func TestDeath(t *testing.T) {
	const dead = 3 * time.Second
	now := time.Unix(1_000_000, 0)
	r := newRelays(dead)
	lives := func(names ...string) {
		t.Helper()
		list := r.list()
		if len(list) != len(names) {
			t.Fatalf("%v live; want %q", list, names)
		}
		for i, name := range names {
			if list[i].Name != name {
				t.Errorf("%s lives; want %s", list[i].Name, name)
			}
		}
	}
	pass := func(d time.Duration, givers ...string) {
		now = now.Add(d)
		r.applied(now, now)
		for _, name := range givers {
			r.gave(name, seenRelay{sign: sign{Incarnation: name + "1"}, stored: now}, now)
		}
	}
	pass(time.Second, "a", "b", "c")
	lives("a", "b", "c")
	pass(time.Second, "a", "b")
	pass(time.Second, "a")
	died := func(want, wantDoubt bool) {
		t.Helper()
		if died, doubt := r.died(now); died != want || doubt != wantDoubt {
			t.Errorf("died: %v, doubt: %v; want %v, %v", died, doubt, want, wantDoubt)
		}
	}
	died(false, false)
	pass(time.Second, "a") // c gives no sign for three seconds, b for two
	lives("a", "b")
	died(true, false)
	died(false, false)

	now = now.Add(time.Minute) // it stands still
	lives("a", "b")
	died(false, true)
	r.applied(now, now) // the first message after that
	lives("a", "b")
	pass(time.Second/2, "b")
	pass(time.Second/2, "b")
	lives("a", "b")
	for range 4 {
		pass(time.Second/2, "b")
	}
	lives("b")
	died(true, false)

	if !r.gave("a", seenRelay{sign: sign{Incarnation: "a1"}, stored: now}, now) {
		t.Error("one that gives a sign again does not come")
	}
	if r.gave("a", seenRelay{sign: sign{Incarnation: "a1"}, stored: now}, now) {
		t.Error("it comes twice")
	}
	for _, s := range []sign{{Incarnation: "a1", Note: []byte("x")}, {Incarnation: "a2"},
		{Incarnation: "a2", Gone: true}} {
		if !r.gave("a", seenRelay{sign: s, stored: now}, now) {
			t.Errorf("%+v changes nothing", s)
		}
	}
	lives("b")
	died(false, false)
	if r.lives(owner{"b", "b0"}) {
		t.Error("an incarnation before lives")
	}

	stored := now
	late := func(seconds int) { // what is read was stored soon after b's last sign
		for range seconds {
			now, stored = now.Add(time.Second), stored.Add(time.Second/10)
			r.applied(stored, now)
		}
	}
	late(5)
	lives("b")
	late(5) // or the clock of the servers is another
	lives()

	pass(time.Second, "b")
	if !r.wrote("b", "b2") {
		t.Error("that another has the name changes nothing")
	}
	pass(time.Second, "b") // it does not know yet
	lives()
	if r.wrote("c", "c1") || !r.gave("b", seenRelay{sign: sign{Incarnation: "b2"}, stored: now}, now) {
		t.Error("one that has the name does not come")
	}
	lives("b")
}

// A relay that follows the stream no further says so, and takes no events.
func TestBehind(t *testing.T) {
	const dead = 3 * time.Second
	now := time.Unix(1_000_000, 0)
	r := newRelays(dead)
	if err := r.behind(now); err != nil {
		t.Errorf("before it has read anything: %v", err)
	}
	r.applied(now, now)
	if err := r.behind(now.Add(dead)); err != nil {
		t.Errorf("after %v: %v", dead, err)
	}
	if err := r.behind(now.Add(2 * dead)); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("after %v: %v", 2*dead, err)
	}
	r.applied(now, now.Add(2*dead))
	if err := r.behind(now.Add(2 * dead)); err != nil {
		t.Errorf("once it goes on: %v", err)
	}
}
