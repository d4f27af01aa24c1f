package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// The value log: NNNNNN.vlog, where Badger writes the values of ValueBytesMin and more, one after
// the other, and the tree has pointers to them. A value is written once, whatever is kept: in the
// tree each sweep of a large log writes again what stays. A file goes when all in it is dead.
//
// What keeps it safe:
//
//   - Badger syncs a value before it writes the pointer, so a crash leaves bytes that nothing points
//     to, never a pointer to nothing. It tells only its log when that sync fails, and goes on: a
//     commit in which that happened has failed (syncWatch).
//   - Its files are mapped sparse files as the memtable's logs are, so they get their blocks before
//     a commit stores into them (values.allocate).
//   - To collect a file Badger moves what is alive in it, and takes the first entry that it cannot
//     read for the end: what lies after it would go with the file. So every file is read whole
//     before Badger may collect one (collector).
const (
	// ValueBytesMin is the least value that lies in the value log.
	ValueBytesMin = 4 << 10
	// valueFileBytes is about where the next file is begun. Badger maps twice as much.
	valueFileBytes = 64 << 20
	// valueStepMin and valueStepMax bound how far blocks are allocated ahead: as much again as there
	// is.
	valueStepMin, valueStepMax = 1 << 20, 16 << 20
	// valueHeadBytes is where the first entry of a file begins.
	valueHeadBytes = 20
	// collectShare of a file must be dead before what is alive in it is moved. What a failed delivery
	// needs keeps the file otherwise: that is disk, and writes nothing.
	collectShare = 0.9
	// collectMoved is at most what is moved of one file.
	collectMoved = 2 * valueFileBytes / 10
)

// syncWatch notes the syncs of the value log that fail, and how many values a collection has moved.
// Badger's words are those of its value.go.
type syncWatch struct {
	badger.Logger
	t *Tree
}

// Infof is part of badger.Logger.
func (w syncWatch) Infof(f string, v ...any) {
	if f == "Total entries: %d. Moved: %d" && len(v) == 2 {
		moved, _ := v[1].(int)
		w.t.valuesMoved.Store(int64(moved))
	}
	w.Logger.Infof(f, v...)
}

// Errorf is part of badger.Logger.
func (w syncWatch) Errorf(f string, v ...any) {
	if f == "Error while curlf sync: %v\n" {
		err := errors.New("cannot sync the value log")
		if len(v) == 1 {
			if cause, ok := v[0].(error); ok {
				err = fmt.Errorf("cannot sync the value log: %w", cause)
			}
		}
		w.t.unsynced.Store(&err)
	}
	w.Logger.Errorf(f, v...)
}

// values is what the committer knows of the file of the value log in use. It is the committer's own.
type values struct {
	dir string // the engine's
	fid int    // its number; 0: there is none, for a test
	// written bounds what it holds, allocated is up to where it has blocks.
	written, allocated int64
	sparse             bool  // the file system cannot allocate
	refused            error // why it gave no blocks at the last try
	// unused is allocated minus written, for the keeper.
	unused atomic.Int64
}

func (v *values) path(fid int) string {
	return filepath.Join(v.dir, fmt.Sprintf("%06d%s", fid, valueExt))
}

// find looks for the file in use, which is the newest. The engine has just begun it.
func (v *values) find() error {
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("cannot look for the engine's value log: %w", err)
	}
	v.fid = 0
	for _, f := range files {
		if filepath.Ext(f.Name()) != valueExt {
			continue
		}
		var fid int
		if _, err := fmt.Sscanf(f.Name(), "%d.vlog", &fid); err != nil {
			return fmt.Errorf("%q is no name of a value log of the engine: %w", f.Name(), err)
		}
		v.fid = max(v.fid, fid)
	}
	v.begin(valueHeadBytes)
	return nil
}

// begin goes on in a file that holds so many bytes.
func (v *values) begin(holds int64) {
	v.written, v.allocated = holds, 0
	v.unused.Store(0)
	adviseStores(v.path(v.fid))
}

// valuesShort says what is missing for so many bytes in the value log, or nil; see short.
func (r *room) valuesShort(bytes int64, now time.Time) error {
	v := &r.values
	end, rotates := v.written+bytes, v.written+bytes >= valueFileBytes
	if v.fid == 0 || end <= v.allocated && !rotates {
		return nil
	}
	free, err := r.Look(now)
	if err != nil {
		return nil // the commit will tell
	}
	need := r.reserved()
	if rotates {
		need += spareBytes // what the next file begins with, and what others take meanwhile
		if free < need {
			return FullError(free, need)
		}
		if err := errors.Join(r.inodesShort(RotateInodes), r.makeable()); err != nil {
			return err
		}
	}
	if end <= v.allocated || v.allocate(end, free-need) {
		return nil
	}
	if v.refused != nil {
		return fmt.Errorf("%w: %w", engine.ErrFull, v.refused)
	}
	return FullError(free, need+bytes)
}

// allocate gives the file blocks at least up to end, and some more if there is room for that.
func (v *values) allocate(end, most int64) bool {
	v.refused = nil
	if v.sparse {
		return most >= end-v.allocated
	}
	to := end + min(max(v.written, valueStepMin), valueStepMax)
	if to-v.allocated > most {
		to = end
	}
	if to-v.allocated > most {
		return false
	}
	err := v.extend(to)
	switch {
	case err == nil:
		v.allocated = to
		v.unused.Store(max(0, v.allocated-v.written))
		return true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		v.refused = err
		return false
	case errors.Is(err, fs.ErrNotExist):
		return false
	}
	v.sparse = errors.Is(err, volume.ErrCannotAllocate)
	return most >= end-v.allocated
}

func (v *values) extend(to int64) error {
	f, err := os.OpenFile(v.path(v.fid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(volume.Allocate(f, v.allocated, to-v.allocated), f.Close())
}

// wrote counts a transaction, and notes the file that was begun after it.
func (v *values) wrote(bytes int64) {
	v.written += bytes
	if v.written >= valueFileBytes {
		if _, err := os.Stat(v.path(v.fid + 1)); err == nil {
			v.fid++
			v.begin(valueHeadBytes)
		}
	}
	if v.sparse {
		v.allocated = max(v.allocated, v.written)
	}
	v.unused.Store(max(0, v.allocated-v.written))
}

// collect has the engine give back the files of the value log in which nearly all is dead, one
// after the other, between groups of the committer. The engine chooses the file, so all are looked
// at before.
func (s *Store) collect(between func(run func() error) error) error {
	if err := s.checkValues(between); err != nil {
		return err
	}
	for {
		more := false
		err := between(func() (err error) {
			more, err = s.collectOne()
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

// collectOne collects one file; false: there is none, or no room for what would be moved. Any error
// but that there is nothing to do leaves the engine in a state that nobody knows.
func (s *Store) collectOne() (more bool, err error) {
	r := &s.Room
	if free, err := r.Look(time.Now()); err != nil || free < RotateBytes+collectMoved+r.reserved() {
		return false, nil
	}
	s.mapsMu.Lock() // nobody advises the kernel of a map that is taken away
	defer s.mapsMu.Unlock()
	if _, err := s.lookForValues(0); err != nil {
		return false, nil
	}
	s.valuesMoved.Store(0)
	err = s.through.Do("collect", func() error { return s.DB.RunValueLogGC(collectShare) })
	if failed := s.unsynced.Load(); failed != nil {
		return false, *failed
	}
	if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot collect the value log: %w", err)
	}
	s.Premises.collected.Add(1)
	if _, err := s.lookForValues(1); err != nil {
		return false, err
	}
	if moved := s.valuesMoved.Load(); moved > 0 {
		r.Wrote(int(moved)*EntryRoomBytes, int(moved))
		r.values.wrote(collectMoved)
	}
	return true, nil
}

// valueFiles are the files of the value log, by their numbers, and the newest.
func (t *Tree) valueFiles() (names map[uint32]string, newest uint32, err error) {
	files, err := fileNames(t.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot list the value log: %w", err)
	}
	names, newest = valueLogs(files)
	return names, newest, nil
}

// lookForValues counts which files of the value log are gone, of those that were there at the last
// look: they have lingered, and so do collected ones that are still there. mapsMu is held.
func (t *Tree) lookForValues(collected int) (newest uint32, err error) {
	names, newest, err := t.valueFiles()
	if err != nil {
		return 0, err
	}
	t.lingering += collected
	for number := range t.valuesSeen {
		if names[number] == "" {
			t.lingering--
		}
	}
	t.valuesSeen = names
	return newest, nil
}

// checkValues reads the files of the value log that were not read yet, and moves what is alive out
// of those that are damaged: the engine would delete it.
func (s *Store) checkValues(between func(run func() error) error) error {
	names, newest, err := s.valueFiles()
	if err != nil {
		return err
	}
	for number, name := range names {
		if number == newest || s.sound[number] {
			continue
		}
		v, err := CheckValueLog(filepath.Join(s.Tree.dir, name), s.Key)
		if err != nil {
			return err
		}
		if v.Fault() != "" || len(v.Mended) > 0 {
			if err := s.rescue(number, between); err != nil {
				return err
			}
		}
		s.sound[number] = true
	}
	for number := range s.sound {
		if names[number] == "" {
			delete(s.sound, number)
		}
	}
	return nil
}

// rescueSpan bounds the events around damage that are looked for by their sequences.
const rescueSpan = 4096

// rescue covers the damage in a file of the value log, and writes again what can be read of it and
// is alive, so that it lies in another.
func (s *Store) rescue(number uint32, between func(run func() error) error) error {
	v, err := s.MendValueLog(number)
	if err != nil {
		return err
	}
	keys := damagedEvents(v)
	path := filepath.Join(s.Tree.dir, fmt.Sprintf("%06d%s", number, valueExt))
	_, err = readValueLog(badger.Options{Dir: s.Tree.dir, EncryptionKey: s.Key}, path,
		mend.ValueOptions{Visit: func(e *mend.ValueEntry) {
			keys = append(keys, append([]byte(nil), e.Key...))
		}})
	if err != nil {
		return err
	}
	s.Log.Warn("what is alive in a damaged value log is written again", "value_log", path)
	for len(keys) > 0 {
		full := error(nil)
		err := between(func() (err error) {
			if full = s.Short(Use{Bytes: 2 * txnBytesMax}, time.Now()); full == nil {
				keys, err = s.writeAgain(keys)
			}
			return err
		})
		if err = errors.Join(err, full); err != nil {
			return err
		}
	}
	return nil
}

// damagedEvents are the keys of the events that damage may have been in.
func damagedEvents(v *mend.Values) (keys [][]byte) {
	for i := range v.Damaged {
		d := &v.Damaged[i]
		from, to := d.Before+1, d.After
		if d.Before == 0 {
			from = max(1, to-min(to, rescueSpan))
		}
		if d.After == 0 {
			to = from + rescueSpan
		}
		for seq := from; seq < min(to, from+rescueSpan); seq++ {
			keys = append(keys, record.LogKey(seq))
		}
		for j := range d.Pieces {
			if key := d.Pieces[j].Key; key != nil {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// writeAgain writes one transaction of records again, as far as they are there and can be read, and
// returns what is left of the keys. Only the committer may call it.
func (s *Store) writeAgain(keys [][]byte) ([][]byte, error) {
	txn := s.Begin().(*Txn)
	defer txn.Discard()
	for txn.values+txn.bytes < txnBytesMax && len(keys) > 0 {
		key := keys[0]
		keys = keys[1:]
		item, err := txn.txn.Get(key)
		if err != nil {
			continue
		}
		value, err := item.ValueCopy(nil)
		if err != nil || len(value) < ValueBytesMin || record.Check(key, value) != nil {
			continue // who reads it sets it aside
		}
		e := badger.NewEntry(key, value)
		e.ExpiresAt = item.ExpiresAt()
		if err := txn.set(e); err != nil {
			return keys, err
		}
	}
	if txn.entries == 0 {
		return keys, nil
	}
	return keys, s.through.Do("commit", txn.Commit)
}
