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

// RestoreSpare are the bytes that must be free beside those of a backup, for the spool to start.
const RestoreSpare = ondisk.PreflightBytes

// RestoreOptions say where to restore to. Dir and Log are required.
type RestoreOptions struct {
	// Dir is missing or empty. What a restore left that was cut off counts as nothing.
	Dir string
	// EncryptionKey opens the backup, if that is encrypted, and encrypts the spool.
	EncryptionKey []byte
	Log           *slog.Logger

	free func(dir string) (int64, error) // asks the file system, in a test
}

// Restore makes a spool of a backup, verifies it and only then puts it into place, with one rename.
// While it works nobody else enters the directory (ErrInUse), and after it was cut off it holds
// nothing but what says so: a relay that is started there refuses (ErrRestoring) instead of
// beginning again.
//
// The restored spool has an id of its own: it and the one it comes from may both go on, and ids of
// events must not meet. It remembers whose ids it descends from, so that events made before are
// found by theirs. Its high-water mark is the newest event of the backup: what was acknowledged
// after the backup is not in it, and that is no damage.
//
// Errors: ErrNotEmpty, ErrInUse, ErrNoBackup, ErrBadBackup, ErrWrongKey, ErrFormat, ErrOldFormat,
// ErrDamaged (it did not add up, and was removed), ErrFull.
func Restore(ctx context.Context, r io.Reader, o RestoreOptions) (info BackupInfo, rep *Report,
	err error) {
	lock, err := Lock(o.Dir)
	if err == nil {
		if err = clearRestore(o.Dir); err != nil {
			err = errors.Join(err, lock.Close())
		}
	}
	if err != nil {
		return info, nil, fmt.Errorf("cannot restore into %q: %w", o.Dir, err)
	}
	work := filepath.Join(o.Dir, restoringDir)
	info, err = restoreInto(ctx, r, work, o)
	if err == nil {
		rep, err = Verify(ctx, ReaderOptions{Dir: work, EncryptionKey: o.EncryptionKey,
			Log: o.Log}, nil)
	}
	if err == nil && rep.FaultCount > 0 {
		err = fmt.Errorf("%w: %s (%d faults)", engine.ErrDamaged, rep.Faults[0], rep.FaultCount)
	}
	if err == nil {
		err = os.Rename(filepath.Join(work, ondisk.Dir), filepath.Join(o.Dir, ondisk.Dir))
	}
	if err == nil {
		err = volume.SyncDir(o.Dir) // what says that it was cut off goes when it was not
	} else if _, gone := os.Stat(filepath.Join(o.Dir, ondisk.Dir)); gone != nil {
		err = errors.Join(err, volume.Remove(filepath.Join(o.Dir, highwater.Name)))
	}
	err = errors.Join(err, os.RemoveAll(work), volume.SyncDir(o.Dir), lock.Close())
	if err != nil {
		return info, rep, fmt.Errorf("cannot restore into %q: %w", o.Dir, err)
	}
	return info, rep, nil
}

// clearRestore removes what a restore left that was cut off.
func clearRestore(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", dir, err)
	}
	work := filepath.Join(dir, restoringDir)
	_, err = os.Stat(work)
	again := err == nil
	for _, f := range files {
		switch name := f.Name(); {
		case name == "lost+found", name == restoringDir, name == highwater.Name && again:
		default:
			return fmt.Errorf("%w: it holds %q", ErrNotEmpty, name)
		}
	}
	// The mark goes first: it is what was not there before the restore.
	err = volume.Remove(filepath.Join(dir, highwater.Name))
	if err = errors.Join(err, os.RemoveAll(work)); err != nil {
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
	if o.free != nil {
		store.Room.Free = o.free
	}
	if err := store.Preflight(); err != nil {
		return info, err
	}
	if err := store.Tree.Open(opts); err != nil {
		return info, err
	}
	to, err := store.Load()
	var format record.Format
	if err == nil {
		info, err = readBackup(r, o.EncryptionKey, func(f record.Format, i BackupInfo) error {
			format = f
			return errors.Join(highwater.Write(o.Dir, i.Head), highwater.Write(work, i.Head))
		}, func(b backedUp) error {
			if string(b.key) == string(record.MetaKey(record.MetaFormat)) {
				f, err := record.DecodeFormat(b.value)
				format.Former = f.Former
				return err
			}
			return errors.Join(ctx.Err(), to.Put(b.key, b.value, b.expiresAt))
		})
	}
	if err == nil {
		f := descendant(format)
		err = to.Put(record.MetaKey(record.MetaFormat), f.Encode(), 0)
	}
	if err == nil {
		err = to.Flush()
	} else if to != nil {
		to.Cancel()
	}
	if short := store.ShortToClose(0); short != nil {
		return info, errors.Join(err, short) // somebody took what was left for it; all of it is removed
	}
	return info, errors.Join(err, store.Tree.Close())
}

// descendant is the format record of a spool restored from one of this record.
func descendant(f record.Format) record.Format {
	f.Former = append([][8]byte{f.ID}, f.Former...)
	f.Former = f.Former[:min(len(f.Former), record.FormerMax)]
	// Read never fails (package crypto/rand).
	_, _ = rand.Read(f.ID[:])
	return f
}
