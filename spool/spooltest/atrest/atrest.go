// Package atrest is what tests do with the files of a spool that nobody has open, and copies of one
// that somebody has.
package atrest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
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

// tester is what a copy needs of a test, which may be one of rapid's.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// Killed copies a spool as a kill leaves it. The spool may be open: a copy in which a write was
// caught halfway, as no kill leaves it, is made again.
func Killed(t tester, from, to string) {
	t.Helper()
	for range 100 {
		copied, err := walk(from, to)
		if err == nil {
			var now []byte
			if now, err = walk(from, ""); err == nil && bytes.Equal(now, copied) {
				return
			}
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s does not come to rest", from)
}

// CopyFiles copies a directory, and of each file only what was ever written: the engine's logs are
// tens of MiB of which most is a hole.
func CopyFiles(from, to string) error {
	_, err := walk(from, to)
	return err
}

// walk reads all files of a directory, copies them to another unless that is "", and returns a sum
// of what they are.
func walk(from, to string) ([]byte, error) {
	sum := sha256.New()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, name)
		switch {
		case d.IsDir() && to != "":
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case d.IsDir():
			return nil
		case to != "":
			return copyFile(path, filepath.Join(to, name), sum)
		}
		return readFile(path, sum, nil)
	})
	return sum.Sum(nil), err
}

func copyFile(from, to string, sum io.Writer) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(readFile(from, sum, out), out.Close())
}

// readFile sums up a file, and copies it to another, which may be nil.
func readFile(from string, sum io.Writer, out *os.File) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	for at := int64(0); ; {
		begin, end, err := written(in, at)
		if err != nil {
			return err
		}
		if begin == end {
			break
		}
		fmt.Fprintln(sum, begin, end)
		var to io.Writer = sum
		if out != nil {
			to = io.MultiWriter(sum, io.NewOffsetWriter(out, begin))
		}
		if _, err := io.Copy(to, io.NewSectionReader(in, begin, end-begin)); err != nil {
			return err
		}
		at = end
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintln(sum, info.Size())
	if out == nil {
		return nil
	}
	return out.Truncate(info.Size())
}
