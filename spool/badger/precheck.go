package badger

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"log/slog"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/dead"
	"github.com/hookspool/hookspool/spool/engine"
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
	// After the others, which say how far the spool has come.
	if err := f.repairValueLogs(o, files, found); err != nil {
		return err
	}
	if err := dead.Note(o); err != nil {
		f.Log.Warn("the space of some swept events does not come back yet", "error", err)
	}
	return nil
}
