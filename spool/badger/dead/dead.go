// Package dead counts what is not needed any more in the files of Badger's value log. Badger counts
// that itself, as it compacts, in a file that a power cut can take back: what it has lost count of
// would stay on disk for ever. A count only chooses which file is collected, and whoever collects
// it looks again at every value; so one that is too high costs work, and one that is too low space.
package dead

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"unsafe"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/mend"
)

// Counts are bytes by the numbers of files.
type Counts map[uint32]int64

// Count goes through the entries of one file, and returns how many bytes of it nothing leads to.
func Count(db *badger.DB, path string, o mend.ValueOptions) (bytes int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	txn := db.NewTransaction(false)
	defer txn.Discard()
	_, err = mend.ReadHeads(file, info.Size(), o, func(e *mend.ValueEntry) {
		item, err := txn.Get(e.Key)
		if errors.Is(err, badger.ErrKeyNotFound) || err == nil && item.Version() != e.Txn {
			bytes += e.Bytes
		}
	})
	return bytes, err
}

// Known is what the engine in a directory has counted.
func Known(dir string) (Counts, error) {
	b, err := os.ReadFile(filepath.Join(dir, "DISCARD"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	known := make(Counts)
	for ; len(b) >= slotBytes && slot(b).file() != 0; b = b[slotBytes:] {
		known[uint32(slot(b).file())] = int64(slot(b).bytes())
	}
	return known, nil
}

//go:linkname updateDiscardStats github.com/dgraph-io/badger/v4.(*valueLog).updateDiscardStats
func updateDiscardStats(values unsafe.Pointer, stats map[uint32]int64)

// Tell adds to what the engine has counted, and returns how many bytes that were. Badger has no
// name for that which others may call.
func Tell(db *badger.DB, counts Counts) (bytes int64) {
	values := reflect.ValueOf(db).Elem().FieldByName("vlog").Addr().UnsafePointer()
	updateDiscardStats(values, counts)
	for _, n := range counts {
		bytes += n
	}
	return bytes
}

// slotBytes is the size of a slot in the engine's file, of which those that are in use come first.
const slotBytes = 16

// slot is one: the number of a file and its bytes, big-endian.
type slot []byte

func (s slot) file() uint64  { return binary.BigEndian.Uint64(s) }
func (s slot) bytes() uint64 { return binary.BigEndian.Uint64(s[8:]) }
