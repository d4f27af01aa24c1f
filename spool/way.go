package spool

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

const (
	// freshBytesMax is what lanes keep in memory when Options does not say.
	freshBytesMax = 32 << 20
	// freshShare is the part of it that one lane may have, so that a few that stand still leave room
	// for the others.
	freshShare = 4
	// eventBytes is what an event takes in memory beside its record, placeBytes each place that a
	// lane has for it.
	eventBytes = 160
	placeBytes = 16
	// windowMax bounds the deliveries handed out above a position that does not move, because one
	// attempt below them takes its whole timeout. It also bounds a lane's record.
	windowMax = 4096
)

// way is a lane's way through the log: what it has passed, handed out and still to read. It reads
// nothing and waits for nothing; its lane's mutex guards it.
//
// Each delivery that the lane owes is in one place, in the order of the log:
//
//	up to the position    passed: settled, or beside the log as an exception
//	window                handed out, in flight or settled
//	fresh                 in memory, straight from the committer; all below next
//	behind, from next on  in the log, to be read; those in skip are settled all the same
type way struct {
	memory *feed
	// open: somebody fetches. A closed lane keeps nothing in memory.
	open bool
	// fresh are events straight from the committer, ascending, all below next.
	fresh []*fed
	// freshBytes is what they take; a lane with more than its share waiting reads the log instead.
	freshBytes int64
	// behind: events from next on have to be read from the log.
	behind bool
	next   uint64
	// window are the deliveries handed out and not passed yet, ascending; its first slot is never
	// settled.
	window []slot
	// skip are deliveries from next on that were settled before a restart, or before a release.
	skip map[uint64]struct{}
	// oldestFresh caches the first delivery that is not handed out while the lane is behind.
	oldestFresh Pending
}

// feed is what all lanes keep in memory straight from the committer. An event is there once,
// however many lanes wait for it, and is counted once. Only the committer adds to it.
type feed struct {
	bytes atomic.Int64
	max   int64
}

// fed is an event on its way to lanes. The committer keeps it while it feeds the lanes, and each of
// them from then until it hands it out.
type fed struct {
	*record.Event // nil when nobody keeps it any more, so that the payload does not outlive that
	keepers       atomic.Int32
}

// size is what the event takes, without its places.
func (e *fed) size() int64 { return int64(e.Size() + eventBytes) }

// keep takes an event for the committer, if there is room for it and its places.
func (f *feed) keep(e *fed, lanes int) bool {
	if f.bytes.Load()+e.size()+placeBytes*int64(lanes+1) > f.max {
		return false
	}
	e.keepers.Store(1)
	f.bytes.Add(e.size() + placeBytes)
	return true
}

// kept reports whether an event is in memory.
func (e *fed) kept() bool { return e.keepers.Load() > 0 }

// place keeps an event for a lane as well.
func (f *feed) place(e *fed) {
	e.keepers.Add(1)
	f.bytes.Add(placeBytes)
}

// letGo ends the keeping of one of its keepers, and returns the event.
func (f *feed) letGo(e *fed) *record.Event {
	event, n := e.Event, int64(placeBytes)
	if e.keepers.Add(-1) == 0 {
		n += e.size()
		e.Event = nil
	}
	f.bytes.Add(-n)
	return event
}

// release ends the committer's keeping of an event that may not have been kept.
func (f *feed) release(e *fed) {
	if e.kept() {
		f.letGo(e)
	} else {
		e.Event = nil
	}
}

// slot is one delivery that was handed out.
type slot struct {
	seq     uint64
	at      time.Time
	settled bool
}

// feed takes an event that was just committed. Each is newer than the one before.
func (w *way) feed(e *fed) {
	if w.behind || e.Seq < w.next {
		return
	}
	n := e.size()
	room := len(w.fresh) == 0 || w.freshBytes+n <= w.memory.max/freshShare
	if !w.open || !room || !e.kept() {
		w.behind = true
		w.next = e.Seq
		return
	}
	w.memory.place(e)
	w.fresh = append(w.fresh, e)
	w.freshBytes += n
	w.next = e.Seq + 1
}

// drop forgets the events held in memory; they are read from the log when needed.
func (w *way) drop() {
	if len(w.fresh) == 0 {
		return
	}
	w.next = w.fresh[0].Seq
	w.behind = true
	for _, e := range w.fresh {
		w.memory.letGo(e)
	}
	w.fresh, w.freshBytes = nil, 0
}

// room is how many deliveries may be handed out.
func (w *way) room() int { return windowMax - len(w.window) }

// takeFresh hands out what is in memory, as much as is read from the log at once.
func (w *way) takeFresh(most int) []*record.Event {
	n, bytes := 0, int64(0)
	for n < min(most, len(w.fresh)) && bytes < pageBytesMax {
		bytes += w.fresh[n].size()
		n++
	}
	if n <= 0 {
		return nil
	}
	out := make([]*record.Event, n)
	for i, e := range w.fresh[:n] {
		out[i] = w.memory.letGo(e)
		w.window = append(w.window, slot{seq: out[i].Seq, at: out[i].At})
	}
	clear(w.fresh[:n]) // the payloads must not outlive their delivery
	w.fresh = w.fresh[n:]
	w.freshBytes -= bytes
	return out
}

// takePage hands out what was read of the log from next on.
func (w *way) takePage(p page) []*record.Event {
	out := p.events[:0]
	for _, e := range p.events {
		if _, done := w.skip[e.Seq]; done {
			delete(w.skip, e.Seq)
			if len(w.window) > 0 {
				// The position is still below it, so the record must go on saying that it is settled.
				w.window = append(w.window, slot{seq: e.Seq, at: e.At, settled: true})
			}
			continue
		}
		w.window = append(w.window, slot{seq: e.Seq, at: e.At})
		out = append(out, e)
	}
	return out
}

// findOldest is the first delivery of a page that is not settled, and what oldest tells from now
// on. It hands out nothing.
func (w *way) findOldest(p page) (Pending, bool) {
	for _, e := range p.events {
		if _, done := w.skip[e.Seq]; !done {
			w.next = e.Seq
			w.oldestFresh = Pending{Seq: e.Seq, At: e.At}
			return w.oldestFresh, true
		}
		delete(w.skip, e.Seq)
	}
	return Pending{}, false
}

// readTo notes how far the log has been read. It reports whether that was to its end, so that the
// committer's feed goes on from here.
func (w *way) readTo(next, head uint64) bool {
	w.next = next
	w.oldestFresh = Pending{}
	if next <= head {
		return false
	}
	w.behind = false
	w.skip = nil
	return true
}

// rest goes on after head, up to which nothing is owed. Nobody may come to read that part of the
// log, and the sweep, which an idle lane does not hold up, takes it away.
func (w *way) rest(head uint64) {
	if w.behind && len(w.window)+len(w.fresh) == 0 {
		w.readTo(head+1, head)
	}
}

// find is the place of a delivery in the window.
func (w *way) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(w.window, seq, func(s slot, seq uint64) int {
		return cmp.Compare(s.seq, seq)
	})
}

// pass settles one delivery that was handed out; false if it was not, or was settled before.
func (w *way) pass(seq uint64) bool {
	i, found := w.find(seq)
	if !found || w.window[i].settled {
		return false
	}
	w.window[i].settled = true
	n := 0
	for n < len(w.window) && w.window[n].settled {
		n++
	}
	if n > 0 {
		w.window = w.window[n:]
		if len(w.window) == 0 {
			w.window = nil
		}
	}
	return true
}

// release gives back the deliveries from seq on that were handed out and not settled, to be read
// from the log again.
func (w *way) release(seq uint64) {
	// The delivery itself may have been purged since.
	at := slices.IndexFunc(w.window, func(s slot) bool { return s.seq >= seq && !s.settled })
	if at < 0 {
		return
	}
	seq = w.window[at].seq
	w.drop()
	for _, s := range w.window[at:] {
		if s.settled {
			w.skipOver(s.seq)
		}
	}
	w.window = w.window[:at]
	w.next, w.behind = seq, true
}

// skipOver remembers that a delivery from next on is settled.
func (w *way) skipOver(seq uint64) {
	if w.skip == nil {
		w.skip = make(map[uint64]struct{})
	}
	w.skip[seq] = struct{}{}
}

// purge takes a delivery off the way, wherever it is. It reports whether it was there, and whether
// a read of the log may meet it: what is in memory may be dropped.
func (w *way) purge(seq uint64) (there, unread bool) {
	if _, settled := w.skip[seq]; settled {
		return false, false
	}
	at, inMemory := slices.BinarySearchFunc(w.fresh, seq, func(e *fed, seq uint64) int {
		return cmp.Compare(e.Seq, seq)
	})
	handedOut := w.pass(seq)
	switch {
	case handedOut:
	case inMemory:
		w.freshBytes -= w.fresh[at].size()
		w.memory.letGo(w.fresh[at])
		w.fresh = slices.Delete(w.fresh, at, at+1)
	case w.behind && seq >= w.next:
		w.oldestFresh = Pending{}
	default:
		return false, false
	}
	return true, !handedOut
}

// unsettled reports whether a delivery that the lane owes is still on its way.
func (w *way) unsettled(seq uint64) bool {
	if i, out := w.find(seq); out {
		return !w.window[i].settled
	}
	if _, done := w.skip[seq]; done {
		return false
	}
	return len(w.fresh) > 0 && seq >= w.fresh[0].Seq || w.behind && seq >= w.next
}

// inFlight is how many deliveries were handed out and are not settled.
func (w *way) inFlight() uint64 {
	n := uint64(0)
	for i := range w.window {
		if !w.window[i].settled {
			n++
		}
	}
	return n
}

// under are the deliveries that are under way, ascending, and one more than the last that was
// handed out.
func (w *way) under() (seqs []uint64) {
	for i := range w.window {
		if !w.window[i].settled {
			seqs = append(seqs, w.window[i].seq)
		}
	}
	if n := len(w.window); n > 0 {
		seqs = append(seqs, w.window[n-1].seq+1)
	}
	return seqs
}

// oldest is the first delivery that is not settled, as far as memory knows it.
func (w *way) oldest() (Pending, bool) {
	switch {
	case len(w.window) > 0:
		return Pending{Seq: w.window[0].seq, At: w.window[0].at}, true
	case len(w.fresh) > 0:
		return Pending{Seq: w.fresh[0].Seq, At: w.fresh[0].At}, true
	case w.behind && w.oldestFresh.Seq != 0:
		return w.oldestFresh, true
	}
	return Pending{}, false
}

// position is the sequence up to which nothing is owed but exceptions. head is the last event that
// every lane was fed.
func (w *way) position(head uint64) uint64 {
	switch {
	case len(w.window) > 0:
		return w.window[0].seq - 1
	case len(w.fresh) > 0:
		return w.fresh[0].Seq - 1
	case w.behind:
		return w.next - 1
	}
	return head
}

// above are the deliveries above the position that are settled, ascending.
func (w *way) above(position uint64) (settled []uint64) {
	for _, s := range w.window {
		if s.settled {
			settled = append(settled, s.seq)
		}
	}
	for seq := range w.skip {
		if seq > position {
			settled = append(settled, seq)
		}
	}
	slices.Sort(settled)
	return settled
}
