// Package dead counts what is not needed any more in the files of Badger's value log. Badger counts
// that itself, as it compacts, in a file that a power cut can take back: what it has lost count of
// would stay on disk for ever. A count only chooses which file is collected, and whoever collects
// it looks again at every value; so one that is too high costs work, and one that is too low space.
package dead

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/mend"
)

// Name is of the file, in the engine's directory, that has what was counted until it is noted.
const Name = "dead"

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

// Write makes the content of a file that Note reads.
func (c Counts) Write() []byte {
	var b strings.Builder
	for file, bytes := range c {
		fmt.Fprintln(&b, file, bytes)
	}
	return []byte(b.String())
}

// Note tells the engine in a directory what was counted, before it is opened, and removes the file
// that says it.
func Note(o badger.Options) error {
	path := filepath.Join(o.Dir, Name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read what is dead in the value log: %w", err)
	}
	stats, err := badger.InitDiscardStats(o)
	if err != nil {
		return fmt.Errorf("cannot note what is dead in the value log: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var file uint32
		var bytes int64
		if n, _ := fmt.Sscan(line, &file, &bytes); n != 2 {
			continue // it was cut off; it is counted again
		}
		if more := bytes - stats.Update(file, 0); more > 0 {
			stats.Update(file, more)
		}
	}
	if err := stats.Close(-1); err != nil {
		return fmt.Errorf("cannot note what is dead in the value log: %w", err)
	}
	return os.Remove(path)
}

// slotBytes is the size of a slot in the engine's file, of which those that are in use come first.
const slotBytes = 16

// slot is one: the number of a file and its bytes, big-endian.
type slot []byte

func (s slot) file() uint64  { return binary.BigEndian.Uint64(s) }
func (s slot) bytes() uint64 { return binary.BigEndian.Uint64(s[8:]) }
