package volume

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
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

// Zero writes zeros over a range of a file into which nothing was written yet, and nothing after
// it; otherwise, or where the file system does not know, it does nothing. Blocks that were
// allocated ahead count as not written. zeros are some, to be written again and again. Some of the
// range may be left.
func Zero(f *os.File, from, to int64, zeros []byte) error {
	const piecesMax = 1024 // UIO_MAXIOV
	info, err := f.Stat()
	if err != nil || info.Size() < to {
		return err
	}
	if _, err := f.Seek(from, unix.SEEK_DATA); !errors.Is(err, unix.ENXIO) {
		return err
	}
	pieces := make([][]byte, 0, min((to-from)/int64(len(zeros))+1, piecesMax))
	for left := to - from; left > 0 && len(pieces) < cap(pieces); left -= int64(len(zeros)) {
		pieces = append(pieces, zeros[:min(left, int64(len(zeros)))])
	}
	_, err = unix.Pwritev(int(f.Fd()), pieces, from)
	return err
}
