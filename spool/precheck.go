package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

// precheck looks at the engine's files before the engine does, and repairs what can be. Badger
// deletes every table that its manifest does not name, so a manifest that is gone or cut short
// costs the whole spool, in silence; it ends the replay of a log at the first flipped bit, in
// silence as well; and it panics, where nothing can catch it, on a table whose end is damaged (each
// seen).
func (s *Spool) precheck(o badger.Options) error {
	dir, err := os.Open(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	// The files of a running relay change under our eyes; Badger will find that it runs.
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil
	}
	files, err := namesIn(dir)
	if err != nil {
		return err
	}
	if err := s.repairKeys(o, files); err != nil {
		return err
	}
	// Before all else, because nothing may be done to a spool that is not ours to read, and because
	// Badger leaves goroutines behind when it finds a wrong key. Other errors are Badger's to tell.
	if err := ondisk.CheckKey(o); errors.Is(err, ErrWrongKey) {
		return err
	}
	if err := s.repairValueLogs(o, files); err != nil {
		return err
	}
	first, err := s.repairLogs(o, files)
	if err != nil {
		return err
	}
	return s.repairTables(o, files, first)
}

// namesIn are the names of what the engine may look at in its directory: it takes no notice of
// directories.
func namesIn(dir *os.File) ([]string, error) {
	entries, err := dir.ReadDir(-1)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// tableEnd is a table's end as Badger will read it, which panics where this finds a fault:
//
//	index · u32 its length
//	checksum (protobuf: 1 algorithm, 2 CRC-32C of the index) · u32 its length
type tableEnd struct {
	index []byte
	at    int64 // where the index begins
	sum   uint32
}

func (e *tableEnd) fits() bool {
	return len(e.index) > 0 && e.sum == crc32.Checksum(e.index, record.Castagnoli())
}

// checkTable reads a table's end; ErrDamaged if it does not add up.
func checkTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e, err := readTableEnd(f, info.Size())
	if err == nil && !e.fits() {
		err = fmt.Errorf("%w: its index does not fit its checksum", ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("cannot use table %q: %w", path, err)
	}
	return nil
}

func readTableEnd(r io.ReaderAt, end int64) (e tableEnd, err error) {
	before := func(n int64) []byte { // the n bytes before end, or nil
		if err != nil {
			return nil // what follows from that is no finding
		}
		if n < 0 || n > end {
			err = fmt.Errorf("%w: its end is unreadable", ErrDamaged)
			return nil
		}
		b := make([]byte, n)
		end -= n
		if _, rerr := r.ReadAt(b, end); rerr != nil {
			err = rerr
			return nil
		}
		return b
	}
	length := func() int64 {
		if b := before(4); b != nil {
			return int64(binary.BigEndian.Uint32(b))
		}
		return -1
	}
	e.sum = tableChecksum(before(length()))
	e.index = before(length())
	e.at = end
	return e, err
}

// tableChecksum is the sum in a table's checksum message; 0 if it has none.
func tableChecksum(b []byte) uint32 {
	const tagAlgorithm, tagSum = 0x08, 0x10
	for len(b) > 1 && (b[0] == tagAlgorithm || b[0] == tagSum) {
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			break
		}
		if b[0] == tagSum {
			return uint32(v)
		}
		b = b[1+n:]
	}
	return 0
}
