package spool

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// tree is the embedded engine as the spool cares for it: what it asks of the disk, what its own
// work comes to, and what it is told to do.
type tree struct {
	*ondisk.Engine
	db  *badger.DB
	dir string // the engine's own
	log *slog.Logger
	// through is the spool's seam. said hears of errors that may be nowhere in the engine's log.
	through engine.Seam
	said    func(msg string)
	room    room

	mapsMu   sync.Mutex
	mapsHeld map[uint64]bool // the tables that a flush holds; guarded by mapsMu
}

// treeOptions are what a tree is made of.
type treeOptions struct {
	dir     string // the spool's
	log     *slog.Logger
	through engine.Seam
	said    func(msg string)
	// free and inodes ask the file system; nil is freeBytes and freeInodes.
	free, inodes func(dir string) (int64, error)
}

// newTree is an engine that is not open yet.
func newTree(o treeOptions) *tree {
	t := &tree{dir: filepath.Join(o.dir, engineDir), log: o.log, through: o.through, said: o.said}
	t.room = room{free: o.free, inodes: o.inodes, dir: t.dir}
	if t.room.free == nil {
		t.room.free = freeBytes
	}
	if t.room.inodes == nil {
		t.room.inodes = freeInodes
	}
	return t
}

// open opens the database.
func (t *tree) open(o badger.Options) error {
	db, err := openEngine(o)
	if err == nil {
		t.db, t.Engine = db, ondisk.New(db)
	}
	return err
}

// Close is part of engine.Engine.
func (t *tree) Close() error {
	if t.db == nil {
		return nil // it could not be opened
	}
	return t.Engine.Close()
}

// compactionBytes bounds what the engine's compactions write before they remove what they read: all
// of level 0 and what it overlaps, and deeper down a table with what that overlaps. Seen without
// it: a relay that filled a disk of 320 MiB down to 64 MiB died of SIGBUS in its own compaction,
// with 160 MiB in level 0.
func (t *tree) compactionBytes() int64 {
	var n int64
	for _, level := range t.db.Levels() {
		if level.Level == 0 || level.IsBaseLevel {
			n += level.Size
		} else {
			n += min(level.Size, 10*level.TargetFileSize)
		}
	}
	return n
}

// deepBytes is the size of the levels below the one that level 0 is compacted into.
func (t *tree) deepBytes() (n int64) {
	for _, level := range t.db.Levels() {
		if level.Level > 0 && !level.IsBaseLevel {
			n += level.Size
		}
	}
	return n
}

// rewrittenBytes bounds what the engine writes again below level 0 when deletions of the log up to a
// sequence go down from level to level. A table that holds the last of them holds the newest
// events as well, so it overlaps everything in between. Seen on a disk of 4 GiB with 2,391,000
// events of 1 KiB, swept while they drained: a relay that was killed by SIGBUS, and not a byte left
// for the next start.
func (t *tree) rewrittenBytes(to uint64) (n int64) {
	base := 0
	for _, level := range t.db.Levels() {
		if level.IsBaseLevel {
			base = level.Level
		}
	}
	from, end := record.LogKey(to), []byte{record.PrefixLog + 1}
	for _, table := range t.db.Tables() {
		if table.Level >= base && bytes.Compare(table.Right, from) > 0 &&
			bytes.Compare(table.Left, end) < 0 {
			n += int64(table.OnDiskSize)
		}
	}
	return n
}

// compactionDue is compactionBytes if a compaction is sure to follow the next table, if that may
// set one off, or if one is running; otherwise 0. It looks at all levels, so it is asked only when
// a memtable is full.
func (t *tree) compactionDue(sure bool) int64 {
	if sure {
		return t.compactionBytes()
	}
	most := t.levelZeroTables()
	for _, level := range t.db.Levels() {
		if level.Level == 0 && level.NumTables >= most-2 || level.Score >= 1 {
			return t.compactionBytes()
		}
	}
	return 0
}

// compacts reports that the engine compacts, or is about to.
func (t *tree) compacts() bool {
	return slices.ContainsFunc(t.db.Levels(), func(l badger.LevelInfo) bool { return l.Score >= 1 })
}

// levelZeroTables are there when a compaction begins.
func (t *tree) levelZeroTables() int { return t.db.Opts().NumLevelZeroTables }

// levelZero is how many tables level 0 has, and their bytes.
func (t *tree) levelZero() (tables int, bytes int64) {
	top := t.db.Levels()[0]
	return top.NumTables, top.Size
}

// tables are the files of the engine's tables, by their names in its directory.
func (t *tree) tables() map[string]bool {
	listed := make(map[string]bool)
	for _, table := range t.db.Tables() {
		listed[fmt.Sprintf("%06d%s", table.ID, ".sst")] = true
	}
	return listed
}

// countTables is how many there are.
func (t *tree) countTables() (n int) {
	for _, level := range t.db.Levels() {
		n += level.NumTables
	}
	return n
}

// short says what is missing for a group, or nil. ErrFull: there may be enough of it later. Any
// other error is the disk's.
func (t *tree) short(u use, now time.Time) error { return t.room.short(u, now, t.compactionDue) }

// shortToClose says what is missing to write the memtable out, which the engine does when it is
// closed. The committer has ended.
func (t *tree) shortToClose() error {
	r := &t.room
	if err := r.inodesShort(turnInodes); err != nil {
		return err
	}
	free, err := r.free(r.dir)
	if err != nil {
		return nil // closing will tell
	}
	if need := r.reserved() + r.written + r.written/4 + t.compactionDue(false); free < need {
		return fullError(free, need)
	}
	return nil
}

// flatten merges the levels, so that what was deleted gives its space back.
func (t *tree) flatten() error {
	err := t.through.Do("flatten", func() error { return t.db.Flatten(1) })
	if err != nil {
		t.said(err.Error()) // it may be nowhere in its log
		return fmt.Errorf("cannot flatten the spool's tree: %w", err)
	}
	return nil
}

// flush writes the memtable into a table. Only the committer may call it, between two groups:
// Badger refuses writes meanwhile. If it fails, nobody knows which of the two holds the newest
// events.
func (t *tree) flush() error {
	key := []byte{record.PrefixFlush}
	err := t.db.Update(func(txn *badger.Txn) error { return txn.Set(key, nil) })
	t.room.wrote(len(key), 1) // it may have found the memtable full
	if err == nil {
		release := t.holdMaps()
		err = t.through.Do("flush", func() error { return t.db.DropPrefix(key) })
		release()
	}
	t.room.turned(0)
	if err != nil {
		t.said(err.Error()) // it may be nowhere in its log
		return fmt.Errorf("cannot flush the memtable: %w", err)
	}
	return nil
}

// realDir is the engine's directory as the kernel names it.
func (t *tree) realDir() string {
	dir, err := filepath.Abs(t.dir)
	if err != nil {
		return t.dir
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}
