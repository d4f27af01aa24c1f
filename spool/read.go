package spool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/wallclock"
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
		err = s.order(&settingAside{unread: unread})
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

// settingAside is an order: log records that cannot be read, and the deliveries beside the log that
// are lost with them.
type settingAside struct {
	unread []unreadRecord
	lost   []record.Ref // exceptions whose event cannot be read
}

func (a *settingAside) cost() cost {
	n := costOf(3*len(a.lost)).with(2*len(a.unread), 0)
	together := uint64(0)
	for i := range a.unread {
		u := &a.unread[i]
		n.add(0, len(u.raw))
		n.largest = max(n.largest, u.bytes)
		if u.last > together {
			together = u.last
			n.bytes += u.bytes
		}
	}
	return n
}

func (*settingAside) manner() manner { return 0 }

func (a *settingAside) plan(g *group) error {
	for _, u := range a.unread {
		g.setAside(u)
	}
	for _, r := range a.lost {
		g.dropException(r)
	}
	return nil
}

// setAside moves a log record that cannot be read out of the way, whole.
func (g *group) setAside(u unreadRecord) {
	if g.has(record.UnreadKey(u.seq)) {
		return
	}
	g.put(record.UnreadKey(u.seq), u.raw, 0)
	if !u.missing {
		g.delete(record.LogKey(u.seq))
	}
	g.s.quarantined.Add(1)
}

// unreadRecord is what a log key held when it could not be read.
type unreadRecord struct {
	seq     uint64
	raw     []byte
	missing bool // there was no record at all
	// last and bytes are what engine.Walker's Together was: the rest of that is written again.
	last  uint64
	bytes int
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
	o := newOp(nil)
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

// What follows is what package look asks of a running spool.

var (
	_ look.Source = (*Spool)(nil)
	_ look.IDs    = (*Spool)(nil)
)

// Records reads what is committed.
func (s *Spool) Records() engine.Records { return s.engine }

// Clock judges what was stamped while the wall clock was wrong.
func (s *Spool) Clock() *wallclock.Clock { return &s.clock }

// Swept is the sequence up to which the sweep has been. It moves before a removal can be seen.
func (s *Spool) Swept() uint64 { return s.swept.Load() }

// Barrier waits until what was begun before can be read. A spool that failed or is closed does not
// wait: what it knows is on its disk.
func (s *Spool) Barrier() { _ = s.order(barrier{}) }

// MadeSeq is the sequence inside an id that this spool has made, or one that it was restored from;
// false: somebody else made it.
func (s *Spool) MadeSeq(id string) (seq uint64, ok bool) { return s.format.MadeSeq(id) }

// LaneNow is what is known of a lane without reading; false: there is none, or its target was
// forgotten. What another relay stores of its lane can be read before its sums are known here, so
// there may be anything.
func (s *Spool) LaneNow(lane record.LaneID) (look.Lane, bool) {
	l := s.LaneByID(lane)
	if l == nil {
		return look.Lane{}, false
	}
	if !l.Ours() {
		return look.Lane{Target: l.name, Failed: true, Exhausted: true,
			PurgedTo: math.MaxUint64}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return look.Lane{Target: l.name, Failed: l.exceptions > 0, Exhausted: l.exhausted > 0,
		PurgedTo: l.marks.newest.Load(), Receipts: func() []receipt.Receipt {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.receipts.All()
		}}, true
}

// Unsettled says which of some events are still on their way through the log to a lane, all at one
// instant: an attempt that was settled since may be written or not.
func (s *Spool) Unsettled(lane record.LaneID, seqs []uint64) []bool {
	out := make([]bool, len(seqs))
	l := s.LaneByID(lane)
	if l == nil {
		return out
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, seq := range seqs {
		out[i] = l.way.unsettled(seq)
	}
	return out
}

// unsettled reports whether a delivery is still on its way through the log.
func (l *Lane) unsettled(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.way.unsettled(seq)
}

// Fresh are events that are still on their way through the log to a lane, oldest first, from a
// sequence on, most of them at most. It reads at most one page of the log; next is where to go on,
// 0 at the end. Records that cannot be read are set aside.
func (s *Spool) Fresh(lane record.LaneID, from uint64, most int) (list []*record.Event, next uint64,
	err error) {
	l := s.LaneByID(lane)
	if l == nil {
		return nil, 0, nil
	}
	l.mu.Lock()
	head := s.head.Load()
	from = max(from, l.way.position(head)+1)
	l.mu.Unlock()
	if from > head {
		return nil, 0, nil
	}
	c := s.openCursor(from)
	defer c.close()
	p, _, err := s.readPage(c, l, most)
	if err != nil {
		return nil, 0, err
	}
	if p.next <= head {
		next = p.next
	}
	list = slices.DeleteFunc(p.events, func(e *record.Event) bool { return !l.unsettled(e.Seq) })
	return list, next, nil
}
