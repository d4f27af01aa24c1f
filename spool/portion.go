package spool

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/idpass"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// portion is a removal from the head of the log in the making. What is stored in one goes together,
// as far as nothing holds a part of it: otherwise the rest would be written again at every look.
type portion struct {
	*removal
	bytes  int64
	frames []sharedFrame
}

// sharedFrame is what is stored in one: the events up to last, and how many there were.
type sharedFrame struct {
	last   uint64
	events int
	bytes  int
	read   int64
}

// scan takes what is settled and old enough; more: there may be more of it.
func (p *portion) scan(from engine.Records, first, to uint64, age age) (more bool, err error) {
	look := from.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	defer w.Close()
	var f sharedFrame
	begin := 0 // of the frame in p.seqs
	for w.Seek(record.LogKey(first)); w.Valid(); w.Next() {
		seq := record.KeySeq(w.Key())
		if seq > f.last {
			if begin = len(p.seqs); begin >= sweepMax {
				return true, nil
			}
			f = sharedFrame{}
			f.last, f.bytes = w.Together()
		}
		old := false
		err := w.View(func(value []byte) error {
			old = age.passed(record.AcceptedAt(value))
			f.read += int64(len(value))
			return nil
		})
		if err != nil {
			return false, err
		}
		if seq > to || !old {
			p.seqs = p.seqs[:begin]
			return false, nil
		}
		p.seqs = append(p.seqs, seq)
		if f.events++; seq == f.last {
			p.swept = seq
			p.bytes += f.read
			p.frames = append(p.frames, f)
		}
	}
	return false, nil
}

// bound ends the portion where it would write too much again; true: that is before its end.
func (p *portion) bound() bool {
	rest, before := p.seqs, p.swept
	done := 0
	for i, f := range p.frames {
		n, _ := slices.BinarySearch(rest, f.last+1)
		rest = rest[n:]
		if 0 < n && n < f.events {
			if p.rewritten > 0 && p.rewritten+f.bytes > sweepRewritten {
				p.seqs, p.swept = p.seqs[:done], p.frames[i-1].last
				return true
			}
			p.rewritten += f.bytes
		}
		done += n
	}
	p.swept = before
	return false
}

// sweepLeft looks again at what the sweep has passed because a delivery needed it. Whoever settles
// such a delivery says so (released), unless it has not heard yet that the sweep was there. old is
// so long that what is released in time is younger.
func (c *crew) sweepLeft(old age) error {
	s, now := c.s, time.Now()
	swept := s.swept.Load()
	if c.left >= swept && now.Sub(c.passed) < leftPause {
		return nil
	}
	if c.left >= swept {
		c.left = 0
	}
	r := &removal{swept: swept, replays: s.replays.Load()}
	events := look.NewReader(s.engine)
	defer events.Close()
	n, from := 0, c.left
	c.left, c.passed = swept, now
	err := s.scan([]byte{record.PrefixLog}, record.LogKey(from+1),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			if seq > swept {
				return false, nil
			}
			if n++; n > leftAtOnce {
				c.left = seq - 1
				return false, nil
			}
			if old.passed(record.AcceptedAt(value)) && !s.needed(events, seq) {
				r.seqs = append(r.seqs, seq)
			}
			return true, nil
		})
	if err != nil || len(r.seqs) == 0 {
		return err
	}
	return s.order(r)
}

// exhaustedPass is one look of the sweep through what a lane keeps of exhausted deliveries. They
// are in the order of their events, not of when they were exhausted: one that was exhausted again,
// after a replay, stays longer than those after it.
type exhaustedPass struct {
	from   uint64    // where it goes on
	oldest time.Time // of what stays, so far
	ended  time.Time // zero: it has not
}

// exhaustedAgain is when a pass is made again although nothing that it has left is due: an import
// may have brought older ones.
const exhaustedAgain = 10 * time.Minute

// begin readies the next portion of a pass; false: there is nothing to do.
func (p *exhaustedPass) begin(old age) bool {
	if p.ended.IsZero() {
		return true
	}
	if !old.passed(p.oldest) && old.now.Sub(p.ended) < exhaustedAgain && !old.now.Before(p.ended) {
		return false
	}
	*p = exhaustedPass{}
	return true
}

// sweepExhausted drops exhausted deliveries that were kept for long enough.
func (s *Spool) sweepExhausted(old age) error {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	maps.DeleteFunc(s.passes, func(id record.LaneID, _ *exhaustedPass) bool {
		return s.LaneByID(id) == nil
	})
	for _, l := range s.Lanes() {
		p, c := s.passes[l.id], l.Counts()
		switch {
		case c.Exhausted+c.Expired == 0 || !l.Ours():
			delete(s.passes, l.id)
			continue
		case p == nil:
			p = &exhaustedPass{}
			s.passes[l.id] = p
		}
		if !p.begin(old) {
			continue
		}
		expired, err := p.expired(l, old)
		if err != nil {
			return fmt.Errorf("cannot scan exhausted deliveries of target %q: %w", l.name, err)
		}
		if p.from == 0 {
			p.ended = old.now
		}
		if len(expired) == 0 {
			continue
		}
		if err := s.order(dropping(expired)); err != nil {
			*p = exhaustedPass{}
			return err
		}
	}
	return nil
}

// dropping drops exhausted deliveries.
type dropping []record.Ref

func (d dropping) cost() cost   { return costOf(3 * len(d)) }
func (dropping) manner() manner { return comesAgain }

func (d dropping) plan(g *group) error {
	for _, r := range d {
		g.dropExhausted(r)
	}
	return nil
}

// expired is one portion of a pass; from is 0 after the last.
func (p *exhaustedPass) expired(l *Lane, old age) (refs []record.Ref, err error) {
	scanned, from := 0, p.from
	p.from = 0
	err = l.s.scan(record.LaneKey(record.PrefixExhausted, l.id),
		record.LaneSeqKey(record.PrefixExhausted, l.id, from),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			if scanned++; scanned > sweepScan || len(refs) >= sweepMax {
				p.from = seq
				return false, nil
			}
			x, err := record.DecodeException(value)
			switch {
			case err != nil || old.passed(x.LastAt):
				refs = append(refs, record.Ref{Lane: l.id, Seq: seq})
			case p.oldest.IsZero() || x.LastAt.Before(p.oldest):
				p.oldest = x.LastAt
			}
			return true, nil
		})
	return refs, err
}

// idsAtOnce bounds the ids that one commit remembers again.
const idsAtOnce = 500

// rememberIDs goes on with the ids of events that are kept for longer than theirs are remembered.
func rememberIDs(s *Spool, now time.Time) error {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	end := time.Now().Add(sweepTime)
	look := s.engine.Look()
	defer look.Close()
	for more := true; more && s.Err() == nil && !s.closed() && time.Now().Before(end); {
		found, err := s.idPass.Find(look, now, idLife(s), s.head.Load(), idsAtOnce)
		if err != nil || found == nil {
			return err
		}
		if err := s.order((*remembering)(found)); err != nil {
			return err
		}
		s.idPass.Took(found)
		more = found.More
	}
	return nil
}

// remembering writes what was remembered of ids once more, so that it outlasts the next pass. An id
// that a later event was given since is that one's.
type remembering idpass.Found

func (f *remembering) cost() cost {
	n := costOf(0).with(1+len(f.IDs), 0)
	for i := range f.IDs {
		n.bytes += len(f.IDs[i].Name) + draftOverheadBytes + idBytesALane*len(f.IDs[i].Lanes)
	}
	return n
}

func (*remembering) manner() manner { return comesAgain | readsOthers }

func (f *remembering) plan(g *group) error {
	for _, id := range f.IDs {
		r := &id.ID
		if value, err := g.get(record.IDKey(id.Name)); err == nil {
			if known, err := record.DecodeID(value); err == nil {
				r = known
			}
		}
		if r.Seq == id.Seq {
			g.put(record.IDKey(id.Name), r.Encode(), idpass.Life)
		}
	}
	g.put(record.MetaKey(record.MetaIDPass), f.Pass.Encode(), 0)
	return nil
}

func tellIDs(s *Spool, err error) {
	if err != nil && s.Err() == nil && !s.closed() && !errors.Is(err, ErrFull) {
		s.log.Error("cannot remember the ids of what is kept; it is tried again", "error", err)
	}
}

// remainsAtOnce bounds what one commit of the keeper removes of what is kept of events that are
// gone, remainsCommits how many it makes at a time. A thousand lanes that deliver 20 events/s each
// write 2,200 pieces of receipts a second, which must go as fast.
const (
	remainsAtOnce  = 500
	remainsCommits = 8
)

// sweepRemains removes what is kept of deliveries whose events are gone.
func sweepRemains(s *Spool, now time.Time) error {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	look := s.engine.Look()
	defer look.Close()
	for range remainsCommits {
		keys, err := s.remains.Find(look, s.swept.Load(), now, remainsAtOnce)
		if err != nil {
			return fmt.Errorf("cannot look for what is left of events that are gone: %w", err)
		}
		if len(keys) > 0 {
			err = s.order(clearing(keys))
		}
		if err != nil || len(keys) < remainsAtOnce {
			return err
		}
	}
	return nil
}
