package badger

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Files are the engine's at rest, and what is needed to repair them.
type Files struct {
	Dir     string // the spool's
	Key     []byte // of encryption; empty: none
	Log     *slog.Logger
	Through engine.Seam
	Free    func(dir string) (int64, error)
	// Answered is the newest event that anybody was told of, raise notes that there is a newer one.
	Answered func() (uint64, error)
	Raise    func(to uint64) error
	// Repairs: damaged files are repaired. acceptLoss goes on without what is lost.
	Repairs, AcceptLoss bool
	// Logs are those that a start found with something in them: a crash leaves one, and one that is
	// torn explains a loss of the newest events.
	Logs int

	found *logged // by Precheck
}

// Precheck looks at the engine's files before the engine does, and repairs what can be. Badger
// deletes every table that its manifest does not name, so a manifest that is gone or cut short
// costs the whole spool, in silence; it ends the replay of a log at the first flipped bit, in
// silence as well, and cuts its newest value log off there; and it panics, where nothing can catch
// it, on a table whose end is damaged (each seen). What becomes of a file package mend decides;
// here it is read, set aside, written and told.
func (f *Files) Precheck(o badger.Options) error {
	dir, err := os.Open(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	// The files of a running relay change under our eyes; Badger will find that it runs.
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil
	}
	files, err := namesIn(dir)
	if err != nil {
		return err
	}
	if err := f.repairKeys(o, files); err != nil {
		return err
	}
	// Before all else, because nothing may be done to a spool that is not ours to read, and because
	// Badger leaves goroutines behind when it finds a wrong key. Other errors are Badger's to tell.
	if err := CheckKey(o); errors.Is(err, engine.ErrWrongKey) {
		return err
	}
	if err := f.dropParts(); err != nil {
		return err
	}
	found, err := f.repairLogs(o, files)
	if err != nil {
		return err
	}
	if err := f.repairTables(o, files, found); err != nil {
		return err
	}
	f.found = found
	// After the others, which say how far the spool has come.
	return f.repairValueLogs(o, files, found)
}

// stray is a frame in a value log that a log of the engine may have lost its entry for.
type stray struct {
	place frame.Place
	key   []byte
	txn   uint64
	// cutOff: a log was cut off before it, and with it what there was of its events' ids.
	cutOff bool
}

// restorePointers leads the tree to frames again whose entries were in a damaged part of a log: a
// flipped bit there would cost all events of one, which lie whole in a value log. Which frames can
// be such says logged.hadFrame, and belongs.
func (t *Tree) restorePointers(f *Files, o badger.Options) error {
	if f.found == nil || f.found.first == 0 {
		return nil
	}
	newest, err := newestEvent(t)
	if err != nil || newest >= f.found.known.Event && !f.Recounting() {
		return err
	}
	f.found.newest = newest
	all, err := t.strays(o, f.found)
	if err != nil {
		return err
	}
	restored := 0
	// The newest first: an older one with some of its events was never committed.
	for i := range slices.Backward(all) {
		value, err := t.missing(o, &all[i])
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		if err := f.WantRecount(); err != nil {
			return err
		}
		err = f.Through.Do("repair", func() error {
			return t.DB.Update(func(txn *badger.Txn) error { return txn.Set(all[i].key, value) })
		})
		if err != nil {
			return err
		}
		restored++
	}
	if failed := t.unsynced.Load(); failed != nil {
		return *failed
	}
	if restored > 0 {
		f.Log.Error("values were found again that a damaged log of the engine had led to",
			"values", restored)
	}
	return nil
}

// newestEvent is the newest event that the tree leads to, or had: what was swept is below the
// checkpoint.
func newestEvent(from engine.Records) (newest uint64, err error) {
	look := from.Look()
	defer look.Close()
	value, err := look.Get(record.MetaKey(record.MetaCheckpoint))
	if c, derr := record.DecodeCheckpoint(value); err == nil && derr == nil {
		newest = c.Head
	}
	key, _, err := engine.Last(look, []byte{record.PrefixLog}, []byte{record.PrefixLog + 1})
	if errors.Is(err, engine.ErrNotFound) {
		return newest, nil
	}
	if err == nil {
		newest = max(newest, record.KeySeq(key))
	}
	return newest, err
}

// strays are frames that the logs may have had, by their transactions, and that the tree does not
// lead to.
func (t *Tree) strays(o badger.Options, found *logged) (all []stray, err error) {
	files, err := fileNames(o.Dir)
	if err != nil {
		return nil, err
	}
	names, _ := valueLogs(files)
	txn := t.DB.NewTransaction(false)
	defer txn.Discard()
	for number, name := range names {
		_, err := readValueLog(o, filepath.Join(o.Dir, name), mend.ValueOptions{
			Visit: func(e *mend.ValueEntry) {
				if e.Mended || !frame.IsKey(e.Key) {
					return
				}
				had, cutOff := found.hadFrame(number, e)
				if !had || newestVersion(txn, e.Key) >= e.Txn {
					return
				}
				all = append(all, stray{key: bytes.Clone(e.Key), txn: e.Txn, cutOff: cutOff,
					place: frame.Place{File: number, Len: uint32(e.Bytes), Offset: uint32(e.At)}})
			}})
		if errors.Is(err, engine.ErrLoss) {
			continue // no key opens it
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b stray) int {
		return cmp.Or(cmp.Compare(a.txn, b.txn), cmp.Compare(a.place.File, b.place.File),
			cmp.Compare(a.place.Offset, b.place.Offset))
	})
	return all, nil
}

// newestVersion is the number of the last transaction that wrote or deleted a key; 0: none has.
func newestVersion(txn *badger.Txn, key []byte) uint64 {
	o := badger.DefaultIteratorOptions
	o.AllVersions, o.PrefetchValues = true, false
	it := txn.NewKeyIterator(key, o)
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return it.Item().Version()
	}
	return 0
}

// missing is the value of a frame of which no event is there; nil: some are, or it cannot be read.
func (t *Tree) missing(o badger.Options, s *stray) ([]byte, error) {
	value, err := readAround(o, len(s.key), s.place)
	if errors.Is(err, engine.ErrDamaged) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last := record.KeySeq(s.key)
	parts := record.SplitFrame(nil, value, last)
	if _, err := record.WholeInFrame(value, last); err != nil {
		return nil, nil
	}
	look := frame.LookAt(t.DB, t.salvage)
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	defer w.Close()
	w.Seek(record.LogKey(parts[0].Seq))
	if w.Valid() && record.KeySeq(w.Key()) <= last {
		return nil, nil
	}
	if is, err := s.belongs(look, parts, value); err != nil || !is {
		return nil, err
	}
	return value, nil
}

// belongs reports whether nothing that is there speaks against a frame. A process that ended
// between its value and its entry has left one as well, and the next has given the sequences, and
// the number of the transaction, to other events. What is known of those must not become the
// frame's, and least of all the deliveries that are owed of them.
func (s *stray) belongs(look engine.Look, parts []record.InFrame, value []byte) (is bool,
	err error) {
	all := make(map[uint64]*record.Event, len(parts))
	known, given := 0, 0 // by their ids
	for _, p := range parts {
		e, err := record.DecodeEvent(value[p.From:p.To], p.Seq)
		if err != nil {
			continue
		}
		all[p.Seq] = e
		if e.Given && !s.cutOff && time.Since(e.At) < idsStay {
			given++
		}
	}
	is = true
	err = engine.Scan(look, []byte{record.PrefixID}, nil, func(key, value []byte) (bool, error) {
		id, err := record.DecodeID(value)
		if err != nil {
			return true, nil // who reads it tells
		}
		if e := all[id.Seq]; e != nil {
			is = is && string(key[1:]) == e.ID()
			known++
		}
		return is, nil
	})
	if err != nil || !is || given > 0 && known == 0 {
		return false, err
	}
	for _, prefix := range []byte{record.PrefixException, record.PrefixExhausted} {
		err := engine.Scan(look, []byte{prefix}, nil, func(key, _ []byte) (bool, error) {
			if e := all[record.KeySeq(key)]; e != nil {
				owes := false
				e.LaneIDs(func(lane record.LaneID) { owes = owes || lane == record.KeyLane(key) })
				is = is && owes
			}
			return is, nil
		})
		if err != nil || !is {
			return false, err
		}
	}
	return true, nil
}

// idsStay is how long at least an id that was given is remembered.
const idsStay = time.Hour
