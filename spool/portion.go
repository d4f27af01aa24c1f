package spool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
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
func (p *portion) scan(from engine.Records, first, to uint64, cut time.Time) (more bool,
	err error) {
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
			old = !record.AcceptedAt(value).After(cut)
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
// such a delivery says so (released), unless it has not heard yet that the sweep was there. cut is
// long before what is released in time.
func (c *crew) sweepLeft(cut time.Time) error {
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
			if !record.AcceptedAt(value).After(cut) && !s.needed(events, seq) {
				r.seqs = append(r.seqs, seq)
			}
			return true, nil
		})
	if err != nil || len(r.seqs) == 0 {
		return err
	}
	return s.Apply(Change{remove: r})
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
		if err := s.Apply(Change{ids: found}); err != nil {
			return err
		}
		s.idPass.Took(found)
		more = found.More
	}
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
			err = s.Apply(Change{clear: keys})
		}
		if err != nil || len(keys) < remainsAtOnce {
			return err
		}
	}
	return nil
}
