package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/table"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

// Badger believes the ends of its files: it ends the replay of a log at the first entry that does
// not fit and the reading of its manifest at a length that does not, both without an error, and a
// broken footer of a table ends the process. So these are looked at as bytes, before it opens them.
//
//	log        20 bytes, then entries: u8 meta, u8 user meta, varint lengths of key and value,
//	           varint expiry, key, value, u32 CRC-32C; zeros behind the last
//	manifest   8 bytes, then changes: u32 length, u32 CRC-32C, that many bytes
const (
	logHeadBytes      = 20
	logInTxn          = 1 << 6 // an entry of a transaction
	logEndTxn         = 1 << 7 // the entry that makes a transaction whole
	logEndKeyBytes    = 19     // of that entry
	logEndValueMax    = 20
	manifestHeadBytes = 8
)

// checkFiles looks at the engine's files. notes are findings that a crash explains.
func checkFiles(dir string) (bad faults, notes []string, err error) {
	files, err := os.ReadDir(filepath.Join(dir, ondisk.Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return bad, nil, fmt.Errorf("%w: %q", ErrNoSpool, dir)
	}
	if err != nil {
		return bad, nil, fmt.Errorf("cannot read %q: %w", dir, err)
	}
	manifest := false
	for _, f := range files {
		name := f.Name()
		path := filepath.Join(dir, ondisk.Dir, name)
		var fault, note string
		switch {
		case filepath.Ext(name) == ".sst":
			if _, ok := table.ParseFileID(name); !ok || f.IsDir() {
				continue // none of the engine's
			}
			// Its blocks are the engine's to check.
			if err = checkTable(path); errors.Is(err, ErrDamaged) {
				fault, err = err.Error(), nil
			}
		case filepath.Ext(name) == ".mem":
			fault, note, err = checkLogFile(path)
		case name == "MANIFEST":
			manifest = true
			fault, err = checkManifest(path)
		}
		switch {
		case err != nil:
			return bad, notes, err
		case fault != "":
			bad.add("file %s: %s", name, fault)
		case note != "":
			notes = append(notes, fmt.Sprintf("file %s: %s", name, note))
		}
	}
	if !manifest && len(files) > 0 {
		bad.add("the file MANIFEST is missing")
	}
	return bad, notes, nil
}

func checkManifest(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %q: %w", path, err)
	}
	if len(b) < manifestHeadBytes {
		return "it is cut off", nil
	}
	if !bytes.Equal(b[:manifestHeadBytes], manifestHead()) {
		return "it does not begin as one", nil
	}
	for at := manifestHeadBytes; at < len(b); {
		if at+8 > len(b) {
			return fmt.Sprintf("%d bytes at its end are no change", len(b)-at), nil
		}
		n := int(binary.BigEndian.Uint32(b[at:]))
		if n > len(b)-at-8 {
			return fmt.Sprintf("the change at byte %d is cut off", at), nil
		}
		if crc32.Checksum(b[at+8:at+8+n], record.Castagnoli()) != binary.BigEndian.Uint32(b[at+4:]) {
			return fmt.Sprintf("the change at byte %d does not fit its checksum", at), nil
		}
		at += 8 + n
	}
	return "", nil
}

// logEntry is what an entry's head says.
type logEntry struct {
	meta, userMeta byte
	key, value     uint64 // lengths
	expires        uint64
	head, size     int
}

// readLogEntry reads a head; false if it cannot be one.
func readLogEntry(b []byte) (e logEntry, ok bool) {
	if len(b) < 5+crc32.Size {
		return e, false
	}
	e.meta, e.userMeta = b[0], b[1]
	at := 2
	for _, field := range []*uint64{&e.key, &e.value, &e.expires} {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return e, false
		}
		*field = v
		at += n
	}
	if e.key == 0 || e.key > record.KeyBytesMax || e.value > record.BytesMax {
		return e, false
	}
	e.head, e.size = at, at+int(e.key+e.value)+crc32.Size
	return e, e.size <= len(b)
}

// whole reports whether the entry at the begin of b fits its checksum.
func (e logEntry) whole(b []byte) bool {
	end := e.size - crc32.Size
	return crc32.Checksum(b[:end], record.Castagnoli()) == binary.BigEndian.Uint32(b[end:])
}

// checkLogFile tells a log that ends in the middle of a write, which a kill leaves, from one that
// is damaged: there, an entry is whole but for a checksum that does not fit, or whole transactions
// lie behind the end.
func checkLogFile(path string) (fault, note string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("cannot read %q: %w", path, err)
	}
	end, stop := logEnd(b)
	rest := bytes.TrimRight(b[stop:], "\x00")
	if len(rest) == 0 && stop == end {
		return "", "", nil
	}
	if n := transactionsIn(rest); n > 0 {
		return fmt.Sprintf("it can be read up to byte %d, and %d whole transactions lie behind that: "+
			"it is damaged, or power was lost while the last one was written", end, n), "", nil
	}
	if e, ok := readLogEntry(b[stop:]); ok && len(rest) > e.size-crc32.Size {
		return fmt.Sprintf("the entry at byte %d does not fit its checksum", stop), "", nil
	}
	return "", fmt.Sprintf("it ends in a transaction of %d bytes that was never whole; the next "+
		"start cuts it off", stop+len(rest)-end), nil
}

// logEnd is where the last whole transaction ends, and where reading stopped.
func logEnd(b []byte) (end, stop int) {
	end, stop = min(logHeadBytes, len(b)), min(logHeadBytes, len(b))
	for {
		e, ok := readLogEntry(b[stop:])
		if !ok || !e.whole(b[stop:]) {
			return end, stop
		}
		stop += e.size
		if e.meta&logInTxn == 0 {
			end = stop
		}
	}
}

// transactionsIn counts the entries that end a transaction, wherever they begin.
func transactionsIn(b []byte) int {
	n := 0
	for at := 0; at < len(b); at++ {
		if b[at]&logEndTxn == 0 {
			continue
		}
		e, ok := readLogEntry(b[at:])
		if ok && e.key == logEndKeyBytes && e.value <= logEndValueMax && e.whole(b[at:]) {
			n++
		}
	}
	return n
}
