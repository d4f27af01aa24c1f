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

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/dead"
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
	found, err := f.repairLogs(o, files)
	if err != nil {
		return err
	}
	if err := f.repairTables(o, files, found); err != nil {
		return err
	}
	f.found = found
	// After the others, which say how far the spool has come.
	if err := f.repairValueLogs(o, files, found); err != nil {
		return err
	}
	if err := dead.Note(o); err != nil {
		f.Log.Warn("the space of some swept events does not come back yet", "error", err)
	}
	return nil
}

// stray is a frame in a value log that a log of the engine may have lost its entry for.
type stray struct {
	place frame.Place
	key   []byte
	txn   uint64
}

// restorePointers leads the tree to frames again whose entries were in a damaged part of a log: a
// flipped bit there would cost all events of one, which lie whole in a value log. It does so for
// transactions that only the logs had, because of older ones a deletion may be forgotten; and not
// for one after the newest that was whole, which nobody was told of.
func (t *Tree) restorePointers(f *Files, o badger.Options) error {
	if f.found == nil || f.found.first == 0 || !f.Recounting() {
		return nil
	}
	all, err := t.strays(o, f.found.first-1, f.found.known.Txn)
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

// strays are the frames of some transactions, by their places, that the tree does not lead to.
func (t *Tree) strays(o badger.Options, from, to uint64) (all []stray, err error) {
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
				if e.Mended || e.Txn < from || e.Txn > to || !frame.IsKey(e.Key) ||
					newestVersion(txn, e.Key) >= e.Txn {
					return
				}
				all = append(all, stray{key: bytes.Clone(e.Key), txn: e.Txn,
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
	return value, nil
}
