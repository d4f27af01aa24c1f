package badger

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// logged is what a start has found in the engine's logs.
type logged struct {
	first uint64 // the number of the first transaction; 0: there is none
	// known is how far the spool is known to have come; ends are its places in value logs.
	known mend.Known
	ends  map[uint32]int64
	// values is the value log of the process that was the last; each begins one of its own.
	values uint32
	newest uint64 // the newest event that the tree leads to, or had
}

// hadFrame reports whether a frame in a value log may belong to a transaction that the logs had;
// because of older ones a deletion may be forgotten. A log that was cut off tells nothing of its
// last: neither ids nor failed deliveries are left to speak against a frame of a commit that never
// was, whose sequences were given again to what is lost. So such a frame has to be in the value log
// of the last process, whose own sequences nobody has given again, and what is in it was answered.
// A start that is cut off during a repair begins a value log too: what it has not found again stays
// lost, and is counted.
func (l *logged) hadFrame(file uint32, e *mend.ValueEntry) (had, cutOff bool) {
	last := record.KeySeq(e.Key)
	cutOff = e.Txn > l.known.Txn || last > l.newest
	had = e.Txn+1 >= l.first && (!cutOff || file == l.values && last <= l.known.Event)
	return had, cutOff
}

// also takes a log, or what is known of it.
func (l *logged) also(v *mend.Log) {
	if n := v.First(); n > 0 {
		l.first = n
	}
	l.known.Txn = max(l.known.Txn, v.Newest())
	for file, end := range v.ValueEnds() {
		if l.ends == nil {
			l.ends = make(map[uint32]int64)
		}
		l.ends[file] = max(l.ends[file], end)
	}
}

// repairLogs makes the engine's logs whole before it replays them; see mend.Log. It returns what it
// finds in them.
func (f *Files) repairLogs(o badger.Options, files []string) (*logged, error) {
	answered, err := f.Answered()
	if _, system := volume.NameSystem(err); system && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // without it, what was answered might be taken for what was not
	}
	if err != nil {
		answered = 0 // missing, or damaged: load tells
	}
	found := &logged{known: mend.Known{Event: answered}}
	_, found.values = valueLogs(files)
	// What follows a transaction says whether it was whole.
	for _, path := range logPaths(o, files) {
		if err := f.repairLog(o, path, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// logPaths are the engine's logs, newest first.
func logPaths(o badger.Options, files []string) (paths []string) {
	for _, name := range files {
		if strings.HasSuffix(name, ".mem") {
			paths = append(paths, name)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(logNumber(b), logNumber(a)) })
	for i := range paths {
		paths[i] = filepath.Join(o.Dir, paths[i])
	}
	return paths
}

// logNumber is in a log's name; Badger refuses a name without one.
func logNumber(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(name, ".mem"), 10, 64)
	return n
}

// repairLog makes one log whole. found is what the later ones say.
func (f *Files) repairLog(o badger.Options, path string, found *logged) error {
	b, size, err := readLog(path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	original := func() []byte { return append(slices.Clip(b), make([]byte, size-len(b))...) }
	if _, ok := mend.LogKey(b); !ok {
		return nil // nothing was ever in it, or nothing is left
	}
	f.Logs++
	v, err := OpenLog(o, b)
	if errors.Is(err, mend.ErrKey) && f.AcceptLoss {
		return f.dropFile(path, "no key opens a log of the engine; it is set aside, and what is "+
			"missing with it is counted")
	}
	if err != nil {
		return fmt.Errorf("cannot read log %q: %w", path, err)
	}
	answered, later := found.known.Event, found.first
	v.Judge(answered, later)
	switch {
	case v.Damaged():
		err = f.rewriteLog(path, original(), v)
	case v.Cut() > 0 && later == 0 && answered > v.NewestEvent():
		// Perhaps a crash has cut off its last write, perhaps something was in it that was answered.
		var kept string
		kept, err = f.keepOriginal(path, original())
		f.Log.Warn("the end of a log of the engine cannot be read; a copy is kept", "log", path,
			"bytes", v.Cut(), "original", kept)
	}
	found.also(v)
	return err
}

// OpenLog reads a log with the engine's keys.
func OpenLog(o badger.Options, text []byte) (*mend.Log, error) {
	var keys mend.Keys
	if said, _ := mend.LogKey(text); said != 0 || len(o.EncryptionKey) > 0 {
		// Of a spool in the clear as well: then its file of keys says that the log's head is wrong.
		var err error
		if keys, err = openDataKeys(o); err != nil {
			return nil, err
		}
	}
	l, err := mend.OpenLog(text, keys, MendRecords())
	if errors.Is(err, mend.ErrKey) {
		err = fmt.Errorf("%w: %w", engine.ErrLoss, err)
	}
	return l, err
}

// readLog reads a log without the zeros at its end, tens of MiB that take no room on disk and
// should take none in memory. size is with them.
func readLog(path string) (b []byte, size int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	zeros := 0
	for err == nil {
		var n int
		n, err = io.ReadFull(f, chunk)
		size += n
		used := mend.TrimZeros(chunk[:n])
		if len(used) == 0 {
			zeros += n
			continue
		}
		b = append(append(b, make([]byte, zeros)...), used...)
		zeros = n - len(used)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, err
	}
	return append(b, make([]byte, min(zeros, mend.LogSlack))...), size, nil
}

// rewriteLog puts what could be read in the place of a damaged log. A batch that lost its last
// record was answered all the same, so the high-water mark has to say so first.
func (f *Files) rewriteLog(path string, original []byte, v *mend.Log) error {
	if to := v.Promised(); to > 0 {
		if err := f.Raise(to); err != nil {
			return err
		}
	}
	kept, err := f.replace(path, original, v.Text())
	if err != nil {
		return fmt.Errorf("cannot repair log %q: %w", path, err)
	}
	places, bytes := v.Lost()
	f.Log.Error("a log of the engine was damaged; what can be read of it goes on, and its original "+
		"is kept", "log", path, "original", kept, "places_unreadable", places,
		"bytes_unreadable", bytes, "ends_unreadable", v.Ended(), "transactions", v.Transactions())
	return nil
}

// dataKeysMax bounds the keys that are tried; the engine makes one in ten days.
const dataKeysMax = 10_000

// openDataKeys reads the engine's keys, which the spool's key encrypts; nil: nothing is encrypted.
func openDataKeys(o badger.Options) (mend.Keys, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, badger.KeyRegistryFileName)); err != nil {
		return nil, fmt.Errorf("cannot read the engine's keys: %w", err)
	}
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true,
		EncryptionKey: o.EncryptionKey})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return nil, fmt.Errorf("%w: %w", engine.ErrWrongKey, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the engine's keys: %w", NameEngine(err))
	}
	if len(o.EncryptionKey) == 0 {
		return nil, nil
	}
	keys := mend.Keys{}
	for id := uint64(1); id < dataKeysMax; id++ {
		key, err := registry.DataKey(id)
		if err != nil || key == nil {
			break
		}
		keys[id] = key.Data
	}
	return keys, nil
}

// repairKeys makes the engine's file of keys again where it says nothing: in a spool in the clear.
// That of an encrypted spool has to be as it was written, because what it encrypts is lost without
// it, so whoever has a backup of it must be told.
func (f *Files) repairKeys(o badger.Options, files []string) error {
	path := filepath.Join(o.Dir, badger.KeyRegistryFileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if len(o.EncryptionKey) > 0 || mend.HasKeys(text) {
		if fault := mend.CheckKeys(text); fault != "" {
			return fmt.Errorf("cannot use %q: %w: %s", path, engine.ErrDamaged, fault)
		}
		return nil
	}
	if mend.SoundClear(text) {
		return nil
	}
	clear, err := inTheClear(o.Dir, files)
	if err != nil || !clear {
		return err
	}
	kept, err := f.replace(path, text, mend.ClearKeys())
	if err != nil {
		return fmt.Errorf("cannot repair %q: %w", path, err)
	}
	f.Log.Error("the engine's file of keys was damaged, in which there are none, and is made again",
		"file", path, "original", kept)
	return nil
}

// inTheClear reports whether the tables and logs say that nothing of a spool is encrypted; if there
// are none, nobody says so.
func inTheClear(dir string, files []string) (bool, error) {
	list, _, err := ReadTableList(dir)
	if err != nil {
		return false, err
	}
	said := len(list.Tables) > 0
	for _, t := range list.Tables {
		if t.KeyID != 0 {
			return false, nil
		}
	}
	for _, name := range files {
		if !strings.HasSuffix(name, ".mem") {
			continue
		}
		switch id, err := keyNumber(filepath.Join(dir, name)); {
		case err == nil && id != 0:
			return false, nil
		case err == nil:
			said = true
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return false, err
		}
	}
	return said, nil
}

// keyNumber reads the number of the key in a log's head.
func keyNumber(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, mend.LogHeadBytes)
	_, err = io.ReadFull(f, head)
	id, _ := mend.LogKey(head)
	return id, err
}
