// Package remains finds what is kept of deliveries whose events are gone: receipts, and attempts
// that succeeded. An event is removed without asking what its lanes have of it, because most are
// removed as whole frames; so whatever goes with events is looked for afterwards, a little at a
// time, by a pass that begins again once the sweep has come further.
package remains

import (
	"bytes"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// stepsMax bounds the records of one look.
	stepsMax = 2048
	// again is when a pass begins although the sweep has not moved: events that it had left because a
	// delivery needed them may have gone.
	again = 10 * time.Minute
)

// Pass is a way through all receipts and attempts of events that the sweep has passed. The zero
// value begins. It is not safe for concurrent use.
type Pass struct {
	next  []byte // the key to go on at; nil: it has ended
	swept uint64 // as it began
	began time.Time
}

// kinds are what goes with events, and nobody removes with them.
func kinds() []byte { return []byte{record.PrefixHistory, record.PrefixReceipts} }

// Find returns keys to be deleted, most of them at most. swept is the sequence up to which the
// sweep has been as of the look.
func (p *Pass) Find(look engine.Look, swept uint64, now time.Time, most int) (keys [][]byte,
	err error) {
	if p.next == nil {
		if swept == p.swept && now.Sub(p.began) < again && !now.Before(p.began) {
			return nil, nil
		}
		*p = Pass{next: []byte{kinds()[0]}, swept: swept, began: now}
	}
	log := events{walk: look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})}
	defer log.walk.Close()
	for steps := 0; p.next != nil; {
		done := false
		keys, done, err = p.kind(look, &log, keys, most, &steps)
		if err != nil || !done {
			return keys, err
		}
		i := bytes.IndexByte(kinds(), p.next[0])
		p.next = nil
		if i+1 < len(kinds()) {
			p.next = []byte{kinds()[i+1]}
		}
	}
	return keys, nil
}

// kind goes on through records of one kind; done: to their end.
func (p *Pass) kind(look engine.Look, log *events, keys [][]byte, most int, steps *int) (
	_ [][]byte, done bool, err error) {
	prefix := p.next[:1]
	w := look.Walk(engine.Walk{Prefix: prefix})
	defer w.Close()
	for w.Seek(p.next); w.Valid(); {
		if *steps++; *steps > stepsMax || len(keys) >= most {
			p.next = bytes.Clone(w.Key())
			return keys, false, nil
		}
		lane, last := record.KeyLane(w.Key()), record.KeyDelivery(w.Key())
		if last > p.swept {
			w.Seek(record.LaneKey(prefix[0], lane+1))
			continue
		}
		first := last
		if prefix[0] == record.PrefixReceipts {
			err = w.View(func(value []byte) (err error) {
				first, err = record.FirstReceipt(value)
				return err
			})
			if err != nil {
				first = last // verify tells of it
			}
		}
		if !log.any(first, last) {
			keys = append(keys, bytes.Clone(w.Key()))
		}
		w.Next()
	}
	return keys, true, nil
}

// events knows which events there are.
type events struct {
	walk engine.Walker
	// from and to: there is no event from the one on and before the other, which is the next that
	// there is. Lanes have what they have of much the same events.
	from, to uint64
}

// any reports whether there is an event of a stretch.
func (e *events) any(first, last uint64) bool {
	if e.to == 0 || first < e.from || first > e.to {
		e.walk.Seek(record.LogKey(first))
		e.from, e.to = first, ^uint64(0)
		if e.walk.Valid() {
			e.to = record.KeySeq(e.walk.Key())
		}
	}
	return e.to <= last
}
