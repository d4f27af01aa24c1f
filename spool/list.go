package spool

import (
	"fmt"
	"math"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// listStepsMax bounds what one page of a listing passes of an index, deleted keys and old versions
// of keys included.
const listStepsMax = 4 * SearchMax

// Listing selects deliveries of one lane, oldest event first; zero fields select all.
type Listing struct {
	// State is StatePending or StateExhausted.
	State State
	// From is the next of the page before; 0: from the oldest on.
	From uint64
	// Since and Until bound the instant of acceptance.
	Since, Until time.Time
	// Match says which types.
	Match func(typ string) bool
	Limit int
}

// List returns one page, each delivery as an event with its one Place, and where the next page goes
// on; 0 after the last. A page may be short, even empty, and not the last. An event that cannot be
// read has no ID. Nothing that is in the state throughout is missed, whatever moves meanwhile: a
// pending delivery keeps its sequence and moves only from the log to the exceptions, which are read
// in that order, with the committer's groups between.
func (l *Lane) List(q Listing) (found []Found, next uint64, err error) {
	from := q.From
	if !q.Since.IsZero() {
		first, err := l.s.firstAfter(q.Since.Add(-searchSlack), true)
		if err != nil {
			return nil, 0, err
		}
		from = max(from, first)
	}
	m := lister{l: l, q: &q, prefix: record.PrefixExhausted}
	if q.State == StatePending {
		m.prefix = record.PrefixException
		most := q.Limit + 1
		if q.Match != nil || !q.Since.IsZero() || !q.Until.IsZero() {
			most = pageScanMax // many may not be asked for
		}
		if m.fresh, m.next, err = l.FreshDeliveries(from, most); err != nil {
			return nil, 0, err
		}
		// A spool that failed lists what is on its disk.
		_ = l.s.Apply(Change{empty: true})
	}
	if err := m.merge(from); err != nil {
		return nil, 0, fmt.Errorf("cannot list deliveries of target %q: %w", l.name, err)
	}
	return m.found, m.next, nil
}

// lister merges what is still in the log with what is kept beside it.
type lister struct {
	l      *Lane
	q      *Listing
	prefix byte
	fresh  []Listed // ascending, not listed yet
	found  []Found
	next   uint64 // what is from here on is for the next page; 0: this is the last
	full   bool   // no more goes into this page
	looked int    // at keys
	size   int    // bytes of events
}

func (m *lister) merge(from uint64) error {
	look := m.l.s.engine.Look()
	defer look.Close()
	c := m.l.Counts()
	if c.Pending > c.Fresh || m.q.State == StateExhausted {
		all := stretch{m.prefix, m.l, from, math.MaxUint64}
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
	if m.looked++; m.looked > SearchMax || m.size > searchBytesMax {
		m.stop(seq)
	}
	if m.next > 0 && seq >= m.next {
		return
	}
	m.before(seq)
	if len(m.fresh) > 0 && m.fresh[0].Seq == seq {
		m.fresh = m.fresh[1:] // it failed meanwhile
	}
	at := Place{Lane: m.l, State: m.q.State}
	x, err := record.DecodeException(value)
	if err == nil {
		at.Delivery = x.Delivery()
	} else {
		x, at.LastError = &record.Exception{}, err.Error()
	}
	if m.full || !m.inTime(x.At) {
		return
	}
	f, err := summary(look, seq)
	m.size += f.Bytes
	if err != nil {
		f = Found{Seq: seq, At: x.At}
	}
	m.add(f, at, err != nil)
}

// before lists what is in the log before a sequence; 0: all of it.
func (m *lister) before(seq uint64) {
	for len(m.fresh) > 0 && !m.full && (seq == 0 || m.fresh[0].Seq < seq) {
		e := m.fresh[0].Event
		m.fresh = m.fresh[1:]
		if m.inTime(e.At) {
			m.add(foundOf(e), Place{Lane: m.l, State: StatePending}, false)
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

// stretch is a part of a lane's table.
type stretch struct {
	prefix   byte
	lane     *Lane
	from, to uint64
}

// scan visits the keys of a stretch in order until visit says no. Unlike engine.Scan it takes a
// step for a deleted key as well, of which an engine may otherwise pass any number at once. cut is
// the sequence at which most steps were taken; 0: it came to its end.
func (r stretch) scan(look engine.Look, most int, visit func(seq uint64, value []byte) bool) (
	cut uint64, err error) {
	at := look.Walk(engine.Walk{Prefix: record.LaneKey(r.prefix, r.lane.id), Gone: true})
	defer at.Close()
	steps, last := 0, uint64(0)
	for at.Seek(record.LaneSeqKey(r.prefix, r.lane.id, r.from)); at.Valid(); at.Next() {
		seq := record.KeySeq(at.Key())
		if seq == last {
			continue // an older version, which may be of a deleted key
		}
		if seq > r.to {
			return 0, nil
		}
		if steps++; steps > most {
			return seq, nil
		}
		last = seq
		if at.Gone() {
			continue
		}
		more := true
		err := at.View(func(value []byte) error {
			more = visit(seq, value)
			return nil
		})
		if err != nil || !more {
			return 0, err
		}
	}
	return 0, nil
}
