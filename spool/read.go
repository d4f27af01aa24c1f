package spool

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// pageScanMax and pageBytesMax bound one read of the log on behalf of one lane.
const (
	pageScanMax  = 1024
	pageBytesMax = 1 << 20
)

// page is one bounded read of the log on behalf of a lane.
type page struct {
	events []*record.Event
	next   uint64 // where to go on
}

// readPage reads the log from a cursor on: up to most events that the lane owes, within the bounds
// of one page. more: the cursor has more to show. Records that cannot be read are set aside; gaps
// are told.
func (s *Spool) readPage(c *logCursor, l *Lane, most int) (p page, more bool, err error) {
	from := c.next
	purged, err := s.marks(l, from)
	if err != nil {
		return p, false, fmt.Errorf("cannot read what was purged of target %q: %w", l.name, err)
	}
	bytes, scanned := 0, 0
	var unread []unreadRecord
	for ; c.at.Valid() && !more; c.at.Next() {
		seq := record.KeySeq(c.at.Key())
		if seq > c.head {
			break
		}
		unread = c.appendGap(unread, c.next, seq)
		c.next = seq + 1
		value, err := engine.Copy(c.at)
		if err != nil {
			return page{}, false, fmt.Errorf("cannot read the log from %d: %w", from, err)
		}
		e, err := record.DecodeEvent(value, seq)
		if err != nil {
			s.log.Error("cannot read an event; it is set aside", "sequence", seq, "error", err)
			u := unreadRecord{seq: seq, raw: value}
			u.last, u.bytes = c.at.Together()
			unread = append(unread, u)
		} else if _, gone := purged[seq]; !gone && e.OwedTo(l.id) {
			p.events = append(p.events, e)
			bytes += e.Size()
		}
		scanned++
		more = len(p.events) >= most || scanned >= pageScanMax || bytes >= pageBytesMax
	}
	if !more {
		unread = c.appendGap(unread, c.next, c.head+1)
		c.next = max(c.next, c.head+1)
	}
	p.next = c.next
	if unread = s.newlyUnread(unread); len(unread) > 0 {
		err = s.Apply(Change{unread: unread})
	}
	return p, more, err
}

// gapMax bounds how many missing sequences one page tells about one by one.
const gapMax = 1000

// appendGap notes the sequences of [from, to) as missing, if there should be any.
func (c *logCursor) appendGap(u []unreadRecord, from, to uint64) []unreadRecord {
	if !c.look.Dense() {
		return u
	}
	for seq := from; seq < to && seq-from < gapMax; seq++ {
		u = append(u, unreadRecord{seq: seq, missing: true})
	}
	return u
}

// newlyUnread leaves out what was set aside before.
func (s *Spool) newlyUnread(u []unreadRecord) []unreadRecord {
	out := u[:0]
	for _, r := range u {
		_, err := s.get(record.UnreadKey(r.seq))
		if errors.Is(err, engine.ErrNotFound) {
			if r.missing {
				s.log.Error("an event is missing from the log", "sequence", r.seq)
			}
			out = append(out, r)
		}
	}
	return out
}

// Reading runs a look at the spool as of one instant between two groups. Close waits for it, so it
// must be bounded, or end with its context, which ends when ctx does or the spool is closed. The
// look is closed when it returns.
func (s *Spool) Reading(ctx context.Context, look func(context.Context, engine.Look) error) error {
	s.readers.RLock()
	defer s.readers.RUnlock()
	if s.closed() {
		return ErrClosed
	}
	o := newOp()
	o.look = true
	if err := s.submit(o); err != nil {
		return fmt.Errorf("cannot read the spool: %w", err)
	}
	defer o.looked.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return look(ctx, o.looked)
}

// lookNow opens a snapshot between two groups. The committer does it, behind a checkpoint of its
// own: a group may be several transactions of the engine, and between them the sums of a lane are
// not those of its records. It holds up one sync of the committer; the look holds up nothing.
func (s *Spool) lookNow() (engine.Look, error) {
	s.commitGroup(nil, true)
	if err := s.Err(); err != nil {
		return nil, err
	}
	return s.engine.Look(), nil
}

// Home is the spool's directory, and the key that encrypts it; empty: none.
func (s *Spool) Home() (dir string, key []byte) { return s.dir, s.key }

// scan visits the keys with a prefix from a start on, in order, until visit says no. Keys and
// values are only valid during the visit.
func (s *Spool) scan(prefix, start []byte, visit func(key, value []byte) (bool, error)) error {
	look := s.engine.Look()
	defer look.Close()
	return engine.Scan(look, prefix, start, visit)
}

func (s *Spool) get(key []byte) ([]byte, error) { return s.engine.Get(key) }
