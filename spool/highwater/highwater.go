// Package highwater keeps the newest sequence that was answered, in a small file beside the engine,
// so that a start notices an engine that silently lost its tail (a flipped bit in Badger's log ends
// its replay without an error). It is synced about once a second.
//
//	0  u64  sequence
//	8  u32  CRC-32C of the sequence
package highwater

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Name is the file's, in the spool's directory.
const Name = "highwater"

// markBytes are all of it.
const markBytes = 12

// errChecksum: the file can be read, and what it says cannot be believed.
var errChecksum = errors.New("its checksum does not fit")

// Mark is the open file. Its methods are safe for concurrent use.
type Mark struct {
	mu      sync.Mutex // held across a write; guards last, took and syncs
	file    *os.File
	last    uint64
	damaged bool
	through engine.Seam
	// took are what the last syncs took; latency is the least of them.
	took    [8]time.Duration
	syncs   int
	latency atomic.Int64
}

// Open opens the file of a spool's directory, or makes it. Writes and syncs go through the seam.
func Open(dir string, through engine.Seam) (*Mark, error) {
	path := filepath.Join(dir, Name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open %q: %w", path, err)
	}
	m := &Mark{file: f, through: through}
	var b [markBytes]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("cannot read %q: %w", path, err), f.Close())
	}
	if n == 0 {
		// So that the mark has its block before the disk is full.
		if err := m.store(0); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return m, nil
	}
	m.last, err = decode(b[:n])
	m.damaged = err != nil
	return m, nil
}

// decode reads the mark; 0 if it cannot be believed.
func decode(b []byte) (uint64, error) {
	if len(b) != markBytes ||
		binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], record.Castagnoli()) {
		return 0, errChecksum
	}
	return binary.BigEndian.Uint64(b), nil
}

// Last is the newest sequence that is written.
func (m *Mark) Last() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Damaged reports that what the file said when it was opened cannot be believed; it counts as 0.
func (m *Mark) Damaged() bool { return m.damaged }

func (m *Mark) store(seq uint64) error {
	var b [markBytes]byte
	binary.BigEndian.PutUint64(b[:], seq)
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], record.Castagnoli()))
	if _, err := m.file.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("cannot write %q: %w", m.file.Name(), err)
	}
	return nil
}

// Write writes and syncs a sequence, unless it is the last one.
func (m *Mark) Write(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq == m.last {
		return nil
	}
	err := m.through.Do("write highwater", func() error { return m.store(seq) })
	if err != nil {
		return err
	}
	began := time.Now()
	if err := m.through.Do("sync highwater", m.file.Sync); err != nil {
		return fmt.Errorf("cannot sync %q: %w", m.file.Name(), err)
	}
	m.note(time.Since(began))
	m.last = seq
	return nil
}

// note remembers what a sync took.
func (m *Mark) note(took time.Duration) {
	m.took[m.syncs%len(m.took)] = took
	m.syncs++
	least := slices.Min(m.took[:min(m.syncs, len(m.took))])
	m.latency.Store(int64(least))
}

// Latency is the least that one of the last syncs took: what the disk takes, without what other
// work adds to it. 0: there was none yet.
func (m *Mark) Latency() time.Duration { return time.Duration(m.latency.Load()) }

// Close lets go of the file, with what it says.
func (m *Mark) Close() error { return m.file.Close() }

// Read is what the file of a spool's directory says, which may be open. Errors: fs.ErrNotExist,
// what else the system says, or that its checksum does not fit. That is also how a mark may look
// while it is being written.
func Read(dir string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		return 0, fmt.Errorf("cannot read the high-water mark: %w", err)
	}
	if len(b) == 0 {
		return 0, nil // made, and not written in the first second
	}
	return decode(b)
}

// Write makes the mark of a spool that is not open, or replaces it.
func Write(dir string, seq uint64) error {
	m, err := Open(dir, nil)
	if err != nil {
		return err
	}
	return errors.Join(m.Write(seq), m.Close())
}

// Raise writes a newer mark, never an older one. One that the system does not let it read is left.
func Raise(dir string, to uint64) error {
	seq, err := Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errChecksum) {
		return err
	}
	if err == nil && seq >= to {
		return nil
	}
	return Write(dir, to)
}
