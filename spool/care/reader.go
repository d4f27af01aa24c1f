package care

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"syscall"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

// ReaderOptions say which spool to read at rest. Dir and Log are required.
type ReaderOptions struct {
	// Dir is the spool's directory, EncryptionKey as in Options.
	Dir           string
	EncryptionKey []byte
	Log           *slog.Logger
}

// Reader is the Source of a spool that no relay uses, and keeps relays out meanwhile.
type Reader struct {
	dir  string
	key  []byte
	tree *ondisk.Tree
}

// OpenReader opens a spool for reading. A spool that was closed is not written to. One that was
// not (a crash, a kill) is first brought to where a start would bring it: its logs become tables,
// because the engine reads them in no other way; damaged files are never opened like this. Errors:
// ErrNoSpool, ErrInUse, ErrWrongKey, ErrFormat, ErrOldFormat, ErrDamaged.
func OpenReader(o ReaderOptions) (*Reader, error) {
	r := &Reader{dir: o.Dir, key: o.EncryptionKey}
	err := r.openEngine(o)
	if err == nil {
		if err = r.check(); err != nil {
			err = errors.Join(err, r.tree.Close())
		}
	}
	if err != nil {
		named, _ := volume.NameSystem(err)
		return nil, fmt.Errorf("cannot open spool %q: %w", o.Dir, volume.NameSpace(named, o.Dir))
	}
	return r, nil
}

// check reads the small records, so that what is no spool of ours is told at once.
func (r *Reader) check() error {
	look := r.tree.Look()
	defer look.Close()
	_, err := OpenSnapshot(look)
	if errors.Is(err, engine.ErrNotFound) {
		err = fmt.Errorf("%w: %w", engine.ErrNoSpool, err)
	}
	return err
}

// Reading is part of Source.
func (r *Reader) Reading(ctx context.Context, look func(context.Context, engine.Look) error) error {
	l := r.tree.Look()
	defer l.Close()
	return look(ctx, l)
}

// Home is part of Source.
func (r *Reader) Home() (dir string, key []byte) { return r.dir, r.key }

func (r *Reader) openEngine(o ReaderOptions) error {
	if _, err := os.Stat(filepath.Join(o.Dir, ondisk.Dir)); errors.Is(err, fs.ErrNotExist) {
		return engine.ErrNoSpool
	}
	if err := locked(o.Dir); err != nil {
		return err
	}
	bad, _, err := ondisk.CheckFiles(o.Dir)
	if err == nil {
		err = faultsOf(bad).err()
	}
	if err != nil {
		return err
	}
	opts := ondisk.Options(o.Dir, o.EncryptionKey, ondisk.Logger{Log: o.Log, Failed: func(string) {}})
	opts.NumCompactors = 0
	store := atRest(o)
	if logs, _ := filepath.Glob(filepath.Join(o.Dir, ondisk.Dir, "*.mem")); len(logs) == 0 {
		opts.ReadOnly = true // it was closed: everything is in tables
		// What reads only has nowhere to write the next data key, and the engine ends the process for
		// want of it.
		opts.EncryptionKeyRotationDuration = math.MaxInt64
	} else if err := store.Preflight(); err != nil {
		return err
	}
	err = store.Start(store.Files, opts, store.EmptyFileFound)
	r.tree = store.Tree
	return err
}

// atRest is the engine of a spool that no relay uses, not open yet. Nothing of it is repaired.
func atRest(o ReaderOptions) *ondisk.Store {
	return ondisk.NewStore(ondisk.StoreOptions{
		Files: ondisk.Files{Dir: o.Dir, Key: o.EncryptionKey, Log: o.Log,
			Answered: func() (uint64, error) { return highwater.Read(o.Dir) },
			Raise:    func(to uint64) error { return highwater.Raise(o.Dir, to) }},
		Fail: func(err error) error { return err },
	})
}

// Close lets go of the spool.
func (r *Reader) Close() error {
	if err := r.tree.Close(); err != nil {
		return fmt.Errorf("cannot close spool %q: %w", r.dir, err)
	}
	return nil
}

// InUse is ErrInUse while a relay, or a verb that writes, has the spool open; nil says that nobody
// has, or that there is none. shared: servers keep the spool.
func InUse(dir string, shared bool) error {
	part := filepath.Join(dir, ondisk.Dir)
	if shared {
		part = dir
	}
	err := lockedAt(part)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// locked asks for the lock that the engine takes while a relay runs, and gives it back.
func locked(dir string) error { return lockedAt(filepath.Join(dir, ondisk.Dir)) }

func lockedAt(part string) error {
	f, err := os.Open(part)
	if err != nil {
		return fmt.Errorf("cannot open the engine's directory: %w", err)
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return engine.ErrInUse
	}
	if err != nil {
		return fmt.Errorf("cannot lock the engine's directory: %w", err)
	}
	return nil
}
