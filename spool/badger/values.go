package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/volume"
)

// The value log: NNNNNN.vlog, where Badger writes the values of ValueBytesMin and more, one after
// the other, and the tree has pointers to them. A value is written once, whatever is kept: in the
// tree each sweep of a large log writes again what stays. A file goes when all in it is dead.
//
// What keeps it safe:
//
//   - Badger syncs a value before it writes the pointer, so a crash leaves bytes that nothing leads
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
	// valueFileMin and valueFileMax bound where the next file is begun. Badger maps twice as much.
	valueFileMin, valueFileMax = 1 << 20, 64 << 20
	// valueFileShare of what a spool may take is one of them.
	valueFileShare = 16
	// valueStepMin and valueStepMax bound how far blocks are allocated ahead: as much again as there
	// is.
	valueStepMin, valueStepMax = 1 << 20, 4 << 20
	// valueReserve are the blocks that events leave to what rides with outcomes on a full disk: a few
	// small records there are large.
	valueReserve = 256 << 10
	// letGoBytes of the file in use are resident before its pages are let go.
	letGoBytes = 16 << 20
	// collectShare of a file must be dead before what is alive in it is moved. What a failed delivery
	// needs keeps the file otherwise: that is disk, and writes nothing. When space is short
	// collectShort is enough, and three bytes are written for each that comes back.
	collectShare, collectShort = 0.9, 0.25
)

// valueFileFor is where the next file is begun in a spool that may take so many bytes; 0: any. The
// one in use is never collected, and what is alive in another is moved before that is.
func valueFileFor(most int64) int64 {
	if most <= 0 {
		return valueFileMax
	}
	return min(max(most/valueFileShare, valueFileMin), valueFileMax)
}

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
	if f == "Found value log max discard fid: %d discard: %d\n" && len(v) == 2 {
		number, _ := v[0].(uint32)
		w.t.collected.Store(number)
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

// values is what the committer knows of the file of the value log in use. It is the committer's
// own.
type values struct {
	dir string // the engine's
	fid int    // its number; 0: there is none, for a test
	// most is where the next file is begun.
	most int64
	// written bounds what it holds, allocated is up to where it has blocks.
	written, allocated int64
	letGo              int64 // what was written when its pages were let go last
	sparse             bool  // the file system cannot allocate
	refused            error // why it gave no blocks at the last try
	// unused is allocated minus written, for the keeper.
	unused atomic.Int64
	// offset is where the engine writes next in that file. Nil: it does not say.
	offset func() uint32
	zeros  []byte
}

func (v *values) path(fid int) string {
	return filepath.Join(v.dir, fmt.Sprintf("%06d%s", fid, valueLogExt))
}

// find looks for the file in use, which is the newest. The engine has just begun it.
func (v *values) find() error {
	files, err := fileNames(v.dir)
	if err != nil {
		return fmt.Errorf("cannot look for the engine's value log: %w", err)
	}
	_, newest := valueLogs(files)
	v.fid = int(newest)
	v.begin()
	return nil
}

// begin goes on in a new file.
func (v *values) begin() {
	v.written, v.allocated, v.letGo = mend.LogHeadBytes, 0, 0
	v.unused.Store(0)
	adviseStores(v.path(v.fid))
}

// rotates reports whether the engine may begin another file after so many bytes.
func (v *values) rotates(bytes int64) bool { return v.written+bytes >= v.most }

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
	if v.written >= v.most {
		if _, err := os.Stat(v.path(v.fid + 1)); err == nil {
			adviseReads(v.path(v.fid))
			adviseGone(v.path(v.fid))
			v.fid++
			v.begin()
		}
	}
	if v.written-v.letGo >= letGoBytes {
		v.letGo = v.written
		adviseGone(v.path(v.fid)) // its map stays where it is until the next transaction
	}
	if v.sparse {
		v.allocated = max(v.allocated, v.written)
	}
	v.unused.Store(max(0, v.allocated-v.written))
}

// moved counts what a collection has written, into as many files as it took.
func (v *values) moved(bytes int64) {
	fid := v.fid
	if files, err := fileNames(v.dir); err == nil {
		_, newest := valueLogs(files)
		v.fid = int(newest)
	}
	if v.fid != fid {
		v.begin()
	}
	v.wrote(bytes)
}

const (
	// spreadBytesMin are the least values whose pages are made ready in one go.
	spreadBytesMin = 16 << 10
	zerosBytes     = 16 << 10
)

// spread makes the pages ready into which the engine is about to store so many bytes, by writing
// zeros there. Each would be a fault of its own otherwise and be written back by itself, 4 KiB at a
// time, as the advice for small groups wants it (adviseStores): for 1 MiB that took 2.1 ms and 1.45
// ms of CPU with its sync, with this 0.86 and 0.37, where a write and fdatasync take 0.79 and 0.31;
// for 28 KiB it is the same. The page that holds the end is left out, as the next value stores into
// it again. Nothing changes where anything was ever stored. It only saves time, so the commit tells
// whatever is wrong.
func (v *values) spread(bytes int) {
	if v.offset == nil || v.sparse {
		return
	}
	page := int64(os.Getpagesize())
	from := int64(v.offset())
	to := (from + int64(bytes)) / page * page
	from = (from + page - 1) / page * page
	if to-from < spreadBytesMin || to > v.allocated {
		return
	}
	f, err := os.OpenFile(v.path(v.fid), os.O_RDWR, 0)
	if err != nil {
		return
	}
	if v.zeros == nil {
		v.zeros = make([]byte, zerosBytes)
	}
	_ = errors.Join(volume.Zero(f, from, to, v.zeros), f.Close())
}
