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

// Loader fills a new database. It commits only what the disk has room for, and leaves enough of
// that to close the engine. Nobody else may write meanwhile.
type Loader struct {
	tree *Tree
	txn  *Txn
	// frame are events on their way, in the order of their sequences.
	frame      []appended
	frameBytes int
	last       uint64 // the last event that is not in frame
}

const (
	// loadedFrameBytes is about how long a frame becomes.
	loadedFrameBytes = 256 << 10
	// loadedValues are the bytes of frames that are synced together.
	loadedValues = 4 << 20
	// loadPatience is how long a loader waits for what is being written out, which gives back a log of
	// the engine, or the tables that were merged; loadPause lies between two looks.
	loadPatience, loadPause = 10 * time.Second, 20 * time.Millisecond
)

// Load begins to fill the database.
func (t *Tree) Load() (*Loader, error) {
	l := &Loader{tree: t}
	l.begin()
	return l, t.Room.Begin()
}

func (l *Loader) begin() { l.txn = l.tree.Begin().(*Txn) }

// Put adds a record that may be forgotten at an instant, in unix seconds; 0: never. It keeps both
// slices. Events make frames where they come in their order. ErrFull: the disk has no room for it.
func (l *Loader) Put(key, value []byte, expiresAt uint64) error {
	if !frame.IsKey(key) {
		e := badger.NewEntry(key, value)
		e.ExpiresAt = expiresAt
		return errors.Join(l.room(len(key)+len(value)), l.txn.set(e))
	}
	seq := record.KeySeq(key)
	if n := len(l.frame); n > 0 &&
		(l.frameBytes+len(value) > loadedFrameBytes || seq <= l.frame[n-1].seq) {
		if err := l.flushFrame(); err != nil {
			return err
		}
	}
	if seq <= l.last {
		return l.putBetween(appended{seq, value})
	}
	l.frame = append(l.frame, appended{seq, value})
	l.frameBytes += len(value)
	return nil
}

// room commits what there is if as much again does not fit with it.
func (l *Loader) room(bytes int) error {
	if l.txn.values < loadedValues && l.txn.entries < l.tree.entriesMax/2 &&
		l.txn.bytes+bytes < l.tree.bytesMax/2 {
		return nil
	}
	return l.commit()
}

func (l *Loader) flushFrame() error {
	err := l.room(min(l.frameBytes, len(l.frame)*ValueBytesMin))
	if err == nil {
		err = inRuns(l.frame, func(run []appended) error {
			l.last = run[len(run)-1].seq
			_, err := l.txn.writeEvents(run, nil)
			return err
		})
	}
	l.frame, l.frameBytes = nil, 0
	return err
}

// putBetween adds an event that comes after later ones: the frame that those are in is divided,
// because frames do not overlap.
func (l *Loader) putBetween(e appended) error {
	if err := l.commit(); err != nil {
		return err
	}
	after, err := l.eventsFrom(e.seq)
	for _, a := range after {
		l.txn.deleted = append(l.txn.deleted, a.seq)
	}
	if len(after) > 0 && after[0].seq == e.seq {
		after = after[1:]
	}
	err = errors.Join(err, l.txn.writeDeleted())
	for _, run := range [][]appended{{e}, after} {
		err = errors.Join(err, inRuns(run, func(run []appended) error {
			_, err := l.txn.writeEvents(run, nil)
			return err
		}))
	}
	if err != nil {
		return err
	}
	return l.commit()
}

// eventsFrom are those from a sequence on in a frame that begins at or before it.
func (l *Loader) eventsFrom(seq uint64) (all []appended, err error) {
	look := l.tree.Look().(frame.Look)
	defer look.Close()
	f := look.Frames()
	defer f.Close()
	if _, ok := f.Seek(seq); !ok {
		return nil, nil
	}
	parts, err := f.Events()
	if err != nil || len(parts) == 0 || parts[0].Seq > seq {
		return nil, err
	}
	for _, p := range parts {
		if p.Seq >= seq {
			all = append(all, appended{p.Seq, bytes.Clone(f.Record(p))})
		}
	}
	return all, nil
}

// Flush writes what was added.
func (l *Loader) Flush() error {
	err := l.flushFrame()
	if err == nil {
		err = l.commit()
	}
	return err
}

// Cancel forgets what is not written yet.
func (l *Loader) Cancel() { l.txn.Discard() }

func (l *Loader) commit() error {
	began, use := time.Now(), Use{Bytes: int64(l.txn.bytes), Values: int64(l.txn.values)}
	for {
		err := l.tree.Short(use, time.Now())
		if err == nil {
			err = l.tree.ShortToClose(use.Bytes)
		}
		if err == nil {
			break
		}
		writes := len(l.tree.Room.full) > 0 || l.tree.Compacts()
		if !errors.Is(err, engine.ErrFull) || !writes || time.Since(began) > loadPatience {
			return err
		}
		time.Sleep(loadPause)
	}
	err := l.txn.Commit()
	l.begin()
	return err
}
