package spool

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/record"
)

// wayModel is a way and where each delivery of it must be.
type wayModel struct {
	way
	head    uint64
	waiting map[uint64]bool
	flying  map[uint64]bool
	settled map[uint64]bool
	// purged were, and hidden are those of them that a read of the log leaves out.
	purged, hidden map[uint64]bool
}

func newWayModel(bytesMax int64) *wayModel {
	m := &wayModel{way: way{memory: &feed{max: bytesMax}, next: 1},
		waiting: map[uint64]bool{}, flying: map[uint64]bool{}, settled: map[uint64]bool{},
		purged: map[uint64]bool{}, hidden: map[uint64]bool{}}
	m.open = true
	return m
}

func (m *wayModel) append(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "events") {
		m.head++
		m.waiting[m.head] = true
		e := &fed{Event: &record.Event{Seq: m.head}}
		kept := m.memory.keep(e, 1)
		m.feed(e)
		if kept {
			m.memory.letGo(e)
		}
	}
}

// fetch does what Lane.Fetch does, with a log that has every event.
func (m *wayModel) fetch(t *rapid.T) {
	most := rapid.IntRange(1, 8).Draw(t, "most")
	var out []*record.Event
	if !m.behind || len(m.fresh) > 0 {
		out = m.takeFresh(most)
	} else {
		p := m.page(most)
		out = m.takePage(p)
		m.readTo(p.next, m.head)
	}
	last := uint64(0)
	for _, e := range out {
		if !m.waiting[e.Seq] || e.Seq <= last {
			t.Fatalf("delivery %d is handed out after %d; it is not to be", e.Seq, last)
		}
		last = e.Seq
		delete(m.waiting, e.Seq)
		m.flying[e.Seq] = true
	}
}

func (m *wayModel) page(most int) (p page) {
	for p.next = m.next; p.next <= m.head && len(p.events) < most; p.next++ {
		if !m.hidden[p.next] {
			p.events = append(p.events, &record.Event{Seq: p.next})
		}
	}
	return p
}

func (m *wayModel) settle(t *rapid.T) {
	seq := m.draw(t)
	if got := m.pass(seq); got != m.flying[seq] {
		t.Fatalf("delivery %d is passed: %v; want %v", seq, got, !got)
	}
	if m.flying[seq] {
		delete(m.flying, seq)
		m.settled[seq] = true
	}
}

func (m *wayModel) giveBack(t *rapid.T) {
	seq := m.draw(t)
	m.release(seq)
	for s := range m.flying {
		if s >= seq {
			delete(m.flying, s)
			m.waiting[s] = true
		}
	}
}

func (m *wayModel) remove(t *rapid.T) {
	seq := m.draw(t)
	if m.hidden[seq] {
		return // its lane knows
	}
	want := m.waiting[seq] || m.flying[seq]
	there, unread := m.purge(seq)
	if there != want || unread != m.waiting[seq] {
		t.Fatalf("delivery %d is purged: %v, %v; want %v, %v", seq, there, unread, want, m.waiting[seq])
	}
	if there {
		delete(m.waiting, seq)
		delete(m.flying, seq)
		m.settled[seq] = true
		m.purged[seq], m.hidden[seq] = true, unread
	}
}

func (m *wayModel) look(t *rapid.T) {
	if len(m.window)+len(m.fresh) > 0 || !m.behind {
		return
	}
	p := m.page(rapid.IntRange(1, 8).Draw(t, "most"))
	if _, ok := m.findOldest(p); !ok {
		m.readTo(p.next, m.head)
	}
}

func (m *wayModel) idle(*rapid.T) {
	if len(m.waiting)+len(m.flying) == 0 {
		m.rest(m.head)
		if m.behind || m.position(m.head) != m.head {
			panic("a way that owes nothing stays behind")
		}
	}
}

func (m *wayModel) turn(*rapid.T) {
	if m.open = !m.open; !m.open {
		m.drop()
	}
}

// draw is some event.
func (m *wayModel) draw(t *rapid.T) uint64 {
	return rapid.Uint64Range(1, max(m.head, 1)).Draw(t, "seq")
}

// check holds the way against the model.
func (m *wayModel) check(t *rapid.T) {
	position := m.position(m.head)
	var above []uint64
	size, places := int64(0), int64(0)
	for seq := uint64(1); seq <= m.head; seq++ {
		if !m.settled[seq] && seq <= position {
			t.Fatalf("the position is %d and delivery %d is not settled", position, seq)
		}
		if m.purged[seq] {
			continue // what is said of it until its mark is written, says nobody
		}
		if got := m.unsettled(seq); got == m.settled[seq] {
			t.Fatalf("delivery %d is unsettled: %v; want %v", seq, got, !got)
		}
		if m.settled[seq] && seq > position && seq < m.next {
			above = append(above, seq)
		}
	}
	for _, seq := range m.above(position) {
		if !m.settled[seq] {
			t.Fatalf("delivery %d is told as settled", seq)
		}
		above = slices.DeleteFunc(above, func(other uint64) bool { return other == seq })
	}
	for _, seq := range above {
		if slices.ContainsFunc(m.window, func(s slot) bool { return s.seq == seq }) {
			t.Fatalf("delivery %d is settled above the position %d, and not told", seq, position)
		}
	}
	for _, e := range m.fresh {
		size += e.size()
		places += placeBytes
	}
	if size != m.freshBytes || size+places != m.memory.bytes.Load() {
		t.Fatalf("%d bytes are in memory, with places %d; counted are %d and %d", size, size+places,
			m.freshBytes, m.memory.bytes.Load())
	}
	if m.inFlight() != uint64(len(m.flying)) {
		t.Fatalf("%d are in flight; want %d", m.inFlight(), len(m.flying))
	}
	m.checkOldest(t)
}

func (m *wayModel) checkOldest(t *rapid.T) {
	p, ok := m.oldest()
	for seq := uint64(1); ok && seq <= m.head; seq++ {
		if !m.settled[seq] {
			if p.Seq != seq {
				t.Fatalf("the oldest delivery is %d; want %d", p.Seq, seq)
			}
			return
		}
	}
	if ok {
		t.Fatalf("the oldest delivery is %d; all are settled", p.Seq)
	}
}

// Whatever happens in whatever order, each delivery is handed out in its turn until it is settled,
// and the position passes none that is not.
func TestWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		m := newWayModel(rapid.SampledFrom([]int64{100, 2000, 1 << 20}).Draw(r, "memory"))
		r.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append2": m.append, "fetch": m.fetch, "fetch2": m.fetch,
			"settle": m.settle, "settle2": m.settle, "settle3": m.settle, "give back": m.giveBack,
			"purge": m.remove, "oldest": m.look, "rest": m.idle, "open": m.turn,
			"": m.check,
		})
		m.open = true
		for len(m.waiting)+len(m.flying) > 0 {
			before := len(m.waiting) + len(m.flying)
			m.fetch(r)
			for seq := range m.flying {
				m.pass(seq)
				delete(m.flying, seq)
				m.settled[seq] = true
			}
			if before == len(m.waiting) && !m.behind && len(m.fresh) == 0 {
				r.Fatalf("%d deliveries are never handed out", len(m.waiting))
			}
			m.check(r)
		}
	})
}
