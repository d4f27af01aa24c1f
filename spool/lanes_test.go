package spool

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// feedModel is a feed, its lanes and what each of them is owed.
type feedModel struct {
	*Spool
	head uint64
	seen map[*fed]bool
	owed map[*Lane][]uint64 // in order
	got  map[*Lane]int      // how many of them were handed out
}

func newFeedModel(lanes int, bytesMax int64) *feedModel {
	m := &feedModel{Spool: &Spool{engine: ownEngine{}, now: time.Now,
		byName: map[string]*Lane{}, byID: map[record.LaneID]*Lane{},
		dirtyC: make(chan struct{}, 1), fresh: feed{max: bytesMax}},
		owed: map[*Lane][]uint64{}, seen: map[*fed]bool{}, got: map[*Lane]int{}}
	for i := range lanes {
		l, err := m.addLane(record.LaneID(i+1), fmt.Sprint(i))
		if err != nil {
			panic(err) // it has nobody to ask
		}
		l.way.open = true
	}
	return m
}

// ownEngine has every lane.
type ownEngine struct{ engine.Engine }

func (ownEngine) Own(record.LaneID) (engine.Tenure, error) { return engine.Tenure{}, nil }

// commit feeds the lanes a group, in which each event is owed to some of them.
func (m *feedModel) commit(t *rapid.T) {
	g := &group{s: m.Spool}
	for range rapid.IntRange(1, 6).Draw(t, "events") {
		m.head++
		var ids []record.LaneID
		for _, l := range m.lanes {
			if rapid.IntRange(0, 3).Draw(t, "owed") > 0 {
				ids = append(ids, l.id)
				m.owed[l] = append(m.owed[l], m.head)
			}
		}
		parts := record.Parts{Payload: make([]byte, rapid.IntRange(0, 3000).Draw(t, "bytes"))}
		rec, sum := parts.LayOut(len(ids))
		rec, _ = record.SealEvent(rec, record.Seal{Seq: m.head, Lanes: ids, Sum: sum})
		g.events, g.owed = append(g.events, record.Sealed(rec)), append(g.owed, ids)
	}
	m.Spool.head.Store(m.head)
	feedLanes(g.s, g.events, g.owed, nil)
}

// fetch does what Lane.Fetch does, with a log that has every event.
func (m *feedModel) fetch(t *rapid.T) {
	m.fetchOf(t, m.draw(t), rapid.IntRange(1, 20).Draw(t, "most"))
}

func (m *feedModel) fetchOf(t *rapid.T, l *Lane, most int) {
	var out []*record.Event
	if l.way.behind && len(l.way.fresh) == 0 {
		p := page{next: m.head + 1}
		for _, seq := range m.owed[l] {
			if seq >= l.way.next && len(p.events) == most {
				p.next = seq
				break
			} else if seq >= l.way.next {
				p.events = append(p.events, &record.Event{Seq: seq})
			}
		}
		out = l.way.takePage(p)
		l.way.readTo(p.next, m.head)
	} else {
		out = l.way.takeFresh(most)
	}
	for _, e := range out {
		if want := m.owed[l][m.got[l]]; e.Seq != want {
			t.Fatalf("lane %s is handed event %d; want %d", l.name, e.Seq, want)
		}
		m.got[l]++
		l.way.pass(e.Seq)
	}
}

func (m *feedModel) turn(t *rapid.T) {
	l := m.draw(t)
	if l.way.open = !l.way.open; !l.way.open {
		l.way.drop()
	}
}

func (m *feedModel) draw(t *rapid.T) *Lane {
	return m.lanes[rapid.IntRange(0, len(m.lanes)-1).Draw(t, "lane")]
}

// check counts what is in memory again.
func (m *feedModel) check(t *rapid.T) {
	places := map[*fed]int64{}
	for _, l := range m.lanes {
		size := int64(0)
		for _, e := range l.way.fresh {
			places[e]++
			size += e.size()
		}
		if size != l.way.freshBytes || len(l.way.fresh) > 1 && size > m.fresh.max/freshShare {
			t.Fatalf("lane %s keeps %d bytes; counted are %d", l.name, size, l.way.freshBytes)
		}
	}
	bytes := int64(0)
	for e, n := range places {
		bytes += e.size() + n*placeBytes
	}
	if bytes != m.fresh.bytes.Load() || bytes > m.fresh.max {
		t.Fatalf("%d bytes are in memory, %d at most; counted are %d", bytes, m.fresh.max,
			m.fresh.bytes.Load())
	}
	for e := range places {
		m.seen[e] = true
	}
	for e := range m.seen {
		if int64(e.keepers.Load()) != places[e] || (e.Event == nil) != (places[e] == 0) {
			t.Fatalf("%d lanes keep an event; counted are %d", places[e], e.keepers.Load())
		}
	}
}

// Whatever lanes want and do, each is handed what it is owed, all of it, once and in order, and
// what is in memory is within its bound, each event counted once.
func TestFeed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		m := newFeedModel(rapid.IntRange(1, 6).Draw(r, "lanes"),
			rapid.SampledFrom([]int64{1000, 20_000, 60_000, freshBytesMax}).Draw(r, "memory"))
		r.Repeat(map[string]func(*rapid.T){"commit": m.commit, "commit2": m.commit, "fetch": m.fetch,
			"fetch2": m.fetch, "fetch3": m.fetch, "open": m.turn, "": m.check})
		for _, l := range m.lanes {
			for m.got[l] < len(m.owed[l]) {
				before := m.got[l]
				if m.fetchOf(r, l, 20); m.got[l] == before {
					r.Fatalf("lane %s is handed %d events of %d", l.name, before, len(m.owed[l]))
				}
			}
		}
		m.check(r)
	})
}

// Lanes that stand still do not send those that keep up to the log, however much they fill.
func TestFeedStandstill(t *testing.T) {
	f := open(t)
	f.fresh.max = 256 << 10
	still := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range still {
		f.lane(name).Open(true)
	}
	l := f.lane("healthy")
	l.Open(true)
	payload := string(make([]byte, 4<<10))
	for _, name := range still {
		for range 2 * f.fresh.max / freshShare / int64(len(payload)) {
			f.append(payload, name, "healthy")
			l.mu.Lock()
			behind := l.way.behind
			l.mu.Unlock()
			if behind {
				t.Fatalf("a lane that keeps up is to read the log, with %d bytes in memory",
					f.fresh.bytes.Load())
			}
			for _, e := range f.fetch(l, 1) {
				f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
			}
		}
	}
	for _, name := range still {
		want := int(2 * f.fresh.max / freshShare / int64(len(payload)))
		f.fetch(f.lane(name), want)
		f.none(f.lane(name))
	}
}
