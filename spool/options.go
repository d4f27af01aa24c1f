package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// memTableBytes bounds resident memory, replay time after a crash and one transaction (Badger
	// allows 15 % of it). Measured with 2 memtables: 8 MiB and 16 MiB reach the same rate and write
	// 2.1 bytes per payload byte, 64 MiB writes 9; 16 MiB leaves room for two events of the largest
	// size in one transaction.
	memTableBytes = 16 << 20
	memTables     = 2
	engineLevels  = 7
	// tableFileBytes is the least that a full table below level 0 holds.
	tableFileBytes = 4 << 20
	// txnBytesMax and txnEntriesMax stay under Badger's 15 % (2.5 MB, 26,214 entries), so that a
	// group's events and the lane records that ride with them fit.
	txnBytesMax   = memTableBytes * 15 / 100 * 6 / 10
	txnEntriesMax = 12_000
	// levelZeroTables are there when a compaction begins: up to 160 MiB, which it writes again before
	// it frees them. Twice as many where there is room (roomyBytes): in 12 s of saturation, four
	// rounds, they wrote 2.77 bytes per payload byte instead of 3.57, and the longest waits (p99.9 of
	// delivering) were 44 ms instead of 86.
	levelZeroTables = 10
	// roomyBytes is what a spool must be able to take for that.
	roomyBytes = 4 << 30
)

// levelZeroFor chooses levelZeroTables for a spool that may take so many bytes.
func levelZeroFor(bytes int64) int {
	if bytes < roomyBytes {
		return levelZeroTables
	}
	return 2 * levelZeroTables
}

// engineOptions spells out every option of Badger that matters to us, with its reason. Nothing is
// left to a default that a later release may change.
func engineOptions(dir string, key []byte, log badger.Logger) badger.Options {
	o := badger.DefaultOptions(filepath.Join(dir, engineDir))
	// Durability. Without SyncWrites every power cut lost acknowledged events; calling Sync after
	// each group instead loses the tail of a log file that was rotated in between.
	o.SyncWrites = true
	// One writer (the committer) needs no conflict detection.
	o.DetectConflicts = false
	o.NumVersionsToKeep = 1
	// Every value stays in the LSM tree: Badger swallows sync errors of its value log.
	o.ValueThreshold = 1 << 20
	o.VLogPercentile = 0
	// The value log is never written; its file is mapped at twice this size.
	o.ValueLogFileSize = 2 << 20
	o.ValueLogMaxEntries = 1_000_000
	o.VerifyValueChecksum = true

	// Memory: see memTableBytes. Tables are read through the page cache.
	o.MemTableSize = memTableBytes
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
	o.MaxLevels = engineLevels

	// Two is the least that Badger accepts; more would take the cores from accepting. Writers stop
	// when level 0 has three times the tables that a compaction waits for.
	o.NumCompactors = 2
	setLevelZero(&o, levelZeroTables)
	o.CompactL0OnClose = false
	o.LmaxCompaction = false
	o.NumGoroutines = 2

	// Each of our records carries its own checksum. Badger's per-block check ends an iterator
	// without an error, which would hide the records behind a bad one.
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
	o.ExternalMagicVersion = engineMagic
	o.Logger = log
	return o
}

func setLevelZero(o *badger.Options, tables int) {
	o.NumLevelZeroTables, o.NumLevelZeroTablesStall = tables, 3*tables
}

// engineMagic stands in the engine's manifest, which is read before any record of ours: it never
// changes, because a version there would keep a migration from reading what it is to migrate.
const engineMagic = 1

// engineDir is where Badger's files are, below the spool's directory.
const engineDir = "db"

// openEngine opens Badger. Badger panics on some kinds of damage; that becomes an error here.
func openEngine(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("badger panicked: %v", r)
		}
	}()
	db, err = badger.Open(o)
	if err == nil {
		return db, nil
	}
	// Not the half of it that Badger returns: closing that panics.
	if isLocked(err) {
		o.Logger.Infof("%v", err) // for who debugs; ours are the words for an operator
		return nil, engine.ErrInUse
	}
	return nil, err
}

// isLocked reports whether an error of Badger says that another process has its directory. It says
// the same of a lock that it cannot have for another reason.
func isLocked(err error) bool {
	named, system := nameSystem(err)
	return strings.Contains(err.Error(), "Cannot acquire directory lock") &&
		(!system || errors.Is(named, syscall.EWOULDBLOCK))
}

// checkKey reads Badger's registry of keys, which begins with a text that only the right key
// decrypts. A spool that has none yet takes any key.
func checkKey(o badger.Options) error {
	_, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true,
		EncryptionKey: o.EncryptionKey})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return engine.ErrWrongKey
	}
	return nameEngine(err)
}

// A process that is killed between making a file and giving it a length leaves one without a byte.
// Badger refuses to open it, and gives it its length while refusing, so the next try succeeds (seen
// in 1 of 100 kills, at the start). Nothing was ever in such a file.
const (
	emptyFile     = "Create a new file" // Badger's words
	emptyFilesMax = 8
)

// engineDescriptors are open while the engine is, besides its tables: its directory, keys,
// manifest, value log, statistics and logs, and what a compaction or a repair opens meanwhile.
const engineDescriptors = 24

// descriptorsFor fails with EMFILE or ENFILE where the engine's files cannot all be open at once.
// Badger holds every table open, and ends the process where it cannot list them (y.Check).
func descriptorsFor(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return fmt.Errorf("cannot list the engine's tables: %w", err)
	}
	held := make([]*os.File, 0, len(tables)+engineDescriptors)
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

// openPastEmptyFiles opens the database, again after each file that was left empty. told hears of each.
func (t *tree) openPastEmptyFiles(o badger.Options, told func(reason error)) (err error) {
	for range emptyFilesMax {
		err = t.open(o)
		if err == nil || !strings.Contains(err.Error(), emptyFile) {
			break
		}
		told(err)
	}
	return nameEngine(err)
}

// engineLogger turns Badger's log into ours. Badger reports some failures only there, so an
// Errorf is counted and makes the spool unready. A compaction that fails is a warning of its.
type engineLogger struct {
	log    *slog.Logger
	failed func(msg string)
	said   func(msg string) // each error and warning; nil: nobody listens
}

func (l engineLogger) Errorf(f string, v ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(f, v...))
	l.log.Error("badger reports an error", "error", msg)
	l.failed(msg)
	if l.said != nil {
		l.said(msg)
	}
}

func (l engineLogger) Warningf(f string, v ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(f, v...))
	l.log.Warn("badger warns", "warning", msg)
	if l.said != nil {
		l.said(msg)
	}
}

// Infof and Debugf are about Badger's own housekeeping.
func (l engineLogger) Infof(f string, v ...any) {
	l.log.Debug("badger says", "info", strings.TrimSpace(fmt.Sprintf(f, v...)))
}

func (l engineLogger) Debugf(string, ...any) {}
