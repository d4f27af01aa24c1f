package look

import (
	"fmt"
	"math"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// listStepsMax bounds what one page of a listing passes of an index, deleted keys and old versions
// of keys included.
const listStepsMax = 4 * searchMax

// Listing selects deliveries of one lane, oldest event first; zero fields select all.
type Listing struct {
	// Lane is the lane. Nothing is listed of one whose target was forgotten.
	Lane record.LaneID
	// State is record.StatePending, record.StateExhausted or record.StateExpired.
	State record.State
	// From is the next of the page before; 0: from the oldest on.
	From uint64
	// Since and Until bound the instant of acceptance.
	Since, Until time.Time
	// Match says which types.
	Match func(typ string) bool
	Limit int
	Picking
}

// List returns one page, each delivery as an event with its one Place, and where the next page goes
// on; 0 after the last. A page may be short, even empty, and not the last. An event that cannot be
// read has no ID. Nothing that is in the state throughout is missed, whatever moves meanwhile: a
// pending delivery keeps its sequence and moves only from the log to the exceptions, which are read
// in that order, with a Barrier between.
func List(s Source, q Listing) (found []Found, next uint64, err error) {
	l, ok := s.LaneNow(q.Lane)
	if !ok {
		return nil, 0, nil
	}
	from := q.From
	if !q.Since.IsZero() {
		first, err := firstAfter(s, q.Since.Add(-searchSlack), true)
		if err != nil {
			return nil, 0, err
		}
		from = max(from, first)
	}
	m := lister{s: s, q: &q, target: l.Target, prefix: record.PrefixExhausted}
	if q.State == record.StatePending {
		m.prefix = record.PrefixException
		most := q.Limit + 1
		if q.Match != nil || q.Event != nil || q.Place != nil || !q.Since.IsZero() ||
			!q.Until.IsZero() {
			most = math.MaxInt // many may not be asked for; a call has bounds of its own
		}
		if m.fresh, m.next, err = s.Fresh(q.Lane, from, most); err != nil {
			return nil, 0, err
		}
		s.Barrier()
	}
	if err := m.merge(from); err != nil {
		return nil, 0, fmt.Errorf("cannot list deliveries of target %q: %w", l.Target, err)
	}
	return m.found, m.next, nil
}

// lister merges what is still in the log with what is kept beside it.
type lister struct {
	s      Source
	q      *Listing
	target string
	prefix byte
	fresh  []*record.Event // ascending, not listed yet
	found  []Found
	next   uint64 // what is from here on is for the next page; 0: this is the last
	full   bool   // no more goes into this page
	looked int    // at keys
	size   int    // bytes of events
}

func (m *lister) merge(from uint64) error {
	look := m.s.Records().Look()
	defer look.Close()
	l, _ := m.s.LaneNow(m.q.Lane)
	if l.Failed || m.q.State != record.StatePending {
		all := stretch{m.prefix, m.q.Lane, from, math.MaxUint64}
		cut, err := all.scan(look, listStepsMax, func(seq uint64, value []byte) bool {
			m.kept(look, seq, value)
			return !m.full && (m.next == 0 || seq < m.next)
		})
		if err != nil {
			return err
		}
		if cut > 0 && !m.full {
			m.stop(cut)
		}
	}
	m.before(m.next)
	return nil
}

// kept lists one delivery from beside the log, after what comes before it.
func (m *lister) kept(look engine.Look, seq uint64, value []byte) {
	if m.looked++; m.looked > searchMax || m.size > searchBytesMax || m.q.enough() {
		m.stop(seq)
	}
	if m.next > 0 && seq >= m.next {
		return
	}
	m.before(seq)
	if len(m.fresh) > 0 && m.fresh[0].Seq == seq {
		m.fresh = m.fresh[1:] // it failed meanwhile
	}
	at := Place{Lane: m.q.Lane, Target: m.target, State: m.q.State}
	x, err := record.DecodeException(value)
	if err == nil {
		at.Delivery = x.Delivery()
	} else {
		x, at.LastError = &record.Exception{}, err.Error()
	}
	if m.full || m.next > 0 && seq >= m.next {
		return
	}
	m.q.Seen.note(seq)
	if m.q.State != record.StatePending && x.Kept() != m.q.State || !m.inTime(x.At) ||
		m.q.Place != nil && !m.q.Place(seq, &at) {
		return
	}
	f, picked, err := summary(look, seq, &m.q.Picking)
	m.size += f.Bytes
	if err != nil {
		f, picked = Found{Seq: seq, At: x.At}, m.q.Event == nil
	}
	if picked {
		m.add(f, at, err != nil)
	}
}

// before lists what is in the log before a sequence; 0: all of it.
func (m *lister) before(seq uint64) {
	for len(m.fresh) > 0 && !m.full && (seq == 0 || m.fresh[0].Seq < seq) {
		e := m.fresh[0]
		if m.q.enough() {
			m.stop(e.Seq)
			m.full = true
			return
		}
		m.fresh = m.fresh[1:]
		m.q.Seen.note(e.Seq)
		at := Place{Lane: m.q.Lane, Target: m.target, State: record.StatePending,
			Fresh: true}
		if m.inTime(e.At) && (m.q.Place == nil || m.q.Place(e.Seq, &at)) && m.q.picks(e) {
			m.add(foundOf(e), at, false)
		}
	}
}

// inTime reports whether an instant is asked for. Well beyond the end there is nothing more.
func (m *lister) inTime(at time.Time) bool {
	if !m.q.Until.IsZero() && at.After(m.q.Until.Add(searchSlack)) {
		m.full, m.next = true, 0
	}
	return (m.q.Since.IsZero() || !at.Before(m.q.Since)) &&
		(m.q.Until.IsZero() || !at.After(m.q.Until))
}

// add lists one delivery, or leaves it to the next page. One that cannot be read has no type.
func (m *lister) add(f Found, at Place, unread bool) {
	switch {
	case m.q.Match != nil && (unread || !m.q.Match(f.Type)):
	case len(m.found) >= m.q.Limit:
		m.full, m.next = true, f.Seq
	default:
		f.Places = []Place{at}
		m.found = append(m.found, f)
	}
}

// stop leaves what is from a sequence on to the next page.
func (m *lister) stop(seq uint64) {
	if m.next == 0 || seq < m.next {
		m.next = seq
	}
}
