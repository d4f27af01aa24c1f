package badger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// AsideDir is where the originals of files lie that a start has repaired or could not use, below
// the spool's directory. Nobody but the operator removes them.
const AsideDir = "aside"

// RecountName is a file, below the spool's directory, that is there from before the first repair to
// after every count was made right again: a start that is cut off in between goes on with it.
const RecountName = "recount"

// repairedSuffix is of files that a repair is writing; the engine does not look at them.
const repairedSuffix = ".repaired"

// partSuffix is of an original that is being copied. What is left of a copy that a kill broke off
// would count against the spool's size, so the next start removes it.
const partSuffix = ".part"

// asideMax bounds the originals of one name.
const asideMax = 10_000

// keepOriginal copies a file to where originals are kept, unless it is there already, and returns
// its name there. The copy is on disk when this returns.
func (f *Files) keepOriginal(path string, content []byte) (string, error) {
	return f.keep(path, bytes.NewReader(content), int64(len(content)))
}

// keepFile is keepOriginal for a file that may be too long for memory.
func (f *Files) keepFile(path string) (kept string, err error) {
	err = withFile(path, func(file *os.File, size int64) (err error) {
		kept, err = f.keep(path, file, size)
		return err
	})
	return kept, err
}

func (f *Files) keep(path string, content io.ReaderAt, size int64) (string, error) {
	aside := filepath.Join(f.Dir, AsideDir)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("cannot make %q: %w", aside, err)
	}
	for i := range asideMax {
		kept := filepath.Join(aside, filepath.Base(path))
		if i > 0 {
			kept += fmt.Sprintf(".%d", i)
		}
		same, err := sameContent(kept, content, size)
		if err == nil && same {
			return kept, nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot look at %q: %w", kept, err)
		}
		err = f.Through.Do("repair", func() error {
			return copyWhole(kept, io.NewSectionReader(content, 0, size))
		})
		if err != nil {
			return "", err
		}
		return kept, errors.Join(volume.SyncDir(aside), volume.SyncDir(f.Dir))
	}
	return "", fmt.Errorf("cannot keep %q: %q is full of others", path, aside)
}

// copyWhole writes a file that is there as a whole or not at all.
func copyWhole(path string, content io.Reader) error {
	err := writeFile(path+partSuffix, content)
	if err == nil {
		err = os.Rename(path+partSuffix, path)
	}
	if err != nil {
		return errors.Join(err, volume.Remove(path+partSuffix))
	}
	return nil
}

// dropParts removes what is left of copies that a kill broke off.
func (f *Files) dropParts() error {
	aside := filepath.Join(f.Dir, AsideDir)
	names, err := fileNames(aside)
	if errors.Is(err, fs.ErrNotExist) || !f.Repairs {
		return nil
	}
	for _, name := range names {
		if strings.HasSuffix(name, partSuffix) {
			err = errors.Join(err, f.Through.Do("repair", func() error {
				return volume.Remove(filepath.Join(aside, name))
			}))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot clear %q of broken-off copies: %w", aside, err)
	}
	return nil
}

// copyBytes are in memory while a file is copied or compared.
const copyBytes = 1 << 20

// sameContent reports whether a file has a content.
func sameContent(path string, content io.ReaderAt, size int64) (same bool, err error) {
	err = withFile(path, func(file *os.File, n int64) error {
		same = n == size
		a, b := make([]byte, copyBytes), make([]byte, copyBytes)
		for at := int64(0); same && at < size; at += copyBytes {
			part := min(copyBytes, size-at)
			_, err := content.ReadAt(a[:part], at)
			_, ferr := file.ReadAt(b[:part], at)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if err := errors.Join(err, ferr); err != nil {
				return err
			}
			same = bytes.Equal(a[:part], b[:part])
		}
		return nil
	})
	return same, err
}

// replace puts another file in the place of one, as a whole or not at all. The original is kept.
func (f *Files) replace(path string, original, content []byte) (kept string, err error) {
	if err := f.WantRecount(); err != nil {
		return "", err
	}
	if original != nil {
		if kept, err = f.keepOriginal(path, original); err != nil {
			return "", err
		}
	}
	if err := f.write(path+repairedSuffix, content); err != nil {
		return kept, err
	}
	return kept, f.Through.Do("repair", func() error {
		if err := os.Rename(path+repairedSuffix, path); err != nil {
			return fmt.Errorf("cannot put the repaired file into place: %w", err)
		}
		return volume.SyncDir(filepath.Dir(path))
	})
}

func (f *Files) write(path string, content []byte) error {
	return f.Through.Do("repair", func() error { return WriteFile(path, content) })
}

// WriteFile writes a file again and syncs it.
func WriteFile(path string, content []byte) error {
	return writeFile(path, bytes.NewReader(content))
}

// writeFile writes a file and syncs it. Zeros take no room: the engine's logs are tens of MiB of
// them.
func writeFile(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", path, err)
	}
	size := int64(0)
	part := make([]byte, copyBytes)
	for err == nil {
		var n int
		n, err = io.ReadFull(content, part)
		if used := mend.TrimZeros(part[:n]); len(used) > 0 {
			if _, werr := f.WriteAt(used, size); werr != nil {
				err = werr
			}
		}
		size += int64(n)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = f.Truncate(size)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// dropFile takes a file of no use away from the engine and keeps it. told is the line in the log.
func (f *Files) dropFile(path, told string) error {
	if err := f.WantRecount(); err != nil {
		return err
	}
	kept, err := f.keepFile(path)
	if err != nil {
		return err
	}
	f.Log.Error(told, "file", path, "original", kept)
	return f.Through.Do("repair", func() error {
		return errors.Join(volume.Remove(path), volume.SyncDir(filepath.Dir(path)))
	})
}

// WantRecount has this start, or the next one that comes so far, count everything again. Every
// repair begins with it, so a read-only open fails here.
func (f *Files) WantRecount() error {
	if !f.Repairs {
		return fmt.Errorf("%w: its files have to be repaired, which the next start does",
			engine.ErrDamaged)
	}
	if f.Recounting() {
		return nil
	}
	if err := f.write(filepath.Join(f.Dir, RecountName), nil); err != nil {
		return err
	}
	return volume.SyncDir(f.Dir)
}

// Recounting reports that everything is to be counted again, at this start or the next.
func (f *Files) Recounting() bool {
	_, err := os.Stat(filepath.Join(f.Dir, RecountName))
	return !errors.Is(err, fs.ErrNotExist) // what cannot be looked at may be there
}

// relistName is a file, below the spool's directory, that is there once the engine could not write
// its list of tables, until a start has made the list again of the tables that are there.
//
// Badger changes its list in memory first, then writes and syncs it. If that fails it removes the
// tables it was about to name, keeps the others, and tries again, and what was to be taken back
// stays in the list. Seen: one error of fsync while a memtable was written out, no other for the
// rest of the run, and a next start that refused because a table was missing, although nothing was.
const relistName = "relist"

// AboutList reports whether a message of the engine is about its list of tables.
func (f *Files) AboutList(msg string) bool {
	path := filepath.Join(f.Dir, Dir, badger.ManifestFilename)
	return strings.Contains(msg, path) || strings.Contains(msg, "MANIFEST invalid, table ")
}

// WantRelist has the next start make the engine's list again. The file counts even if it could not
// be synced: the disk has failed already.
func (f *Files) WantRelist() error {
	file, err := os.OpenFile(filepath.Join(f.Dir, relistName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a file: %w", err)
	}
	return errors.Join(file.Sync(), file.Close(), volume.SyncDir(f.Dir))
}

// Relisting reports that the list of tables is to be made again.
func (f *Files) Relisting() bool {
	_, err := os.Stat(filepath.Join(f.Dir, relistName))
	return !errors.Is(err, fs.ErrNotExist) // what cannot be looked at may be there
}

// relisted ends it: the list is made again, or there was none.
func (f *Files) relisted() error {
	if !f.Repairs || !f.Relisting() {
		return nil
	}
	return errors.Join(volume.Remove(filepath.Join(f.Dir, relistName)), volume.SyncDir(f.Dir))
}
