package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// Tree is the embedded engine as the spool cares for it: what it asks of the disk, what its own
// work comes to, and what it is told to do.
type Tree struct {
	DB                   *badger.DB
	bytesMax, entriesMax int // of a transaction
	txn                  Txn // the one that is open
	loose                loose
	idle                 idle
	// frame and appended are memory for its next.
	frame    []byte
	appended []appended
	commits  atomic.Uint64
	// unsynced is the last error of a sync of the value log; nil: none has failed.
	unsynced atomic.Pointer[error]
	// collected is the number of the file that the engine chose last to collect.
	collected atomic.Uint32
	// valuesMoved are those that the last collection has moved.
	valuesMoved atomic.Int64
	dir         string // the engine's own
	log         *slog.Logger
	// through is the spool's seam. said hears of errors that may be nowhere in the engine's log.
	through engine.Seam
	said    func(msg string)
	Room    room

	mapsMu   sync.Mutex
	mapsHeld map[uint64]bool // the tables that a flush holds; guarded by mapsMu
	// lingering are collected files of the value log that the engine removes when nobody reads any
	// more, at whatever time; guarded by mapsMu.
	lingering map[uint32]bool
	blind     bool // the engine did not say which file that is; guarded by mapsMu
}

// TreeOptions are what a tree is made of.
type TreeOptions struct {
	Dir     string // the spool's
	Log     *slog.Logger
	Through engine.Seam
	Said    func(msg string)
	// Free and inodes ask the file system; nil is volume.FreeBytes and FreeInodes.
	Free, Inodes func(dir string) (int64, error)
}

// NewTree is an engine that is not open yet.
func NewTree(o TreeOptions) *Tree {
	t := &Tree{dir: filepath.Join(o.Dir, Dir), log: o.Log, through: o.Through, said: o.Said}
	t.Room = room{Free: o.Free, Inodes: o.Inodes, Dir: t.dir, values: values{dir: t.dir}}
	if t.Room.Free == nil {
		t.Room.Free = volume.FreeBytes
	}
	if t.Room.Inodes == nil {
		t.Room.Inodes = volume.FreeInodes
	}
	return t
}

// Open opens the database.
func (t *Tree) Open(o badger.Options) error {
	o.Logger = syncWatch{o.Logger, t}
	db, err := OpenEngine(o)
	if err == nil {
		memTable := db.Opts().MemTableSize
		t.DB, t.bytesMax = db, int(memTable*15/100*95/100)
		t.entriesMax = int(entriesMax * memTable / MemTableBytes)
		t.Room.MemTable = memTable
		t.Room.values.offset, t.Room.values.most = writeOffset(db), db.Opts().ValueLogFileSize
	}
	return err
}

// writeOffset asks the engine how far it has written into the value log; nil in a version that has
// no such thing. It has no name for it that others may use.
func writeOffset(db *badger.DB) func() uint32 {
	at := reflect.ValueOf(db).Elem().FieldByName("vlog")
	if at.Kind() != reflect.Struct {
		return nil
	}
	at = at.FieldByName("writableLogOffset")
	if !at.IsValid() || at.Type() != reflect.TypeFor[atomic.Uint32]() {
		return nil
	}
	return (*atomic.Uint32)(at.Addr().UnsafePointer()).Load
}

// Begin is part of engine.Log. There is one transaction at a time, so it takes no memory of its
// own.
func (t *Tree) Begin() engine.Txn {
	t.txn = Txn{txn: t.DB.NewTransaction(true), tree: t, appended: t.appended[:0]}
	t.appended = nil
	return &t.txn
}

// commit has the engine write a transaction.
func (t *Tree) commit(txn *Txn) error {
	t.Room.values.spread(txn.values)
	return txn.txn.Commit()
}

// committed counts a transaction.
func (t *Tree) committed(txn *Txn) {
	t.Room.Wrote(txn.bytes, txn.entries)
	t.Room.values.wrote(int64(txn.values))
	t.commits.Add(1)
}

// Commits counts the transactions since the start.
func (t *Tree) Commits() uint64 { return t.commits.Load() }

// Look is part of engine.Records.
func (t *Tree) Look() engine.Look { return frame.LookAt(t.DB, t.salvage) }

// Get is part of engine.Records.
func (t *Tree) Get(key []byte) ([]byte, error) {
	l := t.Look()
	defer l.Close()
	return l.Get(key)
}

// entriesMax stays below Badger's own bound on a transaction's entries, 15 % of the memtable over
// 96 bytes each, where that has MemTableBytes.
const entriesMax = 24_000

// Next is part of engine.Log.
func (t *Tree) Next(after uint64) uint64 { return after + 1 }

// Own is part of engine.Crew. Nobody else can have a lane: the directory's lock is the spool's.
func (t *Tree) Own(record.LaneID) (engine.Tenure, error) { return engine.Tenure{}, nil }

// Bounds is part of engine.Log. Badger's own bound is 15 % of the memtable.
func (t *Tree) Bounds() (bytes, entries int) { return t.bytesMax, t.entriesMax }

// Start opens the database once its files are found fit, or mended. told hears of each file that a
// kill had left empty.
func (t *Tree) Start(f *Files, o badger.Options, told func(reason error)) error {
	err := DescriptorsFor(o.Dir)
	if err == nil {
		err = f.Precheck(o)
	}
	if err != nil {
		named, _ := volume.NameSystem(err)
		return named
	}
	if err := t.OpenPastEmptyFiles(o, told); err != nil {
		return err
	}
	if err := t.restorePointers(f, o); err != nil {
		return errors.Join(fmt.Errorf("cannot find values again: %w", err), t.Close())
	}
	return nil
}

// Close closes the database.
func (t *Tree) Close() error {
	if t.DB == nil {
		return nil // it could not be opened
	}
	return t.DB.Close()
}

// CompactionBytes bounds what the engine's compactions write before they remove what they read: all
// of level 0 and what it overlaps, and deeper down a table with what that overlaps. Without it a
// relay that fills its disk dies of SIGBUS in its own compaction.
func (t *Tree) CompactionBytes() int64 {
	var n int64
	for _, level := range t.DB.Levels() {
		if level.Level == 0 || level.IsBaseLevel {
			n += level.Size
		} else {
			n += min(level.Size, 10*level.TargetFileSize)
		}
	}
	return n
}

// compactionDue is compactionBytes if a compaction is sure to follow the next table, if that may
// set one off, or if one is running; otherwise 0. It looks at all levels, so it is asked only when
// a memtable is full.
func (t *Tree) compactionDue(sure bool) int64 {
	if sure {
		return t.CompactionBytes()
	}
	most := t.LevelZeroTables()
	for _, level := range t.DB.Levels() {
		if level.Level == 0 && level.NumTables >= most-2 || level.Score >= 1 {
			return t.CompactionBytes()
		}
	}
	return 0
}

// Compacts reports that the engine compacts, or is about to.
func (t *Tree) Compacts() bool {
	return slices.ContainsFunc(t.DB.Levels(), func(l badger.LevelInfo) bool { return l.Score >= 1 })
}

// LevelZeroTables are there when a compaction begins.
func (t *Tree) LevelZeroTables() int { return t.DB.Opts().NumLevelZeroTables }

// LevelZero is how many tables level 0 has, and their bytes.
func (t *Tree) LevelZero() (tables int, bytes int64) {
	top := t.DB.Levels()[0]
	return top.NumTables, top.Size
}

// Tables are the files of the engine's tables, by their names in its directory.
func (t *Tree) Tables() map[string]bool {
	listed := make(map[string]bool)
	for _, table := range t.DB.Tables() {
		listed[fmt.Sprintf("%06d%s", table.ID, ".sst")] = true
	}
	return listed
}

// CountTables is how many there are.
func (t *Tree) CountTables() (n int) {
	for _, level := range t.DB.Levels() {
		n += level.NumTables
	}
	return n
}

// Short says what is missing for a group, or nil. ErrFull: there may be enough of it later. Any
// other error is the disk's.
func (t *Tree) Short(u Use, now time.Time) error { return t.Room.short(u, now, t.compactionDue) }

// ShortToClose says what is missing to write the memtable out, with so many bytes more, which the
// engine does when it is closed. Nobody else may write meanwhile.
func (t *Tree) ShortToClose(more int64) error {
	r := &t.Room
	if err := r.inodesShort(RotateInodes); err != nil {
		return err
	}
	free, err := r.Free(r.Dir)
	if err != nil {
		return nil // closing will tell
	}
	if need := r.reserved() + (r.Written+more)*5/4 + t.compactionDue(false); free < need {
		return FullError(free, need)
	}
	return nil
}

// Flatten merges the levels, so that what was deleted gives its space back.
func (t *Tree) Flatten() error {
	err := t.through.Do("flatten", func() error {
		return t.idle.beside(func() error { return t.DB.Flatten(1) })
	})
	if err != nil {
		t.said(err.Error()) // it may be nowhere in its log
		return fmt.Errorf("cannot flatten the spool's tree: %w", err)
	}
	return nil
}

// Flush writes the memtable into a table. Only the committer may call it, between two groups:
// Badger refuses writes meanwhile. If it fails, nobody knows which of the two holds the newest
// events.
func (t *Tree) Flush() error {
	key := []byte{record.PrefixFlush}
	err := t.DB.Update(func(txn *badger.Txn) error { return txn.Set(key, nil) })
	t.Room.Wrote(len(key), 1) // it may have found the memtable full
	if err == nil {
		release := t.holdMaps()
		err = t.through.Do("flush", func() error {
			return t.idle.beside(func() error { return t.DB.DropPrefix(key) })
		})
		release()
	}
	t.Room.rotated(0)
	if err != nil {
		t.said(err.Error()) // it may be nowhere in its log
		return fmt.Errorf("cannot flush the memtable: %w", err)
	}
	return nil
}

// valueFiles are the files of the value log, by their numbers, and the newest.
func (t *Tree) valueFiles() (names map[uint32]string, newest uint32, err error) {
	files, err := fileNames(t.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot list the value log: %w", err)
	}
	names, newest = valueLogs(files)
	return names, newest, nil
}

// lookForValues forgets the collected files of the value log that are gone. mapsMu is held.
func (t *Tree) lookForValues() (newest uint32, err error) {
	names, newest, err := t.valueFiles()
	if err != nil {
		return 0, err
	}
	maps.DeleteFunc(t.lingering, func(number uint32, _ bool) bool { return names[number] == "" })
	return newest, nil
}

// realDir is the engine's directory as the kernel names it.
func (t *Tree) realDir() string {
	dir, err := filepath.Abs(t.dir)
	if err != nil {
		return t.dir
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}
