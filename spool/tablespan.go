package spool

import (
	"bytes"
	"crypto/aes"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// tableSpan is what a table holds, from its first key to its last.
type tableSpan struct {
	id          uint64
	level       uint8
	keyID       uint64
	first, last []byte // last is nil if it is not known
	newest      uint64 // transaction
}

// look opens a table; false if it cannot be read. The error is the system's: it says nothing of the
// table.
func (t *tableSpan) look(path string, keys *dataKeys) (ok bool, err error) {
	defer func() {
		if recover() != nil { // Badger panics over some kinds of damage
			ok, err = false, nil
		}
	}()
	if keys.last > 0 {
		return t.findKey(path, keys)
	}
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if errors.Is(err, syscall.EINVAL) {
		return false, nil // it is empty
	}
	if err != nil {
		return false, fmt.Errorf("cannot look at table %q: %w", path, err)
	}
	opened, err := table.OpenTable(f, table.Options{ChkMode: options.NoVerification,
		Compression: options.None})
	if err != nil {
		if named, system := ondisk.NameSystem(err); system {
			return false, fmt.Errorf("cannot look at table %q: %w", path, named)
		}
		return false, nil
	}
	t.newest = opened.MaxVersion()
	t.first, t.last = bytes.Clone(opened.Smallest()), bytes.Clone(opened.Biggest())
	return true, opened.Close(-1)
}

// findKey finds the key that a table is encrypted with, which only the manifest says: the one that
// makes sense of the index. What such a table ends with stays unknown.
func (t *tableSpan) findKey(path string, keys *dataKeys) (bool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("cannot look at table %q: %w", path, err)
	}
	e, err := readTableEnd(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return false, nil
	}
	for id := uint64(1); id <= keys.last; id++ {
		if newest, ok := openIndex(e.index, keys.secret(id), e.at); ok {
			t.keyID, t.newest = id, newest
			return true, nil
		}
	}
	return false, nil
}

// openIndex reads the newest transaction in an index; false if the key makes no sense of it: with
// the right one its blocks follow one another from the table's begin to the index, whatever records
// are in them. The counter that the key is used with follows.
func openIndex(index, secret []byte, blocks int64) (newest uint64, ok bool) {
	defer func() {
		if recover() != nil { // what is no index leads anywhere
			ok = false
		}
	}()
	at := len(index) - aes.BlockSize
	plain, err := y.XORBlockAllocate(index[:at], secret, index[at:])
	if err != nil {
		return 0, false
	}
	i := fb.GetRootAsTableIndex(plain, 0)
	end := int64(0)
	for n := range i.OffsetsLength() {
		var b fb.BlockOffset
		if !i.Offsets(&b, n) || int64(b.Offset()) != end || b.Len() == 0 {
			return 0, false
		}
		end += int64(b.Len())
	}
	return i.MaxVersion(), end > 0 && end == blocks
}

// overlapping are the tables that share keys with another of their level, or may.
func overlapping(spans []tableSpan) (ids []uint64) {
	slices.SortFunc(spans, func(a, b tableSpan) int {
		if a.level != b.level || a.last == nil || b.last == nil {
			return int(a.level) - int(b.level)
		}
		return y.CompareKeys(a.first, b.first)
	})
	var before *tableSpan
	for i := range spans {
		t := &spans[i]
		switch {
		case t.level == 0:
		case t.last == nil,
			before != nil && before.level == t.level && y.CompareKeys(before.last, t.first) >= 0:
			ids = append(ids, t.id)
		default:
			before = t
		}
	}
	return ids
}
