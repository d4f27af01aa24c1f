package badger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// Badger maps its files. A store into a mapped page that has no block behind it, on a disk that has
// none left, is a SIGBUS that nothing can catch. It makes such stores in three places:
//
//   - the log of the memtable (NNNNN.mem, 32 MiB long, sparse): every commit;
//   - a table (NNNNNN.sst, sparse until it is copied): when a memtable is full, in the commit that
//     finds it so, one goroutine begins to write it out, and a new log is begun;
//   - tables of a compaction, which such a table can set off.
//
// So the committer gives the log its blocks before it stores into them, and lets a commit that may
// find the memtable full begin only when the disk has room for the rest. Allocating ahead costs
// nothing.
const (
	// LogBytesMax is as far as stores into one log can reach; see logBytesMax.
	LogBytesMax = MemTableBytes * 5 / 4
	// tableBytesMax is what the table of one memtable takes.
	tableBytesMax = MemTableBytes * 5 / 4
	// spareBytes is what must stay while anything is written: the first page of a new log, Badger's
	// manifest, the file system's own blocks, and what others take between our look and the write.
	spareBytes = 8 << 20
	// RotateBytes must be free for a commit that may find the memtable full, besides what compaction
	// then takes.
	RotateBytes = tableBytesMax + spareBytes
	// AppendBytes must be free for an append: with less, what is left of the log is for outcomes.
	AppendBytes = RotateBytes + LogBytesMax
	// EntryRoomBytes bounds what log and skip list each add to an entry's key and value: a head of
	// up to 22 bytes, a checksum, a timestamp; a node of 16 bytes and its tower of 1.5 levels.
	EntryRoomBytes = 64
	// fallSpan and fallStep: the disk is expected to lose as much in the next fallSpan as it did,
	// in proportion, over the last fallStep or more.
	fallSpan = 100 * time.Millisecond
	fallStep = 20 * time.Millisecond
)

// logBytesMax is as far as stores into the log of a memtable of so many bytes can reach: the
// memtable, a transaction on top, and what Badger writes around its entries.
func logBytesMax(memTable int64) int64 { return memTable * 5 / 4 }

// largeLogs reports whether a log was left that a memtable of so many bytes may not hold: that of
// an engine with larger ones, which was killed. Badger ends the process where it reads such a log.
func largeLogs(dir string, memTable int64) (bool, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return false, fmt.Errorf("cannot list the engine's logs: %w", err)
	}
	for _, path := range logs {
		size, end, err := contentEnd(path)
		if err != nil {
			return false, fmt.Errorf("cannot look into a log of the engine: %w", err)
		}
		// Badger gives a log twice the length of its memtable, and a repair gives it another. An entry
		// takes more of a memtable than of its log, but never twice as much.
		own := size == 2*memTable && end <= logBytesMax(memTable)
		if !own && end > memTable/2 {
			return true, nil
		}
	}
	return false, nil
}

// contentEnd is the length of a file, and where its last byte ends that is not zero.
func contentEnd(path string) (size, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	piece := make([]byte, 64<<10)
	for end = info.Size(); end > 0; {
		from := max(end-int64(len(piece)), 0)
		n, err := f.ReadAt(piece[:end-from], from)
		if err != nil && err != io.EOF {
			return 0, 0, err
		}
		if kept := len(bytes.TrimRight(piece[:n], "\x00")); kept > 0 {
			return info.Size(), from + int64(kept), nil
		}
		end = from
	}
	return info.Size(), 0, nil
}

// PreflightBytes must be free before the engine is opened: it maps sparse files, and a full disk
// under such a map is a SIGBUS that nothing can catch.
const PreflightBytes = 4 * MemTableBytes

// room is what the committer knows of the disk below the engine's log. It is the committer's own.
type room struct {
	// Free and Inodes are volume.FreeBytes and FreeInodes, or a test's own.
	Free, Inodes func(dir string) (int64, error)
	Dir          string // the engine's
	// MemTable is the size of a memtable, at most MemTableBytes, by which what must stay free is
	// reckoned; 0: that.
	MemTable int64
	fid      int // number of the log in use
	advised  int // number of the log of whose map the kernel was told
	// Written bounds what the log and the memtable hold, allocated is up to where the log has blocks.
	Written, allocated int64
	sparse             bool // the file system cannot allocate
	// refused is why the file system gave no blocks at the last try; nil: it was not asked, or did.
	refused error
	values  values // the value log's
	// full are logs of memtables that were full, until their tables are written.
	full []string
	// Unused is allocated minus written, for the keeper.
	Unused atomic.Int64

	lookedAt time.Time
	lastFree int64
	fall     int64 // what others may take before a table is written
}

func (r *room) memTable() int64 {
	if r.MemTable > 0 {
		return r.MemTable
	}
	return MemTableBytes
}

// Begin takes the log that the engine has just begun.
func (r *room) Begin() error {
	err := r.find()
	if err == nil {
		err = r.values.find()
	}
	if err != nil {
		return err
	}
	if free, err := r.Free(r.Dir); err == nil {
		r.allocate(logBytesMax(r.memTable()), free-r.reserved())
	}
	return nil
}

// find looks for the log in use, which is the newest, and for those that are full.
func (r *room) find() error {
	r.fid, r.full, r.allocated = 0, nil, 0
	files, err := os.ReadDir(r.Dir)
	if err != nil {
		return fmt.Errorf("cannot look for the engine's log: %w", err)
	}
	for _, f := range files {
		var fid int
		if filepath.Ext(f.Name()) != ".mem" {
			continue
		}
		if _, err := fmt.Sscanf(f.Name(), "%d.mem", &fid); err != nil {
			return fmt.Errorf("%q is no name of a log of the engine: %w", f.Name(), err)
		}
		if r.fid > 0 {
			r.full = append(r.full, r.path(min(fid, r.fid)))
		}
		r.fid = max(fid, r.fid)
	}
	return nil
}

func (r *room) path(fid int) string { return filepath.Join(r.Dir, fmt.Sprintf("%05d.mem", fid)) }

// Use is what a group is about to add.
type Use struct {
	Bytes int64
	// Values are those that may go into the value log.
	Values int64
	// Rotates: the memtable is written out in any case, and all tables after it.
	Rotates bool
}

// Rotates reports whether a group may find the memtable full, so that the engine begins another
// log.
func (r *room) Rotates(u Use) bool {
	return u.Rotates || r.Written+u.Bytes+EntryRoomBytes >= r.memTable()
}

// Look asks how much is free, and how fast that falls.
func (r *room) Look(now time.Time) (int64, error) {
	free, err := r.Free(r.Dir)
	if err != nil {
		return 0, err
	}
	if past := now.Sub(r.lookedAt); past >= fallStep {
		fell := max(0, float64(r.lastFree-free))
		r.fall = int64(fell * float64(fallSpan) / float64(past))
		r.lookedAt, r.lastFree = now, free
	}
	return free, nil
}

// short says what is missing for a group, or nil. ErrFull: there may be enough of it later. Any
// other error is the disk's. compaction is what the table of the memtable may
// set off. A group that would only fill blocks that the log has needs nothing.
func (r *room) short(u Use, now time.Time, compaction func(sure bool) int64) error {
	if err := r.logShort(u, now, compaction); err != nil {
		return err
	}
	return r.valuesShort(u.Values, now)
}

// logShort is short for the log of the memtable.
func (r *room) logShort(u Use, now time.Time, compaction func(sure bool) int64) error {
	end, rotates := r.Written+u.Bytes+EntryRoomBytes, r.Rotates(u)
	if r.advised != r.fid {
		r.advised = r.fid
		adviseStores(r.path(r.fid))
	}
	if end <= r.allocated && !rotates {
		return nil
	}
	free, err := r.Look(now)
	if err != nil {
		return nil // the commit will tell; nobody would be helped by not trying
	}
	need := r.reserved()
	if rotates {
		need += tableBytesMax + r.fall
		if u.Bytes > 2*txnBytesMax {
			need += 3 * u.Bytes // a batch of many transactions may fill several memtables
		}
		written := compaction(u.Rotates)
		if free < need+written {
			return FullError(free, need)
		}
		if err := r.inodesShort(RotateInodes + TablesOf(written)); err != nil {
			return err
		}
		if err := r.makeable(); err != nil {
			return err
		}
	}
	if end > r.allocated && !r.allocate(end, free-need) {
		if r.refused != nil {
			return fmt.Errorf("%w: %w", engine.ErrFull, r.refused)
		}
		return FullError(free, need+u.Bytes)
	}
	return nil
}

// valuesShort says what is missing for so many bytes in the value log, or nil; see short.
func (r *room) valuesShort(bytes int64, now time.Time) error {
	v := &r.values
	end, rotates := v.written+bytes, v.rotates(bytes)
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

// reserved is what must stay free for what the engine is writing out already.
func (r *room) reserved() int64 {
	r.forgetWritten()
	return int64(spareBytes + len(r.full)*tableBytesMax)
}

// FullError says how many bytes are free and how many the engine needs.
func FullError(free, need int64) error {
	return fmt.Errorf("%w: %d bytes are free on its disk; its engine needs %d to write on",
		engine.ErrFull,
		free, need)
}

// allocate gives the log blocks at least up to end, and all it can use if there is room for that.
func (r *room) allocate(end, most int64) bool {
	all := logBytesMax(r.memTable())
	end, r.refused = min(end, all), nil
	if r.sparse || end <= r.allocated {
		return most >= end-r.allocated
	}
	to := all
	if to-r.allocated > most {
		to = end
	}
	if to-r.allocated > most {
		return false
	}
	err := r.extend(to)
	if err == nil {
		r.allocated = to
		r.Unused.Store(r.allocated - r.Written)
		return true
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		r.refused = err
		return false
	case errors.Is(err, fs.ErrNotExist) && r.find() == nil:
		return false // the engine began another log unseen; the next look goes by that
	}
	// Then what is free has to do; for now, if it was a want of descriptors or the like.
	r.sparse = errors.Is(err, volume.ErrCannotAllocate)
	return most >= end-r.allocated
}

func (r *room) extend(to int64) error {
	f, err := os.OpenFile(r.path(r.fid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(volume.Allocate(f, r.allocated, to-r.allocated), f.Close())
}

// Wrote counts a transaction, and notes the log that it began if it found the memtable full. That
// one is given its blocks by the next group.
func (r *room) Wrote(bytes, entries int) {
	n := int64(bytes + (entries+1)*EntryRoomBytes)
	rotates := r.Written+n >= r.memTable()
	r.Written += n
	if rotates {
		r.rotated(n)
	}
	if r.sparse {
		r.allocated = max(r.allocated, r.Written) // stored is allocated
	}
	r.Unused.Store(max(0, r.allocated-r.Written))
}

// rotated looks whether a new log was begun, which holds n bytes by now.
func (r *room) rotated(n int64) {
	if _, err := os.Stat(r.path(r.fid + 1)); err != nil {
		return
	}
	r.full = append(r.full, r.path(r.fid))
	r.fid++
	r.Written, r.allocated = n, 0
}

// forgetWritten forgets full memtables whose tables are written: their logs are gone.
func (r *room) forgetWritten() {
	still := r.full[:0]
	for _, path := range r.full {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			still = append(still, path)
		}
	}
	r.full = still
}

const (
	// RotateInodes must be free for a commit that may find the memtable full: its table, the next log,
	// a manifest that is written again, and as many that others take meanwhile; compaction adds its
	// own.
	RotateInodes = 6
	// StartInodes is what a start makes: in a new directory ten (that of the engine, its lock, keys,
	// manifest, value log, discard statistics, log and a table of the one before; the high-water mark
	// and the ballast), and something to spare for a repair and for what others take.
	StartInodes = 16
)

// InodesToStart refuses to open the engine where it could not make its files.
func InodesToStart(dir string, free int64) error {
	if free < StartInodes {
		return fmt.Errorf("cannot open spool %q: %d are free; %d are needed to start: %w", dir, free,
			StartInodes, engine.ErrNoInodes)
	}
	return nil
}

// inodesShort says whether fewer files can be made than are needed; nil where nobody counts them.
func (r *room) inodesShort(need int64) error {
	free, err := r.Inodes(r.Dir)
	if err != nil || free >= need {
		return nil // as with bytes, the commit will tell
	}
	return NoInodesError(free, need)
}

// NoInodesError says how many files can be made and how many must stay possible.
func NoInodesError(free, need int64) error {
	return fmt.Errorf("%w: %d are free; %d must stay free for its engine's files", engine.ErrNoInodes,
		free,
		need)
}

// RotateName is a file that is made and removed below the engine's directory.
const RotateName = "rotate"

// makeable says why the engine could not begin another file, or nil. Where it cannot, Badger is
// left without a memtable, and whoever reads from it then ends the process (seen). ErrFull: what
// is missing may come back.
func (r *room) makeable() error {
	path := filepath.Join(r.Dir, RotateName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(path))
	}
	if err == nil {
		return nil
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE,
		syscall.ENFILE, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: its engine cannot begin another file: %w", engine.ErrFull, err)
		}
	}
	return fmt.Errorf("cannot begin another file of the engine: %w", err)
}

// TablesOf bounds how many tables so many bytes of a compaction become: each is full but the last
// of each part, of which there are at most as many.
func TablesOf(bytes int64) int64 { return 2 * (bytes / tableFileBytes) }
