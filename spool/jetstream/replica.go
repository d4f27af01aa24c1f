package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// replica is this relay's copy. One at a time writes it: the follower, or what its engine does
// between two transactions.
type replica struct {
	engine.Engine
	mu sync.Mutex
}

// has reports whether there is such a record.
func (r *replica) has(key []byte) bool {
	_, err := r.Get(key)
	return err == nil
}

// owing is how many bytes the outcomes may take of what is pending by the records of the lanes, as
// far as they can be read.
func (r *replica) owing() (bytes int64) {
	look := r.Look()
	defer look.Close()
	_ = engine.Scan(look, []byte{record.PrefixLane}, nil, func(_, value []byte) (bool, error) {
		l, err := record.DecodeLane(value)
		if err != nil {
			return true, nil // the spool says so
		}
		pending := int64(l.Owed) - int64(l.Passed) - int64(len(l.Above))
		bytes += max(0, pending)*(outcomeBytes+endBytes) + int64(l.Exceptions)*endBytes
		return true, nil
	})
	return bytes
}

// write is one transaction.
func (r *replica) write(group engine.Group, writes []write) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.Fit(group); err != nil {
		return err
	}
	txn := r.Begin()
	defer txn.Discard()
	for i := range writes {
		if err := writes[i].put(txn); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// write is one record or event of the replica.
type write struct {
	change
	rec []byte // of the event last; nil: it is a record, or events that are deleted
}

// size is what a write takes of a transaction.
func (w *write) size() (bytes, entries int) {
	const entryBytes = 64
	switch {
	case w.kind == deletedSubject:
		return len(w.gonners) * entryBytes, len(w.gonners)
	case w.rec != nil:
		return len(w.rec) + entryBytes, 1
	}
	return len(w.key) + len(w.value) + entryBytes, 1
}

// put puts it into a transaction.
func (w *write) put(txn engine.Txn) (err error) {
	switch {
	case w.kind == deletedSubject:
		for _, seq := range w.gonners {
			err = errors.Join(err, txn.Delete(record.LogKey(seq)))
		}
		return err
	case w.rec != nil:
		e, err := record.DecodeEvent(w.rec, w.last)
		if err != nil {
			return fmt.Errorf("cannot read an event of the stream: %w", err)
		}
		return txn.Append(w.last, w.rec, e.Lanes())
	case w.gone:
		return txn.Delete(w.key)
	}
	return txn.Put(w.key, w.value, w.ttl)
}

// Bounds is part of engine.Log.
func (e *Engine) Bounds() (bytes, entries int) { return bytesMax, entriesMax }

// Begin is part of engine.Log.
func (e *Engine) Begin() engine.Txn { return newTxn(e) }

// Next is part of engine.Log.
func (e *Engine) Next(after uint64) uint64 { return after + 1 }

// Get is part of engine.Records.
func (e *Engine) Get(key []byte) ([]byte, error) { return e.replica.Get(key) }

// Look is part of engine.Records.
func (e *Engine) Look() engine.Look { return e.replica.Look() }

// Run is part of engine.Worker.
func (e *Engine) Run(ctx context.Context) { e.replica.Run(ctx) }

// Errors is part of engine.Worker.
func (e *Engine) Errors() (n int64, last time.Time) { return e.replica.Errors() }

// Close is part of engine.Engine.
func (e *Engine) Close() (err error) {
	e.leave()
	e.cancel()
	e.ended.Wait()
	if e.nc != nil {
		e.nc.Close()
	}
	if e.replica.Engine != nil {
		err = e.replica.Close()
	}
	return err
}

// trimmer knows what of the stream is not needed any more: messages of events all of which are
// deleted, and of deletions of such events.
type trimmer struct {
	mu     sync.Mutex // guards below
	frames []mark     // some of them, ascending
	gone   []mark     // deletions
	// newest is the newest event that is applied, cleared the newest whose frame is gone from the
	// stream.
	newest, cleared uint64
}

// mark is a message, and the newest event that it is about.
type mark struct{ event, message uint64 }

// marksMax bounds the marks. Of more every second one is forgotten: less goes at once.
const marksMax = 4096

func (t *trimmer) stored(last, message uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frames = addMark(t.frames, mark{last, message})
	t.newest = max(t.newest, last)
}

func (t *trimmer) deleted(seqs []uint64, message uint64) {
	if len(seqs) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := mark{seqs[len(seqs)-1], message}
	if n := len(t.gone); n > 0 {
		m.event = max(m.event, t.gone[n-1].event) // so that one after the other goes
	}
	t.gone = addMark(t.gone, m)
}

func addMark(marks []mark, m mark) []mark {
	if len(marks) >= marksMax {
		for i := range marks[:marksMax/2] {
			marks[i] = marks[2*i+1]
		}
		marks = marks[:marksMax/2]
	}
	return append(marks, m)
}

// appliedTo is the newest event that is in the replica, or was.
func (t *trimmer) appliedTo() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newest
}

// before is what goes with the events before one: the newest frame all of whose events are, and the
// newest deletion of events of such frames. A deletion that went before its frame would bring its
// events back.
func (t *trimmer) before(event uint64) (frame, deletion mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.frames {
		if m.event >= event {
			break
		}
		frame = m
	}
	for _, m := range t.gone {
		if m.event > max(frame.event, t.cleared) {
			break
		}
		deletion = m
	}
	return frame, deletion
}

// trimmed forgets what is gone from the stream.
func (t *trimmer) trimmed(frame, deletion mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleared = max(t.cleared, frame.event)
	t.frames = slices.DeleteFunc(t.frames, func(m mark) bool { return m.message <= frame.message })
	t.gone = slices.DeleteFunc(t.gone, func(m mark) bool { return m.message <= deletion.message })
}
