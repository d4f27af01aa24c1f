package care

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// ErrNotEmpty: there is something in the directory already.
var ErrNotEmpty = errors.New("the directory is not empty")

// restoringDir is where a restore builds the spool, below its directory: that may be the root of a
// volume, which cannot be renamed.
const restoringDir = "restoring"

// RestoreOptions say where to restore to. Dir and Log are required.
type RestoreOptions struct {
	// Dir is missing or empty. What a restore left that was cut off counts as nothing.
	Dir string
	// EncryptionKey opens the backup, if that is encrypted, and encrypts the spool.
	EncryptionKey []byte
	Log           *slog.Logger
}

// Restore makes a spool of a backup, verifies it and only then puts it into place, with one rename.
// While it works, and after it was cut off, the directory holds nothing but a high-water mark, so
// that a relay that is started there refuses (ErrLoss) instead of beginning again.
//
// The restored spool has an id of its own: it and the one it comes from may both go on, and ids of
// events must not meet. It remembers whose ids it descends from, so that events made before are
// found by theirs. Its high-water mark is the newest event of the backup: what was acknowledged
// after the backup is not in it, and that is no damage.
//
// Errors: ErrNotEmpty, ErrNoBackup, ErrBadBackup, ErrWrongKey, ErrFormat, ErrDamaged (what was
// restored does not add up, and was removed), ErrFull.
func Restore(ctx context.Context, r io.Reader, o RestoreOptions) (BackupInfo, *Report, error) {
	if err := prepareEmpty(o.Dir); err != nil {
		return BackupInfo{}, nil, err
	}
	work := filepath.Join(o.Dir, restoringDir)
	info, err := restoreInto(ctx, r, work, o)
	var report *Report
	if err == nil {
		report, err = Verify(ctx, ReaderOptions{Dir: work, EncryptionKey: o.EncryptionKey,
			Log: o.Log}, nil)
	}
	if err == nil && report.FaultCount > 0 {
		err = fmt.Errorf("%w: %s (%d faults)", engine.ErrDamaged, report.Faults[0], report.FaultCount)
	}
	if err == nil {
		err = os.Rename(filepath.Join(work, ondisk.Dir), filepath.Join(o.Dir, ondisk.Dir))
	}
	if err != nil {
		// What was built is of no use; the directory is left as empty as it was.
		err = errors.Join(err, volume.Remove(filepath.Join(o.Dir, highwater.Name)))
	}
	err = errors.Join(err, os.RemoveAll(work), volume.SyncDir(o.Dir))
	if err != nil {
		return info, report, fmt.Errorf("cannot restore into %q: %w", o.Dir, err)
	}
	return info, report, nil
}

// prepareEmpty makes the directory, or clears what a restore left that was cut off.
func prepareEmpty(dir string) error {
	if err := volume.PrepareDir(dir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", dir, err)
	}
	_, err = os.Stat(filepath.Join(dir, restoringDir))
	again := err == nil
	for _, f := range files {
		switch name := f.Name(); {
		case name == "lost+found", name == restoringDir, name == highwater.Name && again:
		default:
			return fmt.Errorf("cannot restore into %q: %w: it holds %q", dir, ErrNotEmpty, name)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, restoringDir)); err != nil {
		return fmt.Errorf("cannot clear what a restore left: %w", err)
	}
	return nil
}

func restoreInto(ctx context.Context, r io.Reader, work string, o RestoreOptions,
) (info BackupInfo, err error) {
	if err := os.Mkdir(work, 0o700); err != nil {
		return info, fmt.Errorf("cannot make %q: %w", work, err)
	}
	opts := ondisk.Options(work, o.EncryptionKey, ondisk.Logger{Log: o.Log, Failed: func(string) {}})
	store := atRest(ReaderOptions{Dir: work, Log: o.Log})
	if err := store.Preflight(); err != nil {
		return info, err
	}
	if err := store.Tree.Open(opts); err != nil {
		return info, err
	}
	batch := store.Load()
	var format record.Format
	info, err = readBackup(r, o.EncryptionKey, func(f record.Format, i BackupInfo) error {
		format = f
		return errors.Join(highwater.Write(o.Dir, i.Head), highwater.Write(work, i.Head))
	}, func(b backedUp) error {
		if string(b.key) == string(record.MetaKey(record.MetaFormat)) {
			f, err := record.DecodeFormat(b.value)
			format.Former = f.Former
			return err
		}
		return errors.Join(ctx.Err(), batch.Put(b.key, b.value, b.expiresAt))
	})
	if err == nil {
		err = batch.Flush()
	} else {
		batch.Cancel()
	}
	if err == nil {
		err = storeFormat(store, descendant(format))
	}
	return info, errors.Join(err, store.Tree.Close())
}

// storeFormat writes the record without which there is no spool.
func storeFormat(to engine.Log, f record.Format) error {
	txn := to.Begin()
	defer txn.Discard()
	if err := txn.Put(record.MetaKey(record.MetaFormat), f.Encode(), 0); err != nil {
		return err
	}
	return txn.Commit()
}

// descendant is the format record of a spool restored from one of this record.
func descendant(f record.Format) record.Format {
	f.Former = append([][8]byte{f.ID}, f.Former...)
	f.Former = f.Former[:min(len(f.Former), record.FormerMax)]
	// Read never fails (package crypto/rand).
	_, _ = rand.Read(f.ID[:])
	return f
}
