package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// RemoveFile removes a file, if it is there.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove a file: %w", err)
	}
	return nil
}

// SyncDir makes renames and removals in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot sync %q: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("cannot sync %q: %w", dir, err)
	}
	return nil
}

// Absolute is the directory's path from the root. What a relative one begins with is resolved, so
// that a link which leads to the working directory may be changed, as deployments do.
func Absolute(dir string) string {
	if filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err != nil {
		return filepath.Clean(dir) // then it is compared as seen from here
	}
	return filepath.Join(here, dir)
}

// IsGone reports that there is nothing by a name, or nothing that we would follow.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP)
}

// BytesOnDisk counts blocks, not lengths: the engine's files are sparse. A file that a compaction
// just removed counts as nothing.
func BytesOnDisk(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += BlockBytes(info)
		}
		return nil
	})
	return total, err
}

// BlockBytes is what a file takes, whatever its length: the engine's are sparse.
func BlockBytes(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return 0
}

// ErrDirectory: what spool.dir names cannot be the spool's directory.
var ErrDirectory = errors.New("cannot use spool directory")

// PrepareDir makes the spool's directory.
func PrepareDir(dir string) error {
	found, err := FindDir(dir)
	if err != nil || found {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w %q: cannot make it: %w", ErrDirectory, dir, err)
	}
	return nil
}

// FindDir says whether the directory is there. A link would let someone else choose where the spool
// lies, so it is refused.
func FindDir(dir string) (found bool, err error) {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot look at spool directory %q: %w", dir, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return false, fmt.Errorf("%w %q: it is a symbolic link", ErrDirectory, dir)
	case !info.IsDir():
		return false, fmt.Errorf("%w %q: it is not a directory", ErrDirectory, dir)
	}
	return true, nil
}
