package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/history"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
)

// What another relay has counted and not kept is part of a history, of its target and of all, as
// are its attempts in flight of the list. When it does not answer, both say that it is not known,
// and no list waits for it twice.
func TestPastElsewhere(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	lane := f.laneNamed("far").spool.ID()
	b := &history.Keeper{Store: f.spool, Relay: "b"}
	c := new(history.Counter)
	for range 3 {
		c.Attempt(f.Relay.now(), 0, true, time.Millisecond)
	}
	sources := []history.Source{{Lane: lane, Counter: c}}
	o.answer(func(q *peers.Question) (any, error) {
		span, known := spanNamed(q.Span)
		switch {
		case q.Verb == peers.Doing:
			return map[string]peers.Busy{"far": {InFlight: 7, JobRunning: true}}, nil
		case q.Verb != peers.Past || !known:
			return nil, spool.ErrElsewhere
		case q.Target == "":
			return b.WholePart(span, f.Relay.now(), sources), nil
		}
		return b.Part(sources[0], span, f.Relay.now()), nil
	})
	wants := func(target string, want uint32, unknown string) {
		t.Helper()
		for _, span := range []string{"1h", "24h", "30d"} {
			var h admin.History
			f.api("GET", "/v1/history?target="+target+"&span="+span, &h)
			if got := sum(h.Delivered); got != want || h.UnknownWhy != unknown ||
				(h.UnknownFrom == nil) != (unknown == "") {
				t.Errorf("in %s %q has delivered %d, want %d; unknown since %v: %q", span, target, got,
					want, h.UnknownFrom, h.UnknownWhy)
			}
		}
	}
	targets := func(name string) admin.Target {
		var list struct{ Targets []admin.Target }
		f.api("GET", "/v1/targets", &list)
		for i := range list.Targets {
			if list.Targets[i].Name == name {
				return list.Targets[i]
			}
		}
		t.Fatalf("there is no target %q", name)
		return admin.Target{}
	}
	wants("far", 3, "")
	wants("near", 0, "")
	wants("", 3, "")
	f.wait("what b does", func() bool {
		far := targets("far")
		return far.InFlight != nil && *far.InFlight == 7 && far.JobRunning
	})
	if near := targets("near"); near.InFlight == nil || *near.InFlight != 0 {
		t.Errorf("near: %+v", near)
	}
	o.answer(nil)
	wants("far", 0, `relay "b" does not answer`)
	wants("near", 0, "")
	wants("", 0, `relay "b" does not answer`)
	f.wait("b to be silent", func() bool { return targets("far").InFlight == nil })
	if err := b.Keep(f.Relay.now(), sources, true); err != nil {
		t.Fatal(err)
	}
	f.spool.Barrier()
	wants("far", 3, `relay "b" does not answer`)
	o.change(func() { o.owners[lane] = "" })
	wants("far", 3, "no relay serves it at the moment")
	if asked := strings.Join(o.questions(), ", "); !strings.Contains(asked, "past far") ||
		!strings.Contains(asked, "doing ") {
		t.Errorf("asked %s", asked)
	}
}

func sum(list []uint32) (n uint32) {
	for _, v := range list {
		n += v
	}
	return n
}

// A lane that goes to another relay takes the minute under way along.
func TestPastMoves(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	l := f.laneNamed("near")
	l.minutes.Attempt(f.Relay.now(), 0, true, time.Millisecond)
	f.give(o, "near", 0)
	f.wait("its minute to be kept", func() bool {
		other := history.Keeper{Store: f.spool, Relay: "b"}
		s, err := other.Of(l.spool.ID(), history.Spans()[0], f.Relay.now())
		return err == nil && sum(s.Values(history.Delivered)) == 1
	})
	if left := l.minutes.Look(); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
