package volume

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrCannotAllocate: the file system cannot allocate blocks ahead.
var ErrCannotAllocate = errors.New("the file system cannot allocate blocks ahead")

// allocateTries bounds how often a signal, such as those that Go's scheduler sends, may interrupt
// an allocation.
const allocateTries = 16

// Allocate gives a file the blocks of a range, so that a store into its map needs none. The file
// keeps its length. ErrCannotAllocate where the file system has no such thing.
func Allocate(f *os.File, from, bytes int64) error {
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	err := syscall.Fallocate(int(f.Fd()), keepSize, from, bytes)
	for tries := 0; errors.Is(err, syscall.EINTR) && tries < allocateTries; tries++ {
		err = syscall.Fallocate(int(f.Fd()), keepSize, from, bytes)
	}
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
		return ErrCannotAllocate
	case err != nil:
		return fmt.Errorf("cannot allocate %d bytes of %q: %w", bytes, f.Name(), err)
	}
	return nil
}
