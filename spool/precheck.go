package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// asideDir is where tables go that a torn manifest does not name, below the spool's directory.
const asideDir = "aside"

// precheck looks at the engine's files before the engine does. Badger deletes every table that its
// manifest does not name, so a manifest that is gone or cut short costs the whole spool, in
// silence; and it panics, where nothing can catch it, on a table whose end is damaged (each seen).
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
	files, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	tables, torn, err := readManifest(o, files)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, name := range files {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := filepath.Join(o.Dir, name)
		var id uint64
		if _, err := fmt.Sscanf(name, "%d.sst", &id); err != nil {
			return fmt.Errorf("%w: %q is no name of a table", ErrDamaged, path)
		}
		if _, listed := tables.Tables[id]; listed {
			err = checkTable(path)
		} else if torn {
			err = s.setTableAside(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readManifest reads the names of the tables, and whether the manifest ends in half an entry.
func readManifest(o badger.Options, files []string) (badger.Manifest, bool, error) {
	var m badger.Manifest
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range files {
			if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".mem") {
				return m, false, fmt.Errorf("%q is missing beside %q: %w", badger.ManifestFilename,
					name, err)
			}
		}
		return m, false, nil // a new spool, or one that was killed while it was made
	}
	if err != nil {
		return m, false, err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return m, false, fmt.Errorf("cannot read %q: %w", f.Name(), err)
	}
	info, err := f.Stat()
	return m, err == nil && end < info.Size(), err
}

// setTableAside keeps a table that the engine is about to delete. After a crash that tore the last
// entry of the manifest it is superfluous: the engine's log still has what is in it. If the
// manifest was cut short by other means, it is the only copy.
func (s *Spool) setTableAside(path string) error {
	aside := filepath.Join(s.dir, asideDir)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("cannot make %q: %w", aside, err)
	}
	kept := filepath.Join(aside, filepath.Base(path))
	s.log.Warn("the manifest of the engine is torn; a table that it does not name is kept",
		"table", kept)
	if err := os.Link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot keep %q: %w", path, err)
	}
	return nil
}

// checkTable reads a table's end as Badger will, which panics where this returns an error:
//
//	index · u32 its length
//	checksum (protobuf: 1 algorithm, 2 CRC-32C of the index) · u32 its length
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
	end := info.Size()
	before := func(n int64) []byte { // the n bytes before end, or nil
		if n < 0 || n > end {
			err = fmt.Errorf("%w: the end of table %q is unreadable", ErrDamaged, path)
			return nil
		}
		b := make([]byte, n)
		end -= n
		if _, rerr := f.ReadAt(b, end); rerr != nil {
			err = fmt.Errorf("cannot read %q: %w", path, rerr)
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
	checksum := before(length())
	index := before(length())
	if err == nil && (len(index) == 0 ||
		tableChecksum(checksum) != crc32.Checksum(index, castagnoli())) {
		err = fmt.Errorf("%w: the index of table %q does not fit its checksum", ErrDamaged, path)
	}
	return err
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
