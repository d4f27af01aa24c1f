package badger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Txn is one transaction, of the committer or of a start.
type Txn struct {
	txn  *badger.Txn
	tree *Tree
	// bytes and entries that it writes into the log, as the engine counts them; values are the bytes
	// that it writes into the value log.
	bytes, entries, values int

	appended []appended // in the order of their sequences; not written yet
	deleted  []uint64   // events to delete; not written yet
	events   *events    // for reading the log; nil: nobody has
}

// appended is an event on its way into the log.
type appended struct {
	seq uint64
	rec []byte
}

// events reads the log beside a transaction, as it was committed before.
type events struct {
	look frame.Look
	walk engine.Walker
}

var _ engine.Txn = (*Txn)(nil)

// entryOverhead is what an engine's transaction counts for an entry beside its key and value.
const entryOverhead = 12

// Get is part of engine.Txn.
func (t *Txn) Get(key []byte) ([]byte, error) {
	if frame.IsKey(key) {
		return t.event(record.KeySeq(key))
	}
	item, err := t.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, engine.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a record: %w", err)
	}
	return item.ValueCopy(nil)
}

// event reads an event's record.
func (t *Txn) event(seq uint64) ([]byte, error) {
	for i := range t.appended {
		if t.appended[i].seq == seq {
			return bytes.Clone(t.appended[i].rec), nil
		}
	}
	if slices.Contains(t.deleted, seq) {
		return nil, engine.ErrNotFound
	}
	if t.events == nil {
		look := t.tree.Look().(frame.Look)
		t.events = &events{look, look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})}
	}
	w := t.events.walk
	w.Seek(record.LogKey(seq))
	if !w.Valid() || record.KeySeq(w.Key()) != seq {
		return nil, engine.ErrNotFound
	}
	return engine.Copy(w)
}

// Has is part of engine.Txn.
func (t *Txn) Has(key []byte) bool {
	if frame.IsKey(key) {
		_, err := t.event(record.KeySeq(key))
		return err == nil
	}
	_, err := t.txn.Get(key)
	return err == nil
}

// Keys is part of engine.Txn.
func (t *Txn) Keys(prefix []byte, most int) (keys [][]byte, err error) {
	w := frame.NewWalker(t.txn, t.tree.salvage, engine.Walk{Prefix: prefix})
	defer w.Close()
	for w.Seek(prefix); w.Valid() && len(keys) < most; w.Next() {
		keys = append(keys, append([]byte(nil), w.Key()...))
	}
	return keys, nil
}

// Put is part of engine.Txn.
func (t *Txn) Put(key, value []byte, ttl time.Duration) error {
	e := badger.NewEntry(key, value)
	if ttl > 0 {
		e = e.WithTTL(ttl)
	}
	return t.set(e)
}

// Delete is part of engine.Txn.
func (t *Txn) Delete(key []byte) error {
	if !frame.IsKey(key) {
		t.count(len(key))
		return t.txn.Delete(key)
	}
	seq := record.KeySeq(key)
	t.appended = slices.DeleteFunc(t.appended, func(a appended) bool { return a.seq == seq })
	t.deleted = append(t.deleted, seq)
	return nil
}

// Append is part of engine.Txn. Who owes the event is in its record; nobody else asks.
func (t *Txn) Append(seq uint64, rec []byte, _ []record.LaneID) error {
	t.appended = append(t.appended, appended{seq, rec})
	return nil
}

// Guard is part of engine.Txn. A tenure never ends here.
func (t *Txn) Guard(record.LaneID, uint64) {}

func (t *Txn) set(e *badger.Entry) error {
	if len(e.Value) < ValueBytesMin {
		t.count(len(e.Key) + len(e.Value))
	} else {
		t.count(len(e.Key))
		t.values += len(e.Key) + len(e.Value) + EntryRoomBytes
	}
	return t.txn.SetEntry(e)
}

func (t *Txn) count(bytes int) {
	t.bytes += bytes + entryOverhead
	t.entries++
}

// Commit is part of engine.Txn: one write and one sync of Badger's log, and of its value log where
// there is a large value. Badger tells only its log if the latter fails, before it writes the
// pointers.
func (t *Txn) Commit() error {
	unsynced := t.tree.unsynced.Load()
	err := errors.Join(t.writeDeleted(), t.writeAppended())
	t.closeEvents()
	if err == nil {
		err = t.tree.commit(t)
	}
	t.tree.committed(t)
	if failed := t.tree.unsynced.Load(); err == nil && failed != unsynced {
		err = *failed
	}
	return err
}

// Discard is part of engine.Txn.
func (t *Txn) Discard() {
	t.closeEvents()
	t.txn.Discard()
}

func (t *Txn) closeEvents() {
	if t.events != nil {
		t.events.walk.Close()
		t.events.look.Close()
		t.events = nil
	}
}

// frameKeptBytes of memory for a frame are kept from one transaction to the next.
const frameKeptBytes = 1 << 20

// writeAppended writes what was appended: a frame, or each event by itself where together they are
// too small for the value log.
func (t *Txn) writeAppended() error {
	buf, err := t.writeEvents(t.appended, t.tree.frame[:0])
	clear(t.appended)
	if cap(buf) <= frameKeptBytes {
		t.tree.frame, t.tree.appended = buf, t.appended[:0] // there is one transaction at a time
	}
	t.appended = nil
	return err
}

// writeEvents writes some events, in the order of their sequences, under the key of the last of
// them if they make a frame. buf is memory for that, which is returned, and in use until the
// transaction is over.
func (t *Txn) writeEvents(all []appended, buf []byte) ([]byte, error) {
	if !isFrame(all) {
		for i := range all {
			if err := t.set(badger.NewEntry(record.LogKey(all[i].seq), all[i].rec)); err != nil {
				return buf, err
			}
			if len(all[i].rec) < ValueBytesMin {
				t.tree.loose.bytes.Add(int64(len(all[i].rec)))
			}
		}
		return buf, nil
	}
	size := 0
	for i := range all {
		size += len(all[i].rec)
	}
	buf = slices.Grow(buf, size)
	for i := range all {
		buf = append(buf, all[i].rec...)
	}
	return buf, t.set(badger.NewEntry(record.LogKey(all[len(all)-1].seq), buf))
}

// writeDeleted deletes events: frames as a whole where nothing of them stays, and otherwise what
// stays of one is written again.
func (t *Txn) writeDeleted() error {
	if len(t.deleted) == 0 {
		return nil
	}
	t.tree.loose.trims.Add(1)
	slices.Sort(t.deleted)
	t.closeEvents()
	look := t.tree.Look().(frame.Look)
	defer look.Close()
	w := look.Frames()
	defer w.Close()
	known := uint64(0) // the last event of the frame before
	for rest := slices.Compact(t.deleted); len(rest) > 0; {
		last, ok := w.Seek(rest[0])
		if !ok {
			break // nothing after it is there
		}
		n, _ := slices.BinarySearch(rest, last+1)
		var err error
		if known > 0 && rest[0] == known+1 && uint64(n) == last-known {
			t.count(len(record.LogKey(last)))
			err = t.txn.Delete(record.LogKey(last))
		} else {
			err = t.shrink(w, last, rest[:n])
		}
		if err != nil {
			return err
		}
		known, rest = last, rest[n:]
	}
	t.deleted = t.deleted[:0]
	return nil
}

// shrink takes events out of the frame at which a walk stands. What stays is written again under
// the key of the last of that: a start that removes the newest events gives their sequences to
// others, whose keys must not be within its frame.
func (t *Txn) shrink(w *frame.Frames, last uint64, gone []uint64) error {
	parts, err := w.Events()
	if err != nil {
		return err
	}
	stay := make([]appended, 0, len(parts))
	for _, p := range parts {
		if _, is := slices.BinarySearch(gone, p.Seq); !is {
			stay = append(stay, appended{p.Seq, w.Record(p)})
		}
	}
	if len(stay) == len(parts) {
		return nil
	}
	if len(stay) == 0 || stay[len(stay)-1].seq != last {
		t.count(len(record.LogKey(last)))
		err = t.txn.Delete(record.LogKey(last))
	}
	return errors.Join(err, inRuns(stay, func(run []appended) error {
		if !isFrame(run) {
			for i := range run { // the walk's memory is used again
				run[i].rec = bytes.Clone(run[i].rec)
			}
		}
		_, err := t.writeEvents(run, nil)
		return err
	}))
}

// isFrame reports whether events are stored in one.
func isFrame(all []appended) bool {
	size := 0
	for i := range all {
		size += len(all[i].rec)
	}
	return len(all) > 1 && size >= ValueBytesMin
}

// inRuns visits events as they may be stored together: those that can be read, and each other one
// by itself, so that its key says which it is.
func inRuns(all []appended, visit func(run []appended) error) (err error) {
	for len(all) > 0 && err == nil {
		n := 0
		for n < len(all) && record.IsWhole(all[n].rec, all[n].seq) {
			n++
		}
		n = max(n, 1)
		err = visit(all[:n])
		all = all[n:]
	}
	return err
}
