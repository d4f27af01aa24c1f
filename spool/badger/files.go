package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

const valueLogExt = ".vlog"

// CheckFiles looks at the engine's files, but for the value logs that are CheckOlderValueLogs' to
// look at. notes are findings that a crash explains.
func CheckFiles(dir string) (bad, notes []string, err error) {
	files, err := os.ReadDir(filepath.Join(dir, Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %q", engine.ErrNoSpool, dir)
	}
	if err != nil {
		return bad, nil, fmt.Errorf("cannot read %q: %w", dir, err)
	}
	manifest := false
	newest := newestValueLog(files)
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
		case name == newest:
			fault, note, err = checkValueLog(path)
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

func newestValueLog(files []os.DirEntry) string {
	var names []string
	for _, f := range files {
		if !f.IsDir() {
			names = append(names, f.Name())
		}
	}
	byNumber, newest := valueLogs(names)
	return byNumber[newest]
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

// namesIn are the names of what the engine may look at in its directory: it takes no notice of
// directories.
func namesIn(dir *os.File) ([]string, error) {
	entries, err := dir.ReadDir(-1)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// fileNames are the names of the engine's files.
func fileNames(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return namesIn(dir)
}

// valueLogs are the names of the engine's value logs, by number. Badger refuses another name.
func valueLogs(files []string) (names map[uint32]string, newest uint32) {
	names = make(map[uint32]string)
	for _, name := range files {
		number, is := strings.CutSuffix(name, valueLogExt)
		n, err := strconv.ParseUint(number, 10, 32)
		if is && err == nil {
			names[uint32(n)] = name
			newest = max(newest, uint32(n))
		}
	}
	return names, newest
}

// checkValueLog looks at a value log without a key.
func checkValueLog(path string) (fault, note string, err error) {
	err = withFile(path, func(file *os.File, size int64) error {
		v, err := mend.ReadValues(file, size, mend.ValueOptions{Sums: true})
		if err == nil {
			fault, note = v.Fault(), v.Note()
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("cannot look at value log %q: %w", path, err)
	}
	return fault, note, err
}

// CheckOlderValueLogs looks at all value logs but the newest, which is CheckFiles' to look at. The
// engine can be opened with what is found.
func CheckOlderValueLogs(ctx context.Context, dir string) (bad []string, err error) {
	files, err := fileNames(filepath.Join(dir, Dir))
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", dir, err)
	}
	names, newest := valueLogs(files)
	for number, name := range names {
		if number == newest {
			continue
		}
		if ctx.Err() != nil {
			return bad, context.Cause(ctx)
		}
		fault, _, err := checkValueLog(filepath.Join(dir, Dir, name))
		if err != nil {
			return bad, err
		}
		if fault != "" {
			bad = append(bad, fmt.Sprintf("file %s: %s", name, fault))
		}
	}
	return bad, nil
}

// Every record fits an entry of a log as package mend reads one.
var (
	_ [0]struct{} = [record.BytesMax - mend.ValueBytesMax]struct{}{}
	_ [0]struct{} = [record.KeyBytesMax - mend.KeyBytesMax]struct{}{}
)

// MendRecords is what package mend is told of the records in a log.
func MendRecords() mend.Records {
	return mend.Records{
		Check: func(key, value []byte) error {
			if value != nil && frame.IsKey(key) && len(value) >= ValueBytesMin {
				_, err := record.WholeInFrame(value, record.KeySeq(key))
				return err
			}
			if value != nil {
				return record.Check(key, value)
			}
			if k := record.KindOf(key); k == nil || k.Fits(key) != nil {
				return errNoKey
			}
			return nil
		},
		Event: func(key, value []byte) (seq, batchEnd uint64) {
			if len(key) != 9 || key[0] != record.PrefixLog {
				return 0, 0
			}
			if e, err := record.DecodeEvent(value, record.KeySeq(key)); err == nil {
				batchEnd = e.BatchEnd
			}
			return record.KeySeq(key), batchEnd
		},
	}
}

var errNoKey = errors.New("it is no key of a record")

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
