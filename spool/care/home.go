package care

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

// ReplicaDir is, in a spool's directory, the copy of a spool that servers keep. It holds nothing
// that is not there, too.
const ReplicaDir = "replica"

// restoringDir is where a restore builds a spool, below the directory that this one is to be in.
const restoringDir = "restoring"

var (
	// ErrEmbedded: a directory holds a spool, and is to be that of a relay whose spool is kept by
	// servers: what is owed in it would wait for ever.
	ErrEmbedded = errors.New("it holds an embedded spool")
	// ErrReplica is the opposite: an empty spool would begin beside the copy of one.
	ErrReplica = errors.New("it is that of a relay whose spool is kept by servers")
)

// CheckHome refuses a directory in which a relay with the other engine was. shared: servers keep
// the spool. Nothing in it is read.
func CheckHome(dir string, shared bool) error {
	if shared && Holds(dir) {
		return fmt.Errorf("cannot use spool directory %q: %w", dir, ErrEmbedded)
	}
	if _, err := os.Stat(filepath.Join(dir, ReplicaDir)); !shared && err == nil {
		return fmt.Errorf("cannot use spool directory %q: %w", dir, ErrReplica)
	}
	return nil
}

// Lock makes a spool's directory, and keeps others out until what is returned is closed. It is held
// by a restore, by a start until the engine has a lock of its own, and by a relay whose spool is
// kept by servers. ErrInUse: one is in it.
func Lock(dir string) (*os.File, error) {
	if err := volume.PrepareDir(dir); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open spool directory %q: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = engine.ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock spool directory %q: %w", dir, err), f.Close())
	}
	return f, nil
}

// Enter is Lock for a start that begins a spool where there is none, or judges what there is before
// anything is made: one that is refused leaves the directory as it was, and a service manager may
// try again for ever. acceptLoss begins again where the engine is gone. Errors: ErrDirectory,
// ErrInUse, ErrAway, ErrRestoring, ErrLoss.
func Enter(dir string, acceptLoss bool) (*os.File, error) {
	if found, err := volume.FindDir(dir); err == nil && !found {
		if err := judge(dir, acceptLoss); err != nil {
			return nil, err // where the spool is away not even the directory is made
		}
	}
	lock, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	if err = judge(dir, acceptLoss); err == nil && made(dir) {
		// What a restore that was killed has left after its rename is of no use.
		err = os.RemoveAll(filepath.Join(dir, restoringDir))
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// judge says why a spool may not begin in a directory in which there is none; nil where there is
// one. Nothing is written. Errors: ErrAway, ErrRestoring, ErrLoss: there is a high-water mark, and
// nothing of the engine.
func judge(dir string, acceptLoss bool) error {
	if made(dir) {
		return nil
	}
	if !acceptLoss {
		if err := volume.CheckAway(dir, ondisk.Dir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, restoringDir)); err == nil {
		return fmt.Errorf("cannot open spool %q: %w", dir, engine.ErrRestoring)
	}
	if acceptLoss {
		return nil
	}
	switch seq, err := highwater.Read(dir); {
	case errors.Is(err, fs.ErrNotExist), err == nil && seq == 0:
		return nil // nothing was ever answered here
	case err != nil:
		return fmt.Errorf("cannot open spool %q: %w: beside its high-water mark there is nothing: %w",
			dir, engine.ErrLoss, err)
	default:
		return fmt.Errorf("cannot open spool %q: %w: events up to %d were answered, and its part %q "+
			"is gone", dir, engine.ErrLoss, seq, ondisk.Dir)
	}
}

// made reports whether there is anything of the engine, or what cannot be told from that: whoever
// opens it says what.
func made(dir string) bool {
	files, err := os.ReadDir(filepath.Join(dir, ondisk.Dir))
	return len(files) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}
