package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// repairTables brings the manifest and the tables into a state that the engine can open; see
// mend.Fit. A table that had been replaced, and not deleted yet, may bring deleted keys back in
// this way; recount makes that good.
//
// found is what the engine's logs say; the tables say more.
func (f *Files) repairTables(o badger.Options, files []string, found *logged) error {
	list, text, err := ReadTableList(o.Dir)
	if err != nil {
		return err
	}
	ids, logs := tablesIn(files)
	if list.Empty() && len(ids) == 0 && !logs {
		return f.relisted() // a new spool, or one that was killed while it was made
	}
	if f.Relisting() {
		list.Distrust()
	}
	there, err := readTables(o, list, ids)
	if err != nil {
		return err
	}
	for _, t := range there {
		found.known.Txn = max(found.known.Txn, t.Newest)
	}
	fit := list.Fit(there, found.first)
	for _, id := range fit.Missing {
		f.Log.Error("a table is listed and missing", "table", table.NewFilename(id, o.Dir))
	}
	if n := len(fit.Missing); n > 0 && !fit.Explained && !f.AcceptLoss {
		return fmt.Errorf("%w: %d tables are missing that the engine's list names", engine.ErrLoss, n)
	}
	for _, id := range fit.Aside {
		if err := f.keepTable(table.NewFilename(id, o.Dir), there[id].Fault); err != nil {
			return err
		}
	}
	if fit.List != nil {
		if err := f.rewriteList(filepath.Join(o.Dir, badger.ManifestFilename), text, fit); err != nil {
			return err
		}
	}
	return f.relisted()
}

// keepTable keeps a table that cannot be used. The engine deletes it: no list names it.
func (f *Files) keepTable(path, fault string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if err := f.WantRecount(); err != nil {
		return err
	}
	kept, err := f.keepOriginal(path, content)
	if err != nil {
		return err
	}
	f.Log.Error("a table cannot be used and is set aside; what is missing with it is counted",
		"table", path, "original", kept, "reason", fault)
	return nil
}

func (f *Files) rewriteList(path string, original []byte, fit mend.Fit) error {
	kept, err := f.replace(path, original, fit.List)
	if err != nil {
		return fmt.Errorf("cannot repair %q: %w", path, err)
	}
	f.Log.Error("the engine's list of tables did not fit them and is made again", "list", path,
		"original", kept, "not_listed", len(fit.Added), "listed_and_missing", len(fit.Missing),
		"set_aside", len(fit.Aside))
	return nil
}

// listFormat is what the engine's options put into its list of tables.
func listFormat() mend.ListFormat {
	return mend.ListFormat{Magic: Magic, Levels: Levels}
}

// ReadTableList reads the engine's list of tables as far as it goes; the text is nil if there is
// none. Only one that says another version is an error.
func ReadTableList(dir string) (*mend.List, []byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("cannot read %q: %w", badger.ManifestFilename, err)
	}
	list, err := listFormat().Read(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", record.ErrFormat, err)
	}
	return list, text, nil
}

// tablesIn are the numbers of the tables among the engine's files, and whether there is a log.
func tablesIn(files []string) (ids []uint64, logs bool) {
	for _, name := range files {
		logs = logs || strings.HasSuffix(name, ".mem")
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		if id, ok := table.ParseFileID(name); ok { // the engine looks at no other
			ids = append(ids, id)
		}
	}
	return ids, logs
}

// readTables looks at tables as the engine will. The error is the system's: it says nothing of
// them.
func readTables(o badger.Options, list *mend.List, ids []uint64) (map[uint64]mend.Table, error) {
	var keys mend.Keys
	var err error
	if len(o.EncryptionKey) > 0 && len(ids) > 0 {
		if keys, err = openDataKeys(o); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, fmt.Errorf("%w: there are tables, and no key in the engine's file of keys",
				engine.ErrDamaged)
		}
	}
	there := make(map[uint64]mend.Table, len(ids))
	for _, id := range ids {
		path := table.NewFilename(id, o.Dir)
		err := withFile(path, func(f *os.File, size int64) (err error) {
			there[id], err = mend.ReadTable(f, size, list.Tables[id].KeyID, keys)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("cannot look at table %q: %w", path, err)
		}
	}
	return there, nil
}

// RemoveUnfinished removes the tables that a compaction had begun to write when a full disk ended
// it, as the engine does when it is opened, for which there is no room. Whatever is doubtful
// stays.
func (f *Files) RemoveUnfinished(free int64) (int64, error) {
	dir, err := os.Open(filepath.Join(f.Dir, Dir))
	if errors.Is(err, fs.ErrNotExist) || !f.Repairs {
		return free, nil
	}
	if err != nil {
		return free, err
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return free, nil // a relay runs
	}
	files, err := namesIn(dir)
	if err != nil {
		return free, err
	}
	o := badger.Options{Dir: dir.Name(), EncryptionKey: f.Key}
	ids, _ := tablesIn(files)
	list, _, err := ReadTableList(o.Dir)
	var there map[uint64]mend.Table
	if err == nil {
		there, err = readTables(o, list, ids)
	}
	if err != nil {
		return free, nil // whoever opens it will tell
	}
	unfinished := list.Unfinished(there)
	for _, id := range unfinished {
		if err := os.Remove(table.NewFilename(id, o.Dir)); err != nil {
			return free, fmt.Errorf("cannot remove an unfinished table: %w", err)
		}
	}
	if n := len(unfinished); n > 0 {
		f.Log.Warn("the disk is full; what an interrupted compaction had written was removed to start",
			"tables", n)
	}
	return f.Free(f.Dir)
}
