package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// CheckFiles looks at the engine's files. notes are findings that a crash explains.
func CheckFiles(dir string) (bad, notes []string, err error) {
	files, err := os.ReadDir(filepath.Join(dir, Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %q", engine.ErrNoSpool, dir)
	}
	if err != nil {
		return bad, nil, fmt.Errorf("cannot read %q: %w", dir, err)
	}
	manifest := false
	for _, f := range files {
		name := f.Name()
		path := filepath.Join(dir, Dir, name)
		var fault, note string
		switch {
		case filepath.Ext(name) == ".sst":
			if _, ok := table.ParseFileID(name); !ok || f.IsDir() {
				continue // none of the engine's
			}
			// Its blocks are the engine's to check.
			if fault, err = checkTable(path); err != nil {
				err = fmt.Errorf("cannot look at table %q: %w", path, err)
			}
		case filepath.Ext(name) == ".mem":
			fault, note, err = checkFile(path, mend.CheckLog)
		case name == "MANIFEST":
			manifest = true
			fault, note, err = checkFile(path, func(text []byte) (fault, note string) {
				return listFormat().Check(text), ""
			})
		}
		switch {
		case err != nil:
			return bad, notes, err
		case fault != "":
			bad = append(bad, fmt.Sprintf("file %s: %s", name, fault))
		case note != "":
			notes = append(notes, fmt.Sprintf("file %s: %s", name, note))
		}
	}
	if !manifest && len(files) > 0 {
		bad = append(bad, "the file MANIFEST is missing")
	}
	return bad, notes, nil
}

// checkFile reads a file and has it checked.
func checkFile(path string, check func(text []byte) (fault, note string)) (fault, note string,
	err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("cannot read %q: %w", path, err)
	}
	fault, note = check(b)
	return fault, note, nil
}

// checkTable looks at a table's end.
func checkTable(path string) (fault string, err error) {
	err = withFile(path, func(f *os.File, size int64) (err error) {
		fault, err = mend.CheckTable(f, size)
		return err
	})
	return fault, err
}

// withFile opens a file to read.
func withFile(path string, read func(f *os.File, size int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return read(f, info.Size())
}

// NameEngine says what an error of the engine is about: the system, something with a name already,
// or else what is in its files.
func NameEngine(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{engine.ErrInUse, engine.ErrWrongKey, engine.ErrLoss,
		record.ErrFormat, engine.ErrDamaged} {
		if errors.Is(err, known) {
			return err
		}
	}
	if named, ok := volume.NameSystem(err); ok {
		return named
	}
	return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
}
