package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// repairLogs makes the engine's logs whole before it replays them; see salvage. It returns the
// number of the first transaction in them; 0: there is none.
func (s *Spool) repairLogs(o badger.Options, files []string) (uint64, error) {
	var names []string
	for _, name := range files {
		if strings.HasSuffix(name, ".mem") {
			names = append(names, name)
		}
	}
	// Newest first: what follows a transaction says whether it was whole.
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(logNumber(b), logNumber(a)) })
	answered, err := readHighWater(s.dir)
	if _, system := ondisk.NameSystem(err); system && !errors.Is(err, fs.ErrNotExist) {
		return 0, err // without it, what was answered might be taken for what was not
	}
	if err != nil {
		answered = 0 // missing, or damaged: load tells
	}
	later := uint64(0)
	for _, name := range names {
		first, err := s.repairLog(o, filepath.Join(o.Dir, name), answered, later)
		if err != nil {
			return 0, err
		}
		if first > 0 {
			later = first
		}
	}
	return later, nil
}

// logNumber is in a log's name; Badger refuses a name without one.
func logNumber(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(name, ".mem"), 10, 64)
	return n
}

// repairLog makes one log whole and returns the number of its first transaction.
func (s *Spool) repairLog(o badger.Options, path string, answered, later uint64) (uint64, error) {
	b, size, err := readLog(path)
	if err != nil {
		return 0, fmt.Errorf("cannot read %q: %w", path, err)
	}
	original := func() []byte { return append(slices.Clip(b), make([]byte, size-len(b))...) }
	if len(b) < logHeadBytes {
		return 0, nil // nothing was ever in it, or nothing is left
	}
	s.logs++
	w, keyID, err := s.unlock(o, slices.Clone(b))
	if errors.Is(err, errLogKey) && s.acceptLoss {
		return 0, s.dropFile(path, "no key opens a log of the engine; it is set aside, and what is "+
			"missing with it is counted")
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read log %q: %w", path, err)
	}
	v := newSalvage(w)
	v.head = keyID != binary.BigEndian.Uint64(b) || len(w.secret) > 0 && [12]byte(b[8:20]) != w.iv
	v.judge(answered, later)
	switch {
	case v.damaged():
		err = s.rewriteLog(path, original(), v, keyID)
	case v.begun+v.torn > 0 && later == 0 && answered > v.newestEvent():
		// Perhaps a crash has cut off its last write, perhaps something was in it that was answered.
		var kept string
		kept, err = s.keepOriginal(path, original())
		s.log.Warn("the end of a log of the engine cannot be read; a copy is kept", "log", path,
			"bytes", v.begun+v.torn, "original", kept)
	}
	return v.first(), err
}

// logSlack are the zeros behind a log's last byte that belong to what is read of it: a checksum may
// end in some.
const logSlack = 64

// readLog reads a log without the zeros at its end, tens of MiB that take no room on disk and
// should take none in memory. size is with them.
func readLog(path string) (b []byte, size int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	zeros := 0
	for err == nil {
		var n int
		n, err = io.ReadFull(f, chunk)
		size += n
		used := bytes.TrimRight(chunk[:n], "\x00")
		if len(used) == 0 {
			zeros += n
			continue
		}
		b = append(append(b, make([]byte, zeros)...), used...)
		zeros = n - len(used)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, err
	}
	return append(b, make([]byte, min(zeros, logSlack))...), size, nil
}

// rewriteLog puts what could be read in the place of a damaged log. A batch that lost its last
// record was answered all the same, so the high-water mark has to say so first.
func (s *Spool) rewriteLog(path string, original []byte, v *salvage, keyID uint64) error {
	if to := v.promised(); to > 0 {
		if err := raiseHighWater(s.dir, to); err != nil {
			return err
		}
	}
	kept, err := s.replace(path, original, v.remade(keyID))
	if err != nil {
		return fmt.Errorf("cannot repair log %q: %w", path, err)
	}
	s.log.Error("a log of the engine was damaged; what can be read of it goes on, and its original "+
		"is kept", "log", path, "original", kept, "bytes_corrected", v.corrected,
		"places_unreadable", len(v.lost), "bytes_unreadable", v.lostBytes(),
		"transactions", len(v.txns))
	return nil
}

// raiseHighWater writes a newer mark, never an older one.
func raiseHighWater(dir string, to uint64) error {
	seq, err := readHighWater(dir)
	if _, system := ondisk.NameSystem(err); system && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && seq >= to {
		return nil
	}
	return writeHighWater(dir, to)
}

// dataKeysMax bounds the keys that are tried; the engine makes one in ten days.
const dataKeysMax = 10_000

// dataKeys are the engine's keys, which the spool's key encrypts.
type dataKeys struct {
	registry *badger.KeyRegistry
	last     uint64
}

func openDataKeys(o badger.Options) (*dataKeys, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, badger.KeyRegistryFileName)); err != nil {
		return nil, fmt.Errorf("cannot read the engine's keys: %w", err)
	}
	k := new(dataKeys)
	var err error
	k.registry, err = badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true,
		EncryptionKey: o.EncryptionKey})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return nil, fmt.Errorf("%w: %w", ErrWrongKey, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the engine's keys: %w", ondisk.NameEngine(err))
	}
	for k.last < dataKeysMax && k.secret(k.last+1) != nil {
		k.last++
	}
	return k, nil
}

// secret is a key; nil: there is none of that number.
func (k *dataKeys) secret(id uint64) []byte {
	if k.registry == nil {
		return nil
	}
	key, err := k.registry.DataKey(id)
	if err != nil || key == nil {
		return nil
	}
	return key.Data
}
