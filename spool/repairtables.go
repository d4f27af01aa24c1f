package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// repairTables brings the manifest and the tables into a state that the engine can open. What the
// manifest does not name although it should goes to level 0, where tables may overlap: the engine
// reads the newest version of a key wherever that lies, and compaction puts it in order. A table
// that had been replaced, and not deleted yet, may bring deleted keys back in this way; recount
// makes that good.
//
// firstTxn is the first transaction in the engine's logs.
func (s *Spool) repairTables(o badger.Options, files []string, firstTxn uint64) error {
	list, err := readTableList(o.Dir)
	if err != nil {
		return err
	}
	there, logs := tablesIn(files)
	if list.text == nil && len(there) == 0 && !logs {
		return s.relisted() // a new spool, or one that was killed while it was made
	}
	if s.relisting() {
		list.distrust()
	}
	r := &tableRepair{s: s, o: o, list: list, there: there, keys: new(dataKeys)}
	if len(o.EncryptionKey) > 0 && len(there) > 0 {
		if r.keys, err = openDataKeys(o); err != nil {
			return err
		}
	}
	if err := r.checkListed(); err != nil {
		return err
	}
	hides, err := r.hides(firstTxn)
	if err != nil {
		return err
	}
	if list.whole && (r.missing > 0 && len(r.unlisted()) > 0 || hides) {
		list.whole = false // it was cut where a change ends
	}
	if r.missing > 0 && list.whole && !s.acceptLoss {
		return fmt.Errorf("%w: %d tables are missing that the engine's list names", ErrLoss, r.missing)
	}
	if !list.whole {
		list.changed = true
		if err := r.addUnlisted(); err != nil {
			return err
		}
	}
	if list.changed {
		if err := r.rewriteList(); err != nil {
			return err
		}
	}
	return s.relisted()
}

func (r *tableRepair) rewriteList() error {
	text, err := r.list.encode()
	if err != nil {
		return err
	}
	path := filepath.Join(r.o.Dir, badger.ManifestFilename)
	kept, err := r.s.replace(path, r.list.text, text)
	if err != nil {
		return fmt.Errorf("cannot repair %q: %w", path, err)
	}
	r.s.log.Error("the engine's list of tables did not fit them and is made anew", "list", path,
		"original", kept, "tables", len(r.list.tables), "not_listed", r.added,
		"listed_and_missing", r.missing, "set_aside", r.aside)
	return nil
}

// tablesIn are the tables among the engine's files, and whether there is a log.
func tablesIn(files []string) (there map[uint64]bool, logs bool) {
	there = make(map[uint64]bool)
	for _, name := range files {
		logs = logs || strings.HasSuffix(name, ".mem")
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		if id, ok := table.ParseFileID(name); ok { // the engine looks at no other
			there[id] = true
		}
	}
	return there, logs
}

// tableRepair is one look at all tables.
type tableRepair struct {
	s     *Spool
	o     badger.Options
	list  *tableList
	there map[uint64]bool
	keys  *dataKeys
	added, missing,
	aside int
}

func (r *tableRepair) path(id uint64) string { return table.NewFilename(id, r.o.Dir) }

// checkListed takes out of the list what is not there or cannot be used.
func (r *tableRepair) checkListed() error {
	for _, id := range slices.Sorted(maps.Keys(r.list.tables)) {
		path := r.path(id)
		if !r.there[id] {
			// A list that was cut short names what was replaced since.
			r.s.log.Error("a table is listed and missing", "table", path)
			delete(r.list.tables, id)
			r.missing++
			r.list.changed = true
			continue
		}
		usable, err := r.usable(path, r.list.tables[id].KeyID)
		if err != nil {
			return err
		}
		if !usable {
			delete(r.list.tables, id)
			delete(r.there, id)
			r.list.changed = true
		}
	}
	return nil
}

// usable reports whether the engine can open a table, after putting its index or its last block
// right if that takes one byte. What is not usable is kept aside, and the engine deletes what the
// list does not name. key is the table's by the list; 0: it is in the clear, or not known.
func (r *tableRepair) usable(path string, key uint64) (bool, error) {
	err, fix := checkTable(path), fixTable
	if known := (key == 0) == (r.keys.last == 0); err == nil && known {
		secret := r.keys.secret(key)
		fix = func(content []byte) []byte { return fixLastBlock(content, secret) }
		err = checkLastBlock(path, secret)
	}
	if !errors.Is(err, ErrDamaged) {
		return err == nil, err
	}
	content, rerr := os.ReadFile(path)
	if rerr != nil {
		return false, fmt.Errorf("cannot read %q: %w", path, rerr)
	}
	if fixed := fix(content); fixed != nil {
		kept, err := r.s.replace(path, content, fixed)
		if err != nil {
			return false, err
		}
		r.s.log.Error("what the engine reads of a table to open it was damaged in one byte and is put "+
			"right", "table", path, "original", kept)
		return true, nil
	}
	if err := r.s.wantRecount(); err != nil {
		return false, err
	}
	kept, kerr := r.s.keepOriginal(path, content)
	if kerr != nil {
		return false, kerr
	}
	r.aside++
	r.s.log.Error("a table cannot be used and is set aside; what is missing with it is counted",
		"table", path, "original", kept, "error", err)
	return false, nil
}

// fixTable puts one byte of a table's end right; nil if that is not it.
func fixTable(content []byte) []byte {
	fixed := bytes.Clone(content)
	e, err := readTableEnd(bytes.NewReader(fixed), int64(len(fixed)))
	if err == nil && len(e.index) > 0 {
		b := binary.BigEndian.AppendUint32(bytes.Clone(e.index), e.sum)
		index := b[:len(e.index)]
		if correctByte(b, func() bool { return !bytes.Equal(index, e.index) }) {
			copy(fixed[e.at:], index)
			return fixed
		}
	}
	for at := max(0, len(fixed)-tableFootMax); at < len(fixed); at++ {
		for flip := 1; flip < 256; flip++ {
			fixed[at] ^= byte(flip)
			e, err := readTableEnd(bytes.NewReader(fixed), int64(len(fixed)))
			if err == nil && e.fits() {
				return fixed
			}
			fixed[at] ^= byte(flip)
		}
	}
	return nil
}

// tableFootMax bounds what is behind an index: two lengths and a checksum.
const tableFootMax = 4 + 12 + 4

// unlisted are the tables that the list neither names nor says are gone.
func (r *tableRepair) unlisted() (ids []uint64) {
	for id := range r.there {
		if _, listed := r.list.tables[id]; !listed && !r.list.deleted[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// removeUnfinished removes the tables that a compaction had begun to write when a full disk ended
// it, as the engine does when it is opened, for which there is no room. Whatever is doubtful stays.
func (s *Spool) removeUnfinished(free int64) (int64, error) {
	dir, err := os.Open(filepath.Join(s.dir, ondisk.Dir))
	if errors.Is(err, fs.ErrNotExist) || !s.repairs {
		return free, nil
	}
	if err != nil {
		return free, err
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return free, nil // a relay runs
	}
	files, err := namesIn(dir)
	if err != nil {
		return free, err
	}
	r := &tableRepair{s: s, keys: new(dataKeys)}
	r.o.Dir, r.o.EncryptionKey = dir.Name(), s.key
	r.list, err = readTableList(r.o.Dir)
	r.there, _ = tablesIn(files)
	if err == nil && len(s.key) > 0 {
		r.keys, err = openDataKeys(r.o)
	}
	if err != nil {
		return free, nil // whoever opens it will tell
	}
	unfinished, err := r.unfinished()
	if err != nil {
		return free, nil // whoever opens it will tell
	}
	n := 0
	for _, id := range unfinished {
		if err := os.Remove(r.path(id)); err != nil {
			return free, fmt.Errorf("cannot remove an unfinished table: %w", err)
		}
		n++
	}
	if n > 0 {
		s.log.Warn("the disk is full; what an interrupted compaction had written was removed to start",
			"tables", n)
	}
	return s.tree.Room.Free(s.dir)
}

// unfinished are the tables that the list does not name, if it is whole and names only what is
// there, except those that hold something newer: a memtable was being written to them.
func (r *tableRepair) unfinished() (ids []uint64, err error) {
	if r.list.text == nil || !r.list.whole || r.list.changed {
		return nil, nil
	}
	listed := uint64(0)
	for id := range r.list.tables {
		var span tableSpan
		ok := r.there[id]
		if ok {
			ok, err = span.look(r.path(id), r.keys)
		}
		if !ok || err != nil {
			return nil, err
		}
		listed = max(listed, span.newest)
	}
	for id := range r.there {
		if _, named := r.list.tables[id]; named {
			continue
		}
		var span tableSpan
		ok, err := span.look(r.path(id), r.keys)
		if err != nil {
			return nil, err
		}
		if !ok || span.newest <= listed {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// hides reports whether a list that seems whole, and names only what is there, leaves out a table
// that is needed. A crash leaves two kinds of tables that no list names, and neither is: one that a
// log was being written to, so that log is still there and begins before the table ends; and one
// that others were being merged into, which holds nothing newer than they do.
func (r *tableRepair) hides(firstTxn uint64) (bool, error) {
	unlisted := r.unlisted()
	if len(unlisted) == 0 {
		return false, nil
	}
	listed := uint64(0)
	for id := range r.list.tables {
		var span tableSpan
		ok, err := span.look(r.path(id), r.keys)
		if err != nil {
			return false, err
		}
		if ok {
			listed = max(listed, span.newest)
		}
	}
	for _, id := range unlisted {
		var span tableSpan
		ok, err := span.look(r.path(id), r.keys)
		if err != nil {
			return false, err
		}
		if ok && span.newest > listed && (firstTxn == 0 || span.newest < firstTxn) {
			return true, nil
		}
	}
	return false, nil
}

// addUnlisted lists the tables that the list does not name, and takes those from their levels that
// overlap there: a number may have been given twice since the list was cut short.
func (r *tableRepair) addUnlisted() error {
	var spans []tableSpan
	for _, id := range slices.Sorted(maps.Keys(r.there)) {
		t, listed := r.list.tables[id]
		if !listed && r.list.deleted[id] {
			continue
		}
		path := r.path(id)
		span := tableSpan{id: id, level: t.Level}
		usable := listed
		var err error
		if !listed {
			if usable, err = r.usable(path, 0); err != nil {
				return err
			}
		}
		if usable {
			if usable, err = r.readable(&span, t, listed); err != nil {
				return err
			}
		}
		if !usable {
			delete(r.list.tables, id)
			continue
		}
		if !listed {
			r.added++
		}
		r.list.tables[id] = badger.TableManifest{Level: t.Level, KeyID: span.keyID}
		spans = append(spans, span)
	}
	for _, id := range overlapping(spans) {
		t := r.list.tables[id]
		t.Level = 0
		r.list.tables[id] = t
	}
	return nil
}

// readable looks at a table that is to be listed, and keeps it aside if that cannot be read. One
// that is listed already, of an encrypted spool, is the engine's to judge with the key that the
// list names.
func (r *tableRepair) readable(span *tableSpan, t badger.TableManifest, listed bool) (bool, error) {
	path := r.path(span.id)
	ok, err := span.look(path, r.keys)
	if err != nil || ok {
		return ok, err
	}
	if listed && r.keys.last > 0 && r.keys.secret(t.KeyID) != nil {
		r.s.log.Warn("the key of a table is not found by its index; it is read with the key that the "+
			"list names", "table", path)
		span.keyID = t.KeyID
		return true, nil
	}
	r.aside++
	_, err = r.keepUnused(path)
	return false, err
}

// keepUnused keeps a table aside that cannot be read although its index fits.
func (r *tableRepair) keepUnused(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %q: %w", path, err)
	}
	kept, err := r.s.keepOriginal(path, content)
	r.s.log.Error("a table cannot be read and is set aside", "table", path, "original", kept)
	return kept, err
}
