package badger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
)

// repairValueLogs puts the heads of value logs right, without which Badger refuses to start or
// reads nothing of them, and covers damage in the newest one, which Badger would cut off there
// although the tree leads to what is after it; see mend.Values. Damage in an older one stays as it
// is until somebody reads it (MendValueLog).
func (f *Files) repairValueLogs(o badger.Options, files []string, l *logged) error {
	names, newest := valueLogs(files)
	if err := f.missValueLogs(o, files, l); err != nil && !f.AcceptLoss {
		return err
	}
	for number, name := range names {
		path := filepath.Join(o.Dir, name)
		how := mend.ValueOptions{HeadOnly: true}
		if number == newest {
			l.known.End = l.ends[number]
			how = mend.ValueOptions{Known: &l.known}
		}
		v, err := readValueLog(o, path, how)
		switch {
		case errors.Is(err, mend.ErrKey) && f.AcceptLoss:
			err = f.dropFile(path, "no key opens a value log of the engine; it is set aside, and what "+
				"is missing with it is counted")
		case err != nil:
			err = fmt.Errorf("cannot read value log %q: %w", path, err)
		case v.IsDamaged():
			if err = f.WantRecount(); err == nil {
				err = f.coverValueLog(path, v)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// missValueLogs fails if a value log is gone, or empty, into which the engine's logs lead: it may
// be elsewhere. The engine misses none.
func (f *Files) missValueLogs(o badger.Options, files []string, l *logged) error {
	names, _ := valueLogs(files)
	missing := make(map[uint32]bool)
	for number := range l.ends {
		info, err := os.Stat(filepath.Join(o.Dir, names[number]))
		missing[number] = names[number] == "" || err == nil && info.Size() < mend.LogHeadBytes
	}
	maps.DeleteFunc(missing, func(_ uint32, is bool) bool { return !is })
	if len(missing) == 0 {
		return nil
	}
	// One may have been given back since, when what it held was deleted or moved.
	needed := make(map[string]uint32)
	for _, path := range slices.Backward(logPaths(o, files)) {
		text, _, err := readLog(path)
		if err != nil {
			return fmt.Errorf("cannot read %q: %w", path, err)
		}
		v, err := OpenLog(o, text)
		if err != nil {
			return fmt.Errorf("cannot read log %q: %w", path, err)
		}
		v.Judge(0, math.MaxUint64)
		for _, e := range v.Entries() {
			delete(needed, string(e.Key))
			if number := e.ValueLog(); missing[number] {
				needed[string(e.Key)] = number
			}
		}
	}
	if len(needed) == 0 {
		return nil
	}
	return fmt.Errorf("%w: value log %06d of the engine is gone or empty; %d values that its logs "+
		"name were in such", engine.ErrLoss, slices.Min(slices.Collect(maps.Values(needed))), len(needed))
}

// readValueLog reads a value log with the engine's keys.
func readValueLog(o badger.Options, path string, how mend.ValueOptions) (v *mend.Values,
	err error) {
	how.Records = MendRecords()
	err = withFile(path, func(file *os.File, size int64) error {
		head := make([]byte, mend.LogHeadBytes)
		n, _ := file.ReadAt(head, 0) // a disk that cannot read is told below
		if said, _ := mend.LogKey(head[:n]); said != 0 || len(o.EncryptionKey) > 0 {
			// See OpenLog.
			if how.Keys, err = openDataKeys(o); err != nil {
				return err
			}
		}
		v, err = mend.ReadValues(file, size, how)
		return err
	})
	if errors.Is(err, mend.ErrKey) {
		err = fmt.Errorf("%w: %w", engine.ErrLoss, err)
	}
	return v, err
}

// coverValueLog writes into a damaged value log, in its place: it is long, and the engine may have
// it open. The original is kept first. Cut off anywhere, it is done again.
func (f *Files) coverValueLog(path string, v *mend.Values) error {
	kept, err := f.keepFile(path)
	if err == nil {
		err = f.Through.Do("repair", func() error { return patchFile(path, v.Patches()) })
	}
	if err != nil {
		return fmt.Errorf("cannot repair value log %q: %w", path, err)
	}
	restored, damaged := v.Lost()
	f.Log.Error("a value log of the engine was damaged; what can be read of it goes on, and its "+
		"original is kept", "value_log", path, "original", kept, "places_unreadable", len(v.Damaged),
		"entries_damaged", damaged, "entries_restored", restored, "entries", v.Entries)
	return nil
}

// patchFile writes bytes over others.
func patchFile(path string, patches []mend.Patch) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, p := range patches {
		if _, err = file.WriteAt(p.Bytes, p.At); err != nil {
			break
		}
	}
	return errors.Join(err, file.Sync(), file.Close())
}

// MendValueLog covers the damage in a value log that is not the engine's newest, which may be
// running: it writes to no other. Where the engine did not read a value that did not fit its
// checksum, it does so after this, and its records say which of them are whole. What is returned
// says which parts were damaged; nothing was, or the file is the newest: it is left alone.
func (f *Files) MendValueLog(number uint32) (*mend.Values, error) {
	o := badger.Options{Dir: filepath.Join(f.Dir, Dir), EncryptionKey: f.Key}
	files, err := fileNames(o.Dir)
	if err != nil {
		return nil, err
	}
	names, newest := valueLogs(files)
	if number == newest || names[number] == "" {
		return &mend.Values{}, nil
	}
	path := filepath.Join(o.Dir, names[number])
	v, err := readValueLog(o, path, mend.ValueOptions{})
	if err != nil {
		return nil, fmt.Errorf("cannot read value log %q: %w", path, err)
	}
	if v.IsDamaged() {
		err = f.coverValueLog(path, v)
	}
	return v, err
}

// CheckValueLog reads a value log that nobody writes to from its head to its end. The engine gives
// one back by moving what is needed of it and deleting the file, in silence without what follows an
// entry that does not fit its checksum, or whose key is wrong. So it may do so only where nothing
// is damaged (Values.Fault), and nothing that was is needed (Values.Mended).
func CheckValueLog(path string, key []byte) (*mend.Values, error) {
	v, err := readValueLog(badger.Options{Dir: filepath.Dir(path), EncryptionKey: key}, path,
		mend.ValueOptions{})
	if err != nil {
		return nil, fmt.Errorf("cannot read value log %q: %w", path, err)
	}
	return v, nil
}

// salvage reads a value that does not fit its checksum from its file, as it is: its records say
// which of them are whole.
func (t *Tree) salvage(key []byte, at frame.Place) ([]byte, error) {
	o := t.DB.Opts()
	return readAround(badger.Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey}, len(key), at)
}

// readAround reads a value from its file, of a record with so long a key. What a file is too short
// for reads as zeros.
func readAround(o badger.Options, keyBytes int, at frame.Place) ([]byte, error) {
	if at.Len > mend.FrameBytesMax+mend.KeyBytesMax+64 {
		return nil, fmt.Errorf("%w: a value of %d bytes is none", engine.ErrDamaged, at.Len)
	}
	entry, head := make([]byte, at.Len), make([]byte, mend.LogHeadBytes)
	path := filepath.Join(o.Dir, fmt.Sprintf("%06d%s", at.File, valueLogExt))
	err := withFile(path, func(file *os.File, _ int64) error {
		_, headErr := file.ReadAt(head, 0)
		if _, err := file.ReadAt(entry, int64(at.Offset)); err != nil && err != io.EOF {
			return err
		}
		return headErr
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: value log %q is gone or empty", engine.ErrDamaged, path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read value log %q: %w", path, err)
	}
	var keys mend.Keys
	if len(o.EncryptionKey) > 0 {
		if keys, err = openDataKeys(o); err != nil {
			return nil, err
		}
	}
	value, ok := mend.RawValue(entry, int64(at.Offset), keyBytes, head, keys)
	if !ok {
		return nil, fmt.Errorf("%w: the value in %q says nothing", engine.ErrDamaged, path)
	}
	return value, nil
}
