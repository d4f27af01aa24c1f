package badger

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/dead"
	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/record"
)

// Deleting in an LSM tree writes: space comes back when a tombstone meets its value in a
// compaction, and a file of the value log is known to be dead once the tombstones of all that was
// in it have met their pointers. Badger has no reason to compact a tree that nobody writes to any
// more. A relay whose budget was full of delivered events would refuse others for good. So after a
// large sweep the keeper flushes the memtable, flattens the tree, and has the dead files removed.
// The tree is small, because what is kept lies in the value log.
const (
	// reclaimBytes must have been swept since the last time, and an eighth of the tree, which may be
	// written again; while events come, a file of the value log.
	reclaimBytes = 8 << 20
	reclaimShare = 8
	// reclaimPause lies between two, while events come or space is short; reclaimRest otherwise.
	reclaimPause = 5 * time.Second
	reclaimRest  = 10 * time.Second
	// reclaimIdle is how long nothing must have been accepted for that.
	reclaimIdle = 3 * time.Second
	// treeMax is the largest tree that is flattened while events come and there is space.
	treeMax = 256 << 20
)

// reclaimer is the memory of what was swept. It is the keeper's.
type reclaimer struct {
	Swept    atomic.Int64 // bytes since the last reclaim
	former   bool         // what was swept before the start is among them, or was reclaimed
	last     time.Time
	head     uint64 // newest event at the last look
	headSeen time.Time
}

// due decides whether space should be fetched back now. file is where a file of the value log ends.
func (r *reclaimer) due(now time.Time, head uint64, short bool, tree, file int64) bool {
	if head != r.head {
		r.head, r.headSeen = head, now
	}
	swept, since := r.Swept.Load(), now.Sub(r.last)
	switch {
	case swept < max(min(reclaimBytes, 2*file), tree/reclaimShare):
		return false
	case short:
		return since >= reclaimPause
	case now.Sub(r.headSeen) >= reclaimIdle:
		return since >= reclaimRest
	}
	return since >= reclaimPause && swept >= file && tree <= treeMax
}

// Swept is part of engine.Trimmer. What is held is counted as well; it will be released one day,
// uncounted.
func (s *Store) Swept(bytes int64, to uint64) {
	s.packer.next = max(s.packer.next, to+1)
	s.Reclaimer.Swept.Add(bytes)
	s.stir() // the sweep has mapped what it looked at
}

// Reclaim is part of engine.Trimmer.
func (s *Store) Reclaim(now time.Time, head uint64,
	between func(run func() error) error) error {
	if err := s.packer.pack(between); err != nil {
		return err
	}
	disk := s.Usage()
	if disk.Short && !s.Reclaimer.former {
		// Nobody knows what was swept before the start. It may be all that is there, and as long as it
		// fills the disk nothing comes that could be swept.
		s.Reclaimer.former = true
		s.Reclaimer.Swept.Add(disk.Bytes)
	}
	file := s.Room.values.most
	if !s.Reclaimer.due(now, head, disk.Short, s.treeBytes(), file) {
		return s.collector.count(between)
	}
	s.Reclaimer.last, s.Reclaimer.former = now, true
	swept := s.Reclaimer.Swept.Swap(0)
	err := s.reclaim(between)
	if err != nil {
		s.Reclaimer.Swept.Add(swept)
		return err
	}
	err = s.Measure(true)
	s.Log.Info("space of swept events was given back", "bytes_before", disk.Bytes,
		"bytes_after", s.Usage().Bytes)
	return err
}

// reclaim has the engine give back what it can.
func (s *Store) reclaim(between func(run func() error) error) error {
	s.reclaiming.Store(true)
	defer s.reclaiming.Store(false)
	s.stir()
	// Before the flush, so that there is little left to compact while the committer waits for it:
	// with level 0 full and half of a million events swept it waited for two seconds.
	if err := s.Flatten(); err != nil {
		return err
	}
	if err := between(s.Flush); err != nil {
		return err
	}
	if err := s.Flatten(); err != nil {
		return err
	}
	// Only now: a log that still leads into a file that is gone would be taken for a loss.
	return s.collector.collect(between)
}

// Flush writes the engine's memtable into a table. Only the committer may call it, between two
// groups. If it fails, nobody knows what holds the newest events.
func (s *Store) Flush() error {
	s.Premises.flushes.Add(1)
	err := s.Tree.Flush()
	s.Premises.flushes.Add(1)
	return err
}

// collector gives back the files of the value log. It is the keeper's.
type collector struct {
	*Store
	sound map[uint32]bool // files that were read whole
	// counted are the bytes of a file that nothing leads to and that the engine does not know of;
	// uncounted are the files that were there at the start and that nobody has looked at yet. Nil: it
	// is not known which those are.
	counted   dead.Counts
	uncounted []uint32
}

// count looks at one of the files that a start has found, and after the last of them tells the
// engine where it has lost count.
func (s *collector) count(between func(run func() error) error) error {
	names, newest, err := s.valueFiles()
	if err != nil {
		return err
	}
	if s.counted == nil {
		s.counted = make(dead.Counts)
		for number := range names {
			if number != newest {
				s.uncounted = append(s.uncounted, number)
			}
		}
	}
	if len(s.uncounted) == 0 {
		return nil
	}
	number := s.uncounted[0]
	s.uncounted = s.uncounted[1:]
	if names[number] != "" {
		if err := s.countOne(number, names[number]); err != nil {
			s.Log.Warn("cannot look what is not needed any more in a value log", "value_log",
				names[number], "error", err)
		}
	}
	if len(s.uncounted) > 0 || len(s.counted) == 0 {
		return nil
	}
	// Between groups, because the committer is who has files collected.
	return between(func() error {
		names, _, err := s.valueFiles()
		maps.DeleteFunc(s.counted, func(number uint32, _ int64) bool { return names[number] == "" })
		if err == nil {
			s.Reclaimer.Swept.Add(dead.Tell(s.DB, s.counted))
		}
		clear(s.counted)
		return nil
	})
}

// lostShare of a file is how much less than there is the engine must know of for that to be noted.
const lostShare = 16

// countOne counts one file.
func (s *collector) countOne(number uint32, name string) error {
	how := mend.ValueOptions{Records: MendRecords()}
	o := badger.Options{Dir: s.Tree.dir, EncryptionKey: s.Key}
	if len(s.Key) > 0 {
		keys, err := openDataKeys(o)
		if err != nil {
			return err
		}
		how.Keys = keys
	}
	known, err := dead.Known(s.Tree.dir)
	if err != nil {
		return err
	}
	bytes, err := dead.Count(s.DB, filepath.Join(s.Tree.dir, name), how)
	if err == nil && bytes > known[number]+s.Room.values.most/lostShare {
		s.counted[number] = bytes - known[number]
	}
	return err
}

// collect has the engine give back the files of the value log in which nearly all is dead, one
// after the other, between groups of the committer. The engine chooses the file, so all are looked
// at before.
func (s *collector) collect(between func(run func() error) error) error {
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
		if !s.awaitGone() {
			s.Reclaimer.Swept.Add(s.Room.values.most) // soon again, after another flush
			return nil
		}
	}
}

const (
	// lingerMax collected files may still be there when the next one is collected: the engine has
	// mapped all of each, and keeps it while anybody reads anything.
	lingerMax   = 1
	lingerPause = 20 * time.Millisecond
	lingerLooks = 10 // at most
)

// awaitGone waits a while for the files that were collected to be gone, and their maps with them;
// false: they are not.
func (s *collector) awaitGone() bool {
	for range lingerLooks {
		s.mapsMu.Lock()
		_, err := s.lookForValues()
		n := len(s.lingering)
		s.mapsMu.Unlock()
		if err != nil || n <= lingerMax {
			return true
		}
		<-time.After(lingerPause)
	}
	return false
}

// collectOne collects one file; false: there is none, or no room for what would be moved. Any error
// but that there is nothing to do leaves the engine in a state that nobody knows.
func (s *collector) collectOne() (more bool, err error) {
	r := &s.Room
	s.mapsMu.Lock() // nobody advises the kernel of a map that is taken away
	defer s.mapsMu.Unlock()
	c, err := s.choose()
	if err != nil || c.file == 0 {
		return false, err
	}
	free, err := r.Look(time.Now())
	if err != nil || free < RotateBytes+c.alive+r.reserved() {
		return false, nil
	}
	dead.Tell(s.DB, dead.Counts{c.file: c.tell})
	s.collected.Store(0)
	s.valuesMoved.Store(0)
	err = s.through.Do("collect", func() error { return s.DB.RunValueLogGC(collectShort) })
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
	if s.lingering == nil {
		s.lingering = make(map[uint32]bool)
	}
	number := s.collected.Load()
	s.lingering[number] = true
	s.blind = s.blind || number == 0
	_, _ = s.lookForValues() // it may be gone already; if not the next look tells
	if moved := s.valuesMoved.Load(); moved > 0 {
		r.Wrote(int(moved)*EntryRoomBytes, int(moved))
		r.values.moved(c.alive)
	}
	return true, nil
}

// choice is a file of the value log that is to be collected.
type choice struct {
	file  uint32 // 0: there is none
	alive int64  // bytes in it that are moved, at most
	tell  int64  // of dead ones the engine is to be told, to choose it
}

// choose looks for the file of which most is dead, if that is nearly all of it, or space is short.
// Badger looks at the one with the most dead bytes and at no other: a large file of which more is
// alive, or the one in use, would keep all smaller ones for ever.
func (s *collector) choose() (c choice, err error) {
	names, newest, err := s.valueFiles()
	if err != nil {
		return c, err
	}
	known, err := dead.Known(s.Tree.dir)
	if err != nil {
		return c, fmt.Errorf("cannot read what is dead in the value log: %w", err)
	}
	least, most := collectShare, int64(0)
	if s.Usage().Short {
		least = collectShort
	}
	for number, bytes := range known {
		most = max(most, bytes)
		if names[number] == "" || number == newest || s.lingering[number] {
			continue
		}
		info, err := os.Stat(filepath.Join(s.Tree.dir, names[number]))
		if err != nil {
			continue
		}
		if share := float64(bytes) / float64(max(info.Size(), 1)); share >= least {
			least = share
			c.file, c.alive = number, max(info.Size()-bytes, 0)
		}
	}
	c.tell = most - known[c.file] + 1
	return c, nil
}

// checkValues reads the files of the value log that were not read yet, and moves what is alive out
// of those that are damaged: the engine would delete it.
func (s *collector) checkValues(between func(run func() error) error) error {
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

// rescueMax bounds the frames around damage that are looked for by their sequences, and rescueSpan
// how far before the first of a file.
const rescueMax, rescueSpan = 256, 1 << 16

// rescue covers the damage in a file of the value log, and writes again what can be read of it and
// is alive, so that it lies in another.
func (s *collector) rescue(number uint32, between func(run func() error) error) error {
	v, err := s.MendValueLog(number)
	if err != nil {
		return err
	}
	keys := s.damagedKeys(v)
	path := filepath.Join(s.Tree.dir, fmt.Sprintf("%06d%s", number, valueLogExt))
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
			if full = s.Short(Use{Bytes: 2 * txnBytesMax, Values: 2 * txnBytesMax},
				time.Now()); full == nil {
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

// damagedKeys are the keys of the frames that damage may have been in.
func (s *collector) damagedKeys(v *mend.Values) (keys [][]byte) {
	look := s.Tree.Look().(frame.Look)
	defer look.Close()
	w := look.Frames()
	defer w.Close()
	for i := range v.Damaged {
		d := &v.Damaged[i]
		from, to := d.Before+1, d.After
		if d.Before == 0 {
			from = max(1, to-min(to, rescueSpan))
		}
		if d.After == 0 {
			to = math.MaxUint64
		}
		for range rescueMax {
			last, ok := w.Seek(from)
			if !ok || last > to {
				break
			}
			keys = append(keys, record.LogKey(last))
			if from = last + 1; last == to {
				break
			}
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
func (s *collector) writeAgain(keys [][]byte) ([][]byte, error) {
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
		if err != nil || len(value) < ValueBytesMin || !worthMoving(key, value) {
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

// worthMoving reports whether anything of a value can be read.
func worthMoving(key, value []byte) bool {
	if !frame.IsKey(key) {
		return record.Check(key, value) == nil
	}
	whole, _ := record.WholeInFrame(value, record.KeySeq(key))
	return whole > 0
}
