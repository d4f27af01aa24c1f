package volume

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/hookspool/hookspool/spool/engine"
)

// ErrnosOfSystem are the errors of the system that say nothing of what is in a file: of space, of
// limits, of rights, of the disk, of a file system that cannot do what is asked. ENOENT is none of
// them: that a file is missing is for whoever looked for it to judge.
func ErrnosOfSystem() []syscall.Errno {
	return []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.EACCES, syscall.EPERM, syscall.EROFS,
		syscall.EIO, syscall.ENXIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT,
		syscall.ENODEV, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.ENOLCK,
		syscall.EINTR, syscall.EBUSY, syscall.EAGAIN,
		syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG,
	}
}

// systemError is an error that was only text, with what it was.
type systemError struct {
	errno syscall.Errno
	err   error
}

func (e *systemError) Error() string   { return e.err.Error() }
func (e *systemError) Unwrap() []error { return []error{e.err, e.errno} }

// NameSystem finds the system's error in one of the engine's: Badger wraps with "%s err: %+v", so
// that often nothing but its text is left (y.Wrap). ok: there is one, and errors.Is finds it in
// named.
func NameSystem(err error) (named error, ok bool) {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) {
		return err, err != nil
	}
	text := err.Error()
	for _, errno := range ErrnosOfSystem() {
		if saysErrno(text, errno.Error()) {
			return &systemError{errno: errno, err: err}, true
		}
	}
	return err, false
}

// saysErrno reports whether a text has the words of an error where Go puts them, after a colon and
// at an end: a directory may be called like an error.
func saysErrno(text, words string) bool {
	for {
		before, after, found := strings.Cut(text, words)
		if !found {
			return false
		}
		begins := before == "" || strings.HasSuffix(before, ": ") ||
			strings.ContainsRune("\n=", rune(before[len(before)-1]))
		if begins && (after == "" || strings.ContainsRune("\n;:.,)", rune(after[0]))) {
			return true
		}
		text = after
	}
}

// NameSpace tells a disk without inodes from one without bytes: both are ENOSPC. Some file systems
// (xfs) make inodes of bytes, so where both are gone it is bytes that are missing.
func NameSpace(err error, dir string) error {
	const spare = 8 << 20 // bytes that nobody but the file system itself may have
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, engine.ErrFull) {
		return err
	}
	inodes, ierr := FreeInodes(dir)
	bytes, berr := FreeBytes(dir)
	if ierr == nil && berr == nil && inodes == 0 && bytes > spare {
		return fmt.Errorf("%w: %w", engine.ErrNoInodes, err)
	}
	return err
}
