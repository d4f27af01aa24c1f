package care

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// ReplicaDir is, in a spool's directory, the copy of a spool that servers keep. It holds nothing
// that is not there, too.
const ReplicaDir = "replica"

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

// Lock makes the directory of a relay whose spool is kept by servers, and keeps others out until
// what is returned is closed. ErrInUse: one is in it.
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
