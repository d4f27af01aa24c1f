package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// RotateInodes must be free for a commit that may find the memtable full: its table, the next log,
	// a manifest that is written again, and as many that others take meanwhile; compaction adds its
	// own.
	RotateInodes = 6
	// StartInodes is what a start makes: in a new directory ten (that of the engine, its lock, keys,
	// manifest, value log, discard statistics, log and a table of the one before; the high-water mark
	// and the ballast), and something to spare for a repair and for what others take.
	StartInodes = 16
)

// InodesToStart refuses to open the engine where it could not make its files.
func InodesToStart(dir string, free int64) error {
	if free < StartInodes {
		return fmt.Errorf("cannot open spool %q: %d are free; %d are needed to start: %w", dir, free,
			StartInodes, engine.ErrNoInodes)
	}
	return nil
}

// inodesShort says whether fewer files can be made than are needed; nil where nobody counts them.
func (r *room) inodesShort(need int64) error {
	free, err := r.Inodes(r.Dir)
	if err != nil || free >= need {
		return nil // as with bytes, the commit will tell
	}
	return NoInodesError(free, need)
}

// NoInodesError says how many files can be made and how many must stay possible.
func NoInodesError(free, need int64) error {
	return fmt.Errorf("%w: %d are free; %d must stay free for its engine's files", engine.ErrNoInodes,
		free,
		need)
}

// RotateName is a file that is made and removed below the engine's directory.
const RotateName = "rotate"

// makeable says why the engine could not begin another file, or nil. Where it cannot, Badger is
// left without a memtable, and whoever reads from it then ends the process (seen). ErrFull: what
// is missing may come back.
func (r *room) makeable() error {
	path := filepath.Join(r.Dir, RotateName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(path))
	}
	if err == nil {
		return nil
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE,
		syscall.ENFILE, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: its engine cannot begin another file: %w", engine.ErrFull, err)
		}
	}
	return fmt.Errorf("cannot begin another file of the engine: %w", err)
}

// TablesOf bounds how many tables so many bytes of a compaction become: each is full but the last
// of each part, of which there are at most as many.
func TablesOf(bytes int64) int64 { return 2 * (bytes / tableFileBytes) }
