package spool

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// SearchMax bounds the records that one page of a search looks at, searchBytesMax their bytes: a
	// search costs the same whatever the backlog is, and whoever wants more asks for the next page.
	SearchMax      = 2000
	searchBytesMax = 32 << 20
	// searchSlack is how far two events may stand in the other order than they came in: the instant
	// is taken when an event has arrived, the sequence when it is committed. A clock that is set back
	// by more leaves a stretch of the log in which bounds of time find less.
	searchSlack = time.Second
	// probeMax bounds the deleted records that one step of a search by time passes.
	probeMax = 256
)

// Search selects events, newest first; zero fields select all.
type Search struct {
	// Below is the next of the page before; 0: from the newest on.
	Below uint64
	// Since and Until bound the instant of acceptance.
	Since, Until time.Time
	// Match says which types.
	Match func(typ string) bool
	// Lane owes the event; Places then has its state alone if LaneOnly.
	Lane     *Lane
	LaneOnly bool
	// State is that of some delivery of the event, to Lane if it is set.
	State State
	Limit int
}

// Found is one event of a search, without its payload. The strings are its own.
type Found struct {
	Seq                   uint64
	ID, Type, ContentType string
	At                    time.Time
	Session               record.Session
	Bytes                 int // of the payload
	// Places are where its deliveries are.
	Places []Place
	lanes  []record.LaneID
}

// Place is where one delivery is; its Delivery has no Event.
type Place struct {
	Lane  *Lane
	State State
	Delivery
}

func foundOf(e *record.Event) Found {
	f := Found{Seq: e.Seq, ID: strings.Clone(e.ID()), Type: strings.Clone(e.Type()),
		ContentType: strings.Clone(e.ContentType()), At: e.At, Session: e.Session,
		Bytes: len(e.Payload())}
	e.LaneIDs(func(lane record.LaneID) { f.lanes = append(f.lanes, lane) })
	return f
}

// Search returns one page, and where the next one goes on; 0 after the last. A page may be short,
// even empty, and not the last. Events that cannot be read are left out.
func (s *Spool) Search(q Search) (found []Found, next uint64, err error) {
	below := s.head.Load() + 1
	if q.Below > 0 {
		below = min(below, q.Below)
	}
	if !q.Until.IsZero() {
		end, err := s.firstAfter(q.Until.Add(searchSlack), false)
		if err != nil {
			return nil, 0, err
		}
		below = min(below, end)
	}
	enough := q.Limit
	if q.State != StateNone {
		enough = SearchMax
	}
	ended := false
	next, err = s.scanDown(below, func(e *record.Event) bool {
		ended = !q.Since.IsZero() && e.At.Before(q.Since.Add(-searchSlack))
		if ended || len(found) >= enough {
			return false
		}
		if q.selects(e) {
			found = append(found, foundOf(e))
		}
		return true
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cannot search the log below %d: %w", below, err)
	}
	if ended {
		next = 0
	}
	return s.placed(&q, found, next)
}

// selects judges what a record itself tells.
func (q *Search) selects(e *record.Event) bool {
	return (q.Since.IsZero() || !e.At.Before(q.Since)) &&
		(q.Until.IsZero() || !e.At.After(q.Until)) &&
		(q.Lane == nil || e.OwedTo(q.Lane.id)) && (q.Match == nil || q.Match(e.Type()))
}

// placed says where the deliveries of a page are, and drops what is not in the state asked for.
func (s *Spool) placed(q *Search, found []Found, next uint64) ([]Found, uint64, error) {
	if q.State == StateNone {
		return found, next, s.place(found, nil)
	}
	if err := s.place(found, q.Lane); err != nil {
		return nil, 0, err
	}
	out := found[:0]
	for i := range found {
		if !found[i].in(q.State) {
			continue
		}
		if len(out) == q.Limit {
			next = out[len(out)-1].Seq
			break
		}
		out = append(out, found[i])
	}
	if q.Lane == nil || q.LaneOnly {
		return out, next, nil
	}
	return out, next, s.place(out, nil)
}

func (f *Found) in(state State) bool {
	for i := range f.Places {
		if f.Places[i].State == state {
			return true
		}
	}
	return false
}

// scanDown visits the events below a sequence, newest first, until visit says no, which leaves that
// event to the next page, or the page is full. The event is valid during the visit only. next is
// the bound of the next page; 0: there is nothing more.
//
// Every version of a key is looked at, because Badger would otherwise pass any number of deleted
// ones in one step; whether an old one still counts is asked where the sweep has been.
func (s *Spool) scanDown(below uint64, visit func(e *record.Event) bool) (next uint64, err error) {
	look := s.engine.Look()
	defer look.Close()
	swept := s.swept.Load() // after the snapshot: it moves before a removal can be seen
	at := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: true, Gone: true})
	defer at.Close()
	size := 0
	steps := 0
	for at.Seek(record.LogKey(below - 1)); at.Valid(); at.Next() {
		seq := record.KeySeq(at.Key())
		if steps++; steps > SearchMax || size > searchBytesMax {
			return seq + 1, nil
		}
		if at.Gone() || seq <= swept && !has(look, at.Key()) {
			continue
		}
		more := true
		err := at.View(func(value []byte) error {
			size += len(value)
			if e, err := record.DecodeEvent(value, seq); err == nil {
				more = visit(e)
			}
			return nil
		})
		if err != nil || !more {
			return seq + 1, err
		}
	}
	return 0, nil
}

func has(look engine.Look, key []byte) bool {
	return look.View(key, func([]byte) error { return nil }) == nil
}

// firstAfter is the sequence of the first event accepted after an instant, or one more than the
// newest: a binary search over the log, as exact as its order. Where the log is gone nobody knows;
// early lets that count as after the instant, so that the answer comes out too early rather than
// too late.
func (s *Spool) firstAfter(at time.Time, early bool) (uint64, error) {
	look := s.engine.Look()
	defer look.Close()
	walk := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Gone: true})
	defer walk.Close()
	low, high := uint64(1), s.head.Load()+1
	for low < high {
		mid := low + (high-low)/2
		seq, accepted, err := probe(walk, mid)
		if err != nil {
			return 0, fmt.Errorf("cannot search the log at %d: %w", mid, err)
		}
		after := early
		switch {
		case seq > 0:
			after = accepted.After(at)
		case seq == 0 && !walk.Valid():
			after = true // nothing from mid on
		}
		if after {
			high = mid
		} else {
			low = max(mid+1, min(seq+1, high))
		}
	}
	return low, nil
}

// probe is the first record from a sequence on that still tells its instant, deleted or not; 0:
// there is none near.
func probe(w engine.Walker, from uint64) (seq uint64, at time.Time, err error) {
	w.Seek(record.LogKey(from))
	for range probeMax {
		if !w.Valid() {
			return 0, at, nil
		}
		if !w.Gone() {
			err = w.View(func(value []byte) error {
				at = record.AcceptedAt(value)
				return nil
			})
			return record.KeySeq(w.Key()), at, err
		}
		w.Next()
	}
	return 0, at, nil
}

// Summary is what a listing shows of one event. Errors as of Event.
func (s *Spool) Summary(seq uint64) (Found, error) {
	look := s.engine.Look()
	defer look.Close()
	return summary(look, seq)
}

// summary reads a record in place; no payload is copied.
func summary(look engine.Look, seq uint64) (f Found, err error) {
	err = look.View(record.LogKey(seq), func(value []byte) error {
		e, err := record.DecodeEvent(value, seq)
		if err == nil {
			f = foundOf(e)
		}
		return err
	})
	return f, err
}

// State reads small keyed state as it was committed last. Nil: there is none.
func (s *Spool) State(key []byte) []byte {
	value, err := s.get(append([]byte{record.PrefixState}, key...))
	if err != nil {
		return nil
	}
	state, err := record.DecodeState(value)
	if err != nil {
		return nil
	}
	return bytes.Clone(state)
}
