package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/volume"
)

// relistName is a file, below the spool's directory, that is there once the engine could not write
// its list of tables, until a start has made the list again of the tables that are there.
//
// Badger changes its list in memory first, then writes and syncs it. If that fails it removes the
// tables it was about to name, keeps the others, and tries again, and what was to be taken back
// stays in the list. Seen: one error of fsync while a memtable was written out, no other for the
// rest of the run, and a next start that refused because a table was missing, although nothing was.
const relistName = "relist"

// AboutList reports whether a message of the engine is about its list of tables.
func (f *Files) AboutList(msg string) bool {
	path := filepath.Join(f.Dir, Dir, badger.ManifestFilename)
	return strings.Contains(msg, path) || strings.Contains(msg, "MANIFEST invalid, table ")
}

// WantRelist has the next start make the engine's list again. The file counts even if it could not
// be synced: the disk has failed already.
func (f *Files) WantRelist() error {
	file, err := os.OpenFile(filepath.Join(f.Dir, relistName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a file: %w", err)
	}
	return errors.Join(file.Sync(), file.Close(), volume.SyncDir(f.Dir))
}

// Relisting reports that the list of tables is to be made again.
func (f *Files) Relisting() bool {
	_, err := os.Stat(filepath.Join(f.Dir, relistName))
	return !errors.Is(err, fs.ErrNotExist) // what cannot be looked at may be there
}

// relisted ends it: the list is made again, or there was none.
func (f *Files) relisted() error {
	if !f.Repairs || !f.Relisting() {
		return nil
	}
	return errors.Join(volume.Remove(filepath.Join(f.Dir, relistName)), volume.SyncDir(f.Dir))
}
