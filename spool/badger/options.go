package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	_ "unsafe" // for linkname

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

const (
	// MemTableBytes bounds resident memory, replay time after a crash and one transaction (Badger
	// allows 15 % of it). A smaller one is no faster, a larger one writes four times as much; this one
	// leaves room for two events of the largest size in one transaction.
	MemTableBytes = 16 << 20
	memTables     = 2
	// Levels is how many the tree has.
	Levels = 7
	// tableFileBytes is the least that a full table below level 0 holds.
	tableFileBytes = 4 << 20
	// txnBytesMax is what a group takes of Badger's 15 % (2.5 MB).
	txnBytesMax = MemTableBytes * 15 / 100 * 6 / 10
	// levelZeroTables are there when a compaction begins: up to 160 MiB, which it writes again before
	// it frees them.
	levelZeroTables = 10
)

// Options spells out every option of Badger that matters to us, with its reason. Nothing is
// left to a default that a later release may change.
func Options(dir string, key []byte, log badger.Logger) badger.Options {
	o := badger.DefaultOptions(filepath.Join(dir, Dir))
	// Durability. Without SyncWrites every power cut lost acknowledged events; calling Sync after
	// each group instead loses the tail of a log file that was rotated in between.
	o.SyncWrites = true
	// One writer (the committer) needs no conflict detection.
	o.DetectConflicts = false
	o.NumVersionsToKeep = 1
	// Large values lie in the value log, which is written once and whose files go whole; see
	// values.go. A small one stays beside its key, so that it costs one sync and not two.
	o.ValueThreshold = ValueBytesMin
	o.VLogPercentile = 0
	o.ValueLogFileSize = valueFileMax
	o.ValueLogMaxEntries = math.MaxUint32
	// Without, Badger takes what a flipped byte makes of an entry's head as it is: it keeps a lock for
	// ever, or panics in a goroutine of its own.
	o.VerifyValueChecksum = true

	// Memory: see memTableBytes. Tables are read through the page cache.
	o.MemTableSize = MemTableBytes
	o.NumMemtables = memTables
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.MetricsEnabled = false

	// Shape. Payloads are often compressed or encrypted already, most die young, and CPU is what
	// the relay competes for with the app beside it: no compression.
	o.Compression = options.None
	o.ZSTDCompressionLevel = 1
	o.BlockSize = 4 << 10
	o.BloomFalsePositive = 0.01
	// A builder takes twice a table's size of memory and Badger keeps up to eight, so small tables.
	o.BaseTableSize = tableFileBytes
	// Below this size there is one level under level 0. The log's keys only grow, so a compaction
	// meets few old tables; three levels wrote everything three times (4.2 bytes per payload byte in
	// 20 s of saturation against 3.6, and 5 % more CPU).
	o.BaseLevelSize = 512 << 20
	o.LevelSizeMultiplier = 10
	o.TableSizeMultiplier = 2
	o.MaxLevels = Levels

	// Two is the least that Badger accepts; more would take the cores from accepting. Writers stop
	// when level 0 has three times the tables that a compaction waits for.
	o.NumCompactors = 2
	SetLevelZero(&o, levelZeroTables)
	o.CompactL0OnClose = false
	o.LmaxCompaction = false
	o.NumGoroutines = 2

	// Each of our records carries its own checksum. Badger's per-block check ends an iterator
	// without an error, which would hide the records after a bad one.
	o.ChecksumVerificationMode = options.NoVerification

	o.EncryptionKey = key
	if len(key) > 0 {
		// Encrypted blocks are decrypted on every read unless they are cached; Badger requires it.
		o.BlockCacheSize = 16 << 20
		o.IndexCacheSize = 16 << 20
	}
	o.ReadOnly = false
	o.InMemory = false
	o.BypassLockGuard = false
	o.NamespaceOffset = -1
	o.ExternalMagicVersion = Magic
	o.Logger = log
	return o
}

const (
	// smallMemTableBytes is the least memtable whose transactions hold the largest event.
	smallMemTableBytes = 8 << 20
	smallMemTables     = 1
	// smallBlockBytes is the size of a block of a table: a builder doubles a block that an event
	// outgrows, so that blocks of the usual 4 KiB take three times what events of 16 KiB have.
	smallBlockBytes = 64 << 10
	// smallCacheBytes is each of the two caches of an encrypted spool.
	smallCacheBytes = 4 << 20
	// roomyMemoryBytes is what the engine takes under load, memtables, builders and caches.
	roomyMemoryBytes = 256 << 20
)

// Shape is what of the engine depends on the memory it may take.
type Shape struct {
	// Small: half as large memtables, and fewer of them.
	Small bool
	// MappedBytesMax of the engine's tables may be resident.
	MappedBytesMax int64
}

// ShapeFor is the shape of an engine that may take so many bytes of memory; 0: as many as are of
// use.
func ShapeFor(memory int64) Shape {
	if memory <= 0 || memory >= roomyMemoryBytes {
		return Shape{MappedBytesMax: mappedBytesMax}
	}
	return Shape{Small: true, MappedBytesMax: min(mappedBytesMax, memory/2)}
}

// apply changes the options of an engine.
func (s Shape) apply(o *badger.Options) {
	if !s.Small {
		return
	}
	o.MemTableSize, o.NumMemtables = smallMemTableBytes, smallMemTables
	o.BlockSize = smallBlockBytes
	if o.BlockCacheSize > 0 {
		o.BlockCacheSize, o.IndexCacheSize = smallCacheBytes, smallCacheBytes
	}
}

// SetLevelZero sets how many tables level 0 has when a compaction begins, and when writers wait.
func SetLevelZero(o *badger.Options, tables int) {
	o.NumLevelZeroTables, o.NumLevelZeroTablesStall = tables, 3*tables
}

// Magic stands in the engine's manifest, which is read before any record of ours: it never
// changes, because a version there would keep a migration from reading what it is to migrate.
const Magic = 1

// Dir is where Badger's files are, below the spool's directory.
const Dir = "db"

// OpenEngine opens Badger. Badger panics on some kinds of damage; that becomes an error here.
func OpenEngine(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("badger panicked: %v", r)
		}
	}()
	if _, gone := os.Stat(o.Dir); !o.ReadOnly && errors.Is(gone, fs.ErrNotExist) {
		if err := volume.WriteInPlace(o.Dir); err != nil {
			return nil, err
		}
	}
	db, err = badger.Open(o)
	if err == nil {
		return db, nil
	}
	// Not the half of it that Badger returns: closing that panics.
	if IsLocked(err) {
		o.Logger.Infof("%v", err) // for who debugs; ours are the words for an operator
		return nil, engine.ErrInUse
	}
	return nil, err
}

// IsLocked reports whether an error of Badger says that another process has its directory. It says
// the same of a lock that it cannot have for another reason.
func IsLocked(err error) bool {
	named, system := volume.NameSystem(err)
	return strings.Contains(err.Error(), "Cannot acquire directory lock") &&
		(!system || errors.Is(named, syscall.EWOULDBLOCK))
}

// CheckKey reads Badger's registry of keys, which begins with a text that only the right key
// decrypts. A spool that has none yet takes any key.
func CheckKey(o badger.Options) error {
	_, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true,
		EncryptionKey: o.EncryptionKey})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return engine.ErrWrongKey
	}
	return NameEngine(err)
}

// A process that is killed between making a file and giving it a length leaves one without a byte.
// Badger refuses to open it, and gives it its length while refusing, so the next try succeeds (seen
// in 1 of 100 kills, at the start). Nothing was ever in such a file.
const (
	emptyFile     = "Create a new file" // Badger's words
	emptyFilesMax = 8
)

// engineDescriptors are open while the engine is, besides its tables and value logs: its directory,
// keys, manifest, statistics and logs, and what a compaction or a repair opens meanwhile.
const engineDescriptors = 24

// DescriptorsFor fails with EMFILE or ENFILE where the engine's files cannot all be open at once.
// Badger holds every one open, and ends the process where it cannot list them (y.Check).
func DescriptorsFor(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	values, verr := filepath.Glob(filepath.Join(dir, "*"+valueLogExt))
	if err = errors.Join(err, verr); err != nil {
		return fmt.Errorf("cannot list the engine's files: %w", err)
	}
	held := make([]*os.File, 0, len(tables)+len(values)+engineDescriptors)
	for range cap(held) {
		f, err := os.Open(filepath.Dir(dir))
		if err != nil {
			err = fmt.Errorf("cannot have %d files open at once, as its engine must: %w", cap(held), err)
			return errors.Join(err, closeAll(held))
		}
		held = append(held, f)
	}
	return closeAll(held)
}

func closeAll(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// OpenPastEmptyFiles opens the database, again after each file that was left empty. told hears of
// each.
func (t *Tree) OpenPastEmptyFiles(o badger.Options, told func(reason error)) (err error) {
	for range emptyFilesMax {
		err = t.Open(o)
		if err == nil || !strings.Contains(err.Error(), emptyFile) {
			break
		}
		told(err)
	}
	return NameEngine(err)
}

// Logger turns Badger's log into ours. Badger reports some failures only there, so an
// Errorf is counted and makes the spool unready. A failed compaction is reported as a warning.
type Logger struct {
	Log    *slog.Logger
	Failed func(msg string)
	Said   func(msg string) // each error and warning; nil: nobody listens
}

// Errorf is part of badger.Logger.
func (l Logger) Errorf(f string, v ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(f, v...))
	l.Log.Error("badger reports an error", "error", msg)
	l.Failed(msg)
	if l.Said != nil {
		l.Said(msg)
	}
}

// Warningf is part of badger.Logger.
func (l Logger) Warningf(f string, v ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(f, v...))
	l.Log.Warn("badger warns", "warning", msg)
	if l.Said != nil {
		l.Said(msg)
	}
}

// Infof and Debugf are about Badger's own housekeeping.
func (l Logger) Infof(f string, v ...any) {
	l.Log.Debug("badger says", "info", strings.TrimSpace(fmt.Sprintf(f, v...)))
}

// Debugf is part of badger.Logger.
func (l Logger) Debugf(string, ...any) {}

// idle lets the engine's compactors sleep. Badger's two look 20 times a second each whether there
// is anything to compact, which was nine tenths of the CPU of a relay at rest: 0.8 % of a core, 0.1
// % without. Badger stops and starts them itself around what may not run beside them, and has no
// name for that which others may call.
type idle struct {
	mu     sync.Mutex // held by whatever stops and starts them
	asleep bool       // guarded by mu
}

//go:linkname stopCompactions github.com/dgraph-io/badger/v4.(*DB).stopCompactions
func stopCompactions(db *badger.DB)

//go:linkname startCompactions github.com/dgraph-io/badger/v4.(*DB).startCompactions
func startCompactions(db *badger.DB)

// beside runs what stops the compactors and starts them again.
func (i *idle) beside(run func() error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asleep = false
	return run()
}
