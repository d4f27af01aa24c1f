package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// relistName is a file, below the spool's directory, that is there once the engine could not write
// its list of tables, until a start has made the list again of the tables that are there.
//
// Badger changes its list in memory first, then writes and syncs it. If that fails it removes the
// tables it was about to name, keeps the others, and tries again, and what was to be taken back
// stays in the list. Seen: one error of fsync while a memtable was written out, no other for the
// rest of the run, and a next start that refused because a table was missing, although nothing was.
const relistName = "relist"

func (f *files) aboutList(msg string) bool {
	path := filepath.Join(f.dir, ondisk.Dir, badger.ManifestFilename)
	return strings.Contains(msg, path) || strings.Contains(msg, "MANIFEST invalid, table ")
}

// wantRelist has the next start make the engine's list anew. The file counts even if it could not
// be synced: the disk has failed already.
func (f *files) wantRelist() error {
	file, err := os.OpenFile(filepath.Join(f.dir, relistName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a file: %w", err)
	}
	return errors.Join(file.Sync(), file.Close(), syncDir(f.dir))
}

func (f *files) relisting() bool {
	_, err := os.Stat(filepath.Join(f.dir, relistName))
	return !errors.Is(err, fs.ErrNotExist) // what cannot be looked at may be there
}

// relisted ends it: the list is made anew, or there was none.
func (f *files) relisted() error {
	if !f.repairs || !f.relisting() {
		return nil
	}
	return errors.Join(removeFile(filepath.Join(f.dir, relistName)), syncDir(f.dir))
}
