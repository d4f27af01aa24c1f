// Package atrest is what tests do with the files of a spool that nobody has open.
package atrest

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Copy copies a spool.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	if err := CopyFiles(from, to); err != nil {
		t.Fatal(err)
	}
}

// CopyFiles copies a directory, and of each file only what was ever written: the engine's logs are
// tens of MiB of which most is a hole.
func CopyFiles(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	for at := int64(0); ; {
		begin, end, err := written(in, at)
		if err != nil {
			return err
		}
		if begin == end {
			break
		}
		_, err = io.Copy(io.NewOffsetWriter(out, begin), io.NewSectionReader(in, begin, end-begin))
		if err != nil {
			return err
		}
		at = end
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	return out.Close()
}
