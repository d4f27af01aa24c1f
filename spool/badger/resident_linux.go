package badger

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/volume"
)

// The engine reads and writes its tables through shared memory maps, so every page of a backlog
// that a lane or a compaction has passed counts as resident: 1.1 GiB with a million events of
// 1 KiB, which nothing but a shortage of memory would take away again.

const (
	// madvDontNeed is MADV_DONTNEED. Of a shared map of a file it takes the pages out of this process
	// and leaves them to the page cache: what was stored stays, and is found again without the disk.
	madvDontNeed = 4
	// madvNormal is MADV_NORMAL.
	madvNormal = 0
	// madvRandom is MADV_RANDOM: a fault brings in the page that is stored into and no neighbours.
	madvRandom = 1
	// madvPageout is MADV_PAGEOUT (Linux 5.4). It never drops content, whatever is mapped there, but
	// it is slow where pages are dirty.
	madvPageout = 21
	// pageoutMax is how long that may take: meanwhile a compaction reads on.
	pageoutMax = 50 * time.Millisecond
	// tablesWritten at once by two compactions, at most; their pages are dirty.
	tablesWritten = 26
)

// TrimMapped takes the resident pages of tables out of the process when more than most bytes of
// files are resident.
func (t *Tree) TrimMapped(most int64) error {
	mapped, err := MappedBytes()
	if err != nil || mapped <= most {
		return err
	}
	t.mapsMu.Lock()
	defer t.mapsMu.Unlock()
	held, release := t.mapsHeld, func() {}
	if held == nil {
		held, release = t.holdTables()
	}
	defer release()
	return errors.Join(t.letGoValues(), t.letGo(held))
}

// letGoValues advises the kernel on the maps of the value log, but for those of collected files:
// the engine takes them away when the last iterator is closed. The newest file is left alone: its
// map moves when it is full, and the committer lets go of it (values.wrote).
func (t *Tree) letGoValues() error {
	newest, err := t.lookForValues()
	if err != nil || t.blind {
		return err
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot list the maps of the value log: %w", err)
	}
	dir := t.realDir()
	for line := range bytes.Lines(text) {
		m, name, ok := fileMap(bytes.TrimSpace(line), dir)
		if number, is := strings.CutSuffix(name, valueLogExt); ok && is {
			if n, err := strconv.ParseUint(number, 10, 32); err == nil && uint32(n) < newest &&
				!t.lingering[uint32(n)] {
				_ = m.letGo() // it is asked again
			}
		}
	}
	return nil
}

// holdMaps lets trimMapped go on while the engine holds its lock, which holdTables needs. Whoever
// calls it may run the engine's flush until release.
func (t *Tree) holdMaps() (release func()) {
	t.mapsMu.Lock()
	defer t.mapsMu.Unlock()
	held, letTables := t.holdTables()
	t.mapsHeld = held
	return func() {
		t.mapsMu.Lock()
		defer t.mapsMu.Unlock()
		t.mapsHeld = nil
		letTables()
	}
}

// holdTables are the engine's tables whose maps stay where they are until release. Advice on a map
// that is gone would strike what was mapped in its place, perhaps the heap.
func (t *Tree) holdTables() (held map[uint64]bool, release func()) {
	type place struct {
		id    uint64
		level int
	}
	before := make(map[place]bool)
	for _, table := range t.DB.Tables() {
		before[place{table.ID, table.Level}] = true
	}
	// An iterator holds every table there is. Those that were there before and after it was made
	// were there meanwhile.
	txn := t.DB.NewTransaction(false)
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	held = make(map[uint64]bool, len(before))
	for _, table := range t.DB.Tables() {
		if before[place{table.ID, table.Level}] {
			held[table.ID] = true
		}
	}
	return held, func() {
		it.Close()
		txn.Discard()
	}
}

// letGo advises the kernel on the maps of tables: those that are held, and then, for a while and
// with more care, those that a compaction has written and not yet put in their place.
func (t *Tree) letGo(held map[uint64]bool) error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot list the maps of tables: %w", err)
	}
	defer maps.Close()
	dir := t.realDir()
	var others []mapping
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		m, ok := tableMap(lines.Bytes(), dir)
		if ok && !held[m.table] {
			others = append(others, m)
		} else if ok {
			if errno := m.letGo(); errno != 0 {
				return fmt.Errorf("cannot let go of table %d: %w", m.table, errno)
			}
		}
	}
	slices.SortFunc(others, func(a, b mapping) int { return cmp.Compare(a.table, b.table) })
	began := time.Now()
	for _, m := range others[:max(len(others)-tablesWritten, 0)] {
		if time.Since(began) > pageoutMax {
			break // it is quick with those that it has been through, and gets further next time
		}
		m.pageOut()
	}
	return lines.Err()
}

// MappedBytes is what is resident of files and shared memory: the third field of statm, in pages.
func MappedBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("cannot ask for resident memory: %w", err)
	}
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0, fmt.Errorf("cannot read resident memory from %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// adviseStores tells the kernel how the map of a log is stored into. Without it a fault brings in
// up to megabytes of neighbours as one folio, where the file system has large ones, and every sync
// writes the folio whole: 1,000 events of 1 KiB a second wrote 11.5 bytes for each byte, with it
// 5.9. The log must be the one in use, whose map stays where it is; where the advice cannot be
// given, more is written.
func adviseStores(path string) { advise(path, madvRandom) }

// adviseReads takes that back for a file that is only read from now on.
func adviseReads(path string) { advise(path, madvNormal) }

// adviseGone takes the pages of a file out of this process.
func adviseGone(path string) { advise(path, madvDontNeed) }

func advise(path string, advice uintptr) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(volume.Absolute(path)))
	if err != nil {
		return
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		if m, name, ok := fileMap(bytes.TrimSpace(line), dir); ok && name == filepath.Base(path) {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.length, advice)
		}
	}
}

// mapping is where a table is mapped.
type mapping struct {
	from, length uintptr
	table        uint64
}

// letGo takes microseconds, so the scheduler is not told: after each of a thousand calls this
// goroutine would line up after those that compact.
func (m mapping) letGo() syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_MADVISE, m.from, m.length, madvDontNeed)
	return errno
}

func (m mapping) pageOut() {
	// A map that is gone, or an older kernel, is no reason to do anything else.
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.length, madvPageout)
}

// tableMap reads a line of /proc/self/maps, if it is of a table.
func tableMap(line []byte, dir string) (m mapping, ok bool) {
	m, name, ok := fileMap(line, dir)
	number, isTable := strings.CutSuffix(name, ".sst")
	id, err := strconv.ParseUint(number, 10, 64)
	if !ok || !isTable || err != nil {
		return mapping{}, false
	}
	m.table = id
	return m, true
}

// fileMap reads a line of /proc/self/maps, "from-to perms offset device inode  path", of a file in
// a directory. Only a shared map is the engine's.
func fileMap(line []byte, dir string) (m mapping, name string, ok bool) {
	head, path, found := bytes.Cut(line, []byte(dir+string(filepath.Separator)))
	fields := bytes.Fields(head)
	if !found || len(fields) < 2 || !bytes.HasSuffix(fields[1], []byte{'s'}) {
		return mapping{}, "", false
	}
	low, high, _ := bytes.Cut(fields[0], []byte{'-'})
	from, ferr := strconv.ParseUint(string(low), 16, 64)
	to, terr := strconv.ParseUint(string(high), 16, 64)
	if errors.Join(ferr, terr) != nil || to <= from {
		return mapping{}, "", false
	}
	return mapping{from: uintptr(from), length: uintptr(to - from)}, string(path), true
}
