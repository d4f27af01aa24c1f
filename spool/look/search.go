package look

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// searchMax bounds the records that one page of a search looks at, searchBytesMax their bytes: a
	// search costs the same whatever the backlog is, and whoever wants more asks for the next page.
	searchMax      = 2000
	searchBytesMax = 32 << 20
	// searchSlack is how far two events may stand in the other order than they came in: the instant
	// is taken when an event has arrived, the sequence when it is committed. A clock that is set back
	// by more leaves a stretch of the log in which bounds of time find less.
	searchSlack = time.Second
)

// Query selects events, newest first; zero fields select all.
type Query struct {
	// Below is the next of the page before; 0: from the newest on.
	Below uint64
	// Since and Until bound the instant of acceptance.
	Since, Until time.Time
	// Match says which types.
	Match func(typ string) bool
	// Lane owes the event; Places then has its state alone if LaneOnly.
	Lane     record.LaneID
	LaneOnly bool
	// State is that of some delivery of the event, to Lane if it is set.
	State record.State
	Limit int
	Picking
}

// Search returns one page, and where the next one goes on; 0 after the last. A page may be short,
// even empty, and not the last. Events that cannot be read are left out.
func Search(s Source, q Query) (found []Found, next uint64, err error) {
	below := s.Head() + 1
	if q.Below > 0 {
		below = min(below, q.Below)
	}
	if !q.Until.IsZero() {
		end, err := firstAfter(s, q.Until.Add(searchSlack), false)
		if err != nil {
			return nil, 0, err
		}
		below = min(below, end)
	}
	enough := q.Limit
	if q.asksPlaces() {
		enough = searchMax
	}
	ended := false
	next, err = scanDown(s, below, &q.Picking, func(e *record.Event) bool {
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
	found, next, err = placed(s, &q, found, next)
	if err == nil {
		err = receipts(s, found)
	}
	return found, next, err
}

// selects judges what a record itself tells.
func (q *Query) selects(e *record.Event) bool {
	return (q.Since.IsZero() || !e.At.Before(q.Since)) &&
		(q.Until.IsZero() || !e.At.After(q.Until)) &&
		(q.Lane == 0 || e.OwedTo(q.Lane)) && (q.Match == nil || q.Match(e.Type())) && q.picks(e)
}

// asksPlaces reports that where the deliveries are decides, too.
func (q *Query) asksPlaces() bool { return q.State != record.StateNone || q.Place != nil }

// keeps reports whether some delivery of an event is asked for.
func (q *Query) keeps(f *Found) bool {
	for i := range f.Places {
		p := &f.Places[i]
		if (q.State == record.StateNone || p.State == q.State) &&
			(q.Place == nil || q.Place(f.Seq, p)) {
			return true
		}
	}
	return false
}

// placed says where the deliveries of a page are, and drops what is not in the state asked for.
func placed(s Source, q *Query, found []Found, next uint64) ([]Found, uint64, error) {
	if !q.asksPlaces() {
		return found, next, place(s, found, 0)
	}
	if err := place(s, found, q.Lane); err != nil {
		return nil, 0, err
	}
	if q.Place != nil { // which may ask for the status that a delivery was acknowledged with
		if err := receipts(s, found); err != nil {
			return nil, 0, err
		}
	}
	out := found[:0]
	for i := range found {
		if !q.keeps(&found[i]) {
			continue
		}
		if len(out) == q.Limit {
			next = out[len(out)-1].Seq
			q.Seen.cut(next)
			break
		}
		out = append(out, found[i])
	}
	if q.Lane == 0 || q.LaneOnly {
		return out, next, nil
	}
	return out, next, place(s, out, 0)
}

// scanDown visits the events below a sequence, newest first, until visit says no, which leaves that
// event to the next page, or the page is full. The event is valid during the visit only. next is
// the bound of the next page; 0: there is nothing more.
//
// Every version of a key is looked at, because Badger would otherwise pass any number of deleted
// ones in one step; whether an old one still counts is asked where the sweep has been.
func scanDown(s Source, below uint64, p *Picking, visit func(e *record.Event) bool) (next uint64,
	err error) {
	look := s.Records().Look()
	defer look.Close()
	swept := s.Swept() // after the snapshot: it moves before a removal can be seen
	at := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: true, Gone: true})
	defer at.Close()
	size := 0
	steps := 0
	for at.Seek(record.LogKey(below - 1)); at.Valid(); at.Next() {
		seq := record.KeySeq(at.Key())
		if steps++; steps > searchMax || size > searchBytesMax || p.enough() {
			return seq + 1, nil
		}
		p.Seen.note(seq)
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
