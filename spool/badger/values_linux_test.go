package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// The value log: what is written is synced, has its blocks, and goes when nobody needs it.

// putValues writes events with payloads of 16 KiB in groups, as the committer does.
func putValues(t *testing.T, s *opened, from, to uint64) {
	t.Helper()
	const group = 64
	for ; from < to; from += group {
		n := min(group, to-from)
		if err := s.Fit(engine.Group{Bytes: int64(n) * 17 << 10, Entries: int(n),
			Largest: 17 << 10, Events: true}); err != nil {
			t.Fatal(err)
		}
		txn := s.Begin()
		for seq := from; seq < from+n; seq++ {
			if err := txn.Append(seq, valueOf(seq), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// valueOf is an event with a payload of 16 KiB.
func valueOf(seq uint64) []byte {
	payload := bytes.Repeat(binary.BigEndian.AppendUint64(nil, seq), 2<<10)
	return record.NewEvent(record.Parts{ID: fmt.Sprint(seq), Given: true, At: time.Unix(1, 0),
		Payload: payload}, record.Seal{Seq: seq})
}

func dropValues(t *testing.T, s *opened, from, to uint64) {
	t.Helper()
	for ; from < to; from += 1024 { // whole frames
		txn := s.Begin()
		for seq := from; seq < min(to, from+1024); seq++ {
			if err := txn.Delete(record.LogKey(seq)); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantValues reads events.
func wantValues(t *testing.T, s *opened, from, to uint64) (missing []uint64) {
	t.Helper()
	for seq := from; seq < to; seq++ {
		got, err := s.Get(record.LogKey(seq))
		if err != nil || !bytes.Equal(got, valueOf(seq)) {
			missing = append(missing, seq)
		}
	}
	return missing
}

func valueLogsOf(t *testing.T, s *opened) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Dir, Dir, "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A commit whose values could not be synced has failed, whatever Badger says of it.
func TestValuesUnsynced(t *testing.T) {
	for n := range 3 {
		s := openStore(t, StoreOptions{})
		putValues(t, s, 1, 1+uint64(n)*64)
		m := mapOf(t, s, valueLogsOf(t, s)[0])
		// The end of its map is taken away, which nobody stores into: msync says ENOMEM then.
		page := uintptr(os.Getpagesize())
		last := m.from + m.length - page
		if _, _, errno := syscall.RawSyscall(syscall.SYS_MUNMAP, last, page, 0); errno != 0 {
			t.Fatal(errno)
		}
		txn := s.Begin()
		if err := txn.Append(1000, valueOf(1000), nil); err != nil {
			t.Fatal(err)
		}
		err := txn.Commit()
		if err == nil || !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "value log") {
			t.Errorf("after %d groups a commit whose values were not synced says %v", n, err)
		}
		// So that it can be closed.
		_, _, errno := syscall.RawSyscall6(syscall.SYS_MMAP, last, page, syscall.PROT_READ,
			syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_FIXED, ^uintptr(0), 0)
		if errno != 0 {
			t.Fatal(errno)
		}
	}
}

func mapOf(t *testing.T, s *opened, path string) mapping {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		m, name, ok := fileMap(bytes.TrimSpace(line), s.realDir())
		if ok && name == filepath.Base(path) {
			return m
		}
	}
	t.Fatalf("%q is not mapped", path)
	return mapping{}
}

// Every store into the value log finds a block, in each of its files; so does the log.
func TestValuesHaveBlocks(t *testing.T) {
	effort.OnlyLong(t, "it fills files of the value log")
	s := openStore(t, StoreOptions{})
	v := &s.Room.values
	for seq := uint64(1); v.fid < 3; seq += 64 {
		group := engine.Group{Bytes: 64 * 17 << 10, Entries: 64, Largest: 17 << 10,
			Events: true}
		if err := s.Fit(group); err != nil {
			t.Fatal(err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(v.path(v.fid), &st); err != nil {
			t.Fatal(err)
		}
		if has := st.Blocks * 512; has < v.written+group.Bytes {
			t.Fatalf("value log %d has %d bytes on disk; a group may end at %d", v.fid, has,
				v.written+group.Bytes)
		}
		putValues(t, s, seq, seq+64)
		if real := int64(endOf(t, v.path(v.fid))); real > v.written {
			t.Fatalf("value log %d ends at %d; it counts as %d bytes long", v.fid, real, v.written)
		}
		if v.written > v.allocated && v.allocated > 0 {
			t.Fatalf("%d bytes are written into %d blocks' bytes", v.written, v.allocated)
		}
	}
}

// endOf is where the zeros begin at the end of a file.
func endOf(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(bytes.TrimRight(b, "\x00"))
}

// A group that the value log has no room for is not committed.
func TestValuesFull(t *testing.T) {
	free := int64(1 << 30)
	s := openStore(t, StoreOptions{Files: Files{Free: func(string) (int64, error) { return free, nil }}})
	putValues(t, s, 1, 65)
	free = spareBytes
	v := &s.Room.values
	f := func(bytes int64, want error) {
		t.Helper()
		if err := s.Room.valuesShort(bytes, time.Now()); !errors.Is(err, want) {
			t.Errorf("for %d bytes: %v; want %v", bytes, err, want)
		}
	}
	f(v.allocated-v.written, nil)
	f(v.allocated-v.written+1, engine.ErrFull)
	free = spareBytes + 4096
	f(v.allocated-v.written+4096, nil)
	// The next file wants something to begin with.
	v.written, v.allocated = valueFileMax-1, math.MaxInt64
	free = 2*spareBytes - 1
	f(1, engine.ErrFull)
	free = 2 * spareBytes
	f(1, nil)
}

// TestCollect lets the keeper give back what is dead: whole files go, and what is alive stays and can
// be read, from a start on as well.
func TestCollect(t *testing.T) {
	effort.OnlyLong(t, "it fills files of the value log")
	t.Run("in the clear", func(t *testing.T) { testCollect(t, nil) })
	t.Run("encrypted", func(t *testing.T) { testCollect(t, bytes.Repeat([]byte{7}, 32)) })
}

func testCollect(t *testing.T, key []byte) {
	s := openStore(t, StoreOptions{Files: Files{Key: key}})
	const all = 16_000 // 260 MB
	putValues(t, s, 1, all)
	before := len(valueLogsOf(t, s))
	// All but the last eighth, and one here and there.
	dropValues(t, s, 1, 700)
	dropValues(t, s, 701, all/8*7)
	if err := s.Measure(true); err != nil {
		t.Fatal(err)
	}
	s.Swept(all<<14, 0)
	now := time.Now()
	if err := s.Reclaim(now.Add(time.Hour), all, atOnce); err != nil {
		t.Fatal(err)
	}
	after := valueLogsOf(t, s)
	if s.blind {
		t.Error("nobody knows which files the engine has collected")
	}
	if len(after) > before-3 {
		t.Errorf("there were %d files and there are %d", before, len(after))
	}
	if lost := wantValues(t, s, all/8*7, all); len(lost) > 0 {
		t.Errorf("events are lost: %d", lost)
	}
	if lost := wantValues(t, s, 700, 701); len(lost) > 0 {
		t.Errorf("events that a failed delivery needs are lost: %d", lost)
	}
	if err := s.Measure(true); err != nil {
		t.Errorf("files that were collected count as lost: %v", err)
	}
}

// TestCollectDamaged flips a byte in a file whose other values are alive or dead, and lets it be
// collected: only the record with the byte is lost.
func TestCollectDamaged(t *testing.T) {
	s := openStore(t, StoreOptions{})
	const all = 12_000
	putValues(t, s, 1, all)
	paths := valueLogsOf(t, s)
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	at := len(b) / 5
	f, err := os.OpenFile(paths[0], os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	const alive = 100 // before the damage and after it
	dropValues(t, s, alive, 3000)
	dropValues(t, s, 3000+alive, all-100)
	if err := s.Measure(true); err != nil {
		t.Fatal(err)
	}
	s.Swept(all<<14, 0)
	if err := s.Reclaim(time.Now().Add(time.Hour), all, atOnce); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(paths[0]); err == nil {
		t.Error("the damaged file is still there")
	}
	lost := append(wantValues(t, s, 1, alive), wantValues(t, s, 3000, 3000+alive)...)
	if len(lost) > 1 {
		t.Errorf("%d events are lost: %d", len(lost), lost)
	}
}

// The pages of what comes next are made ready, and nothing that is there is touched, even if the
// engine were elsewhere than it says.
func TestSpread(t *testing.T) {
	s := openStore(t, StoreOptions{})
	v := &s.Room.values
	putValues(t, s, 1, 300)
	path := valueLogsOf(t, s)[0]
	next := func() int64 { return int64(v.offset()+4095) / 4096 * 4096 }
	// A file system may write zeros itself where little is left of what it had allocated.
	for seq := uint64(301); dataAfter(t, path, next()) >= 0; seq += 20 {
		if v.fid > 1 {
			t.Fatal("something is always after what was written")
		}
		putValues(t, s, seq, seq+20)
	}
	ready := next()
	v.spread(100 << 10)
	if at := dataAfter(t, path, ready); at != ready {
		t.Errorf("made ready from %d, not %d", at, ready)
	}
	_, end, err := contentEnd(path)
	if at := int64(v.offset()); err != nil || at < end || at > end+4 { // a checksum may end in zeros
		t.Fatalf("the engine has written up to %d; the file says %d: %v", at, end, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for from := range uint32(3) {
		v.offset = func() uint32 { return mend.LogHeadBytes + from<<20 }
		v.spread(1 << 20)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed: %v", err)
	}
}

// dataAfter is where something is in a file, from some place on; -1: nowhere.
func dataAfter(t *testing.T, path string, from int64) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, err := f.Seek(from, 3) // SEEK_DATA
	if errors.Is(err, syscall.ENXIO) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Maps of files that are full are let go; the one in use stays.
func TestLetGoValues(t *testing.T) {
	effort.OnlyLong(t, "it fills files of the value log")
	s := openStore(t, StoreOptions{})
	const most = 28 << 20 // of 57 MiB
	empty, err := MappedBytes()
	if err != nil {
		t.Fatal(err)
	}
	putValues(t, s, 1, 3500)
	if now, err := MappedBytes(); err != nil || now-empty > most {
		t.Errorf("%d bytes of the file in use are resident: %v", now-empty, err)
	}
	putValues(t, s, 3585, 10_000)
	wantValues(t, s, 1, 10_000)
	if before, err := MappedBytes(); err != nil || before < 100<<20 {
		t.Fatalf("%d bytes are mapped and resident: %v", before, err)
	}
	if err := s.TrimMapped(64 << 20); err != nil {
		t.Fatal(err)
	}
	if after, err := MappedBytes(); err != nil || after > 100<<20 {
		t.Errorf("%d bytes stay: %v", after, err)
	}
	if lost := wantValues(t, s, 3585, 10_000); len(lost) > 0 {
		t.Errorf("events are lost: %d", lost)
	}
}

// The map of the file in use takes in no neighbours; those that are full are read as usual.
func TestAdviseValues(t *testing.T) {
	s := openStore(t, StoreOptions{})
	putValues(t, s, 1, 5000)
	paths := valueLogsOf(t, s)
	for i, path := range paths {
		flags := mapFlags(t, filepath.Join(s.realDir(), filepath.Base(path)))
		if last := i == len(paths)-1; slices.Contains(flags, "rr") != last {
			t.Errorf("the map of value log %d of %d has the flags %v", i+1, len(paths), flags)
		}
	}
}

// A kill after a collection leaves a spool that starts: no log leads into the file that is gone.
func TestCollectThenKill(t *testing.T) {
	s := openStore(t, StoreOptions{})
	const dead, from, to = 3800, 4000, 4500 // nine tenths of the first file, and some of it after those
	putValues(t, s, 1, dead)
	dropValues(t, s, 1, dead)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	putValues(t, s, from, to)
	first := valueLogsOf(t, s)[0]
	if err := s.Measure(true); err != nil {
		t.Fatal(err)
	}
	s.Swept(2*valueFileMax, 0)
	if err := s.Reclaim(time.Now().Add(time.Hour), to, atOnce); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first); err == nil {
		t.Fatal("the first file is still there")
	}
	killed := filepath.Join(t.TempDir(), "spool")
	atrest.Killed(t, s.Dir, killed)
	again := openStore(t, StoreOptions{Files: Files{Dir: killed,
		Answered: func() (uint64, error) { return to - 1, nil },
		Raise:    func(uint64) error { return nil }}})
	if lost := wantValues(t, again, from, to); len(lost) > 0 {
		t.Errorf("events are lost: %d", lost)
	}
}

// TestLostCount loses what the engine has counted of dead values, as a power cut can: it is counted
// again, and the files are given back without another start, but for those of which much is alive.
func TestLostCount(t *testing.T) {
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		limits := engine.Limits{MaxBytes: 32 << 20} // with files of 2 MiB
		s := openStore(t, StoreOptions{Files: Files{Key: key}, Limits: limits})
		const all, dead = 513, 321
		putValues(t, s, 1, all)
		before := len(valueLogsOf(t, s))
		dropValues(t, s, 1, dead)
		if err := errors.Join(s.Flush(), s.Flatten()); err != nil {
			t.Fatal(err)
		}
		s = copied(t, s, StoreOptions{Files: Files{Key: key}, Limits: limits}, func(dir string) {
			err := os.WriteFile(filepath.Join(dir, Dir, "DISCARD"), make([]byte, 1<<20), 0o600)
			if err != nil {
				t.Fatal(err)
			}
		})
		now := time.Now()
		reclaimed := func(now time.Time) (left int) {
			t.Helper()
			if err := s.Reclaim(now, all, atOnce); err != nil {
				t.Fatal(err)
			}
			for _, path := range valueLogsOf(t, s) {
				if base := filepath.Base(path); base == "000001.vlog" || base == "000002.vlog" {
					left++
				}
			}
			return left
		}
		s.Swept(all<<14, 0)
		if n := reclaimed(now); n < 2 {
			t.Fatalf("%d of 2 dead files are there; nobody knows that they are dead", n)
		}
		for range before + 1 { // nothing was swept
			reclaimed(now.Add(time.Second))
		}
		if n := reclaimed(now.Add(time.Hour)); n > 0 {
			t.Errorf("%d of 2 dead files are there", n)
		}
		if lost := wantValues(t, s, dead, all); len(lost) > 0 {
			t.Errorf("events are lost: %d", lost)
		}
	}
}

// copied opens what a kill would leave of a store now, once change has been at its directory.
func copied(t *testing.T, s *opened, o StoreOptions, change func(dir string)) *opened {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "spool")
	atrest.Killed(t, s.Dir, o.Dir)
	change(o.Dir)
	o.Answered = func() (uint64, error) { return 0, nil }
	o.Raise = func(uint64) error { return nil }
	return openStore(t, o)
}

// TestReclaimFormer sweeps a spool that is full, and ends before its space is given back: the next
// start gives it back, although nothing comes any more that could be swept. An attempt that fails
// is made again.
func TestReclaimFormer(t *testing.T) {
	effort.OnlyLong(t, "it fills files of the value log")
	s := openStore(t, StoreOptions{})
	const all, most = 12_545, 200 << 20
	putValues(t, s, 1, all)
	dropValues(t, s, 1, all)
	o := StoreOptions{Limits: engine.Limits{MaxBytes: most}}
	s = copied(t, s, o, func(string) {})
	if err := s.Measure(true); err != nil {
		t.Fatal(err)
	}
	if before := s.Usage(); !before.Short {
		t.Fatalf("space is not short with %d bytes of %d", before.Bytes, before.Limit)
	}
	now, failed := time.Now(), errors.New("the committer is away")
	err := s.Reclaim(now, all, func(func() error) error { return failed })
	if !errors.Is(err, failed) {
		t.Fatalf("what could not be done says %v", err)
	}
	if err := s.Reclaim(now.Add(reclaimPause), all, atOnce); err != nil {
		t.Fatal(err)
	}
	if after := s.Usage(); after.Short || len(valueLogsOf(t, s)) > 1 {
		t.Errorf("%d bytes of %d are taken, all of them swept; files: %v", after.Bytes, after.Limit,
			valueLogsOf(t, s))
	}
}

// TestCollectBesideLarger has files of the value log that are dead as a whole, and smaller than what
// is dead in another that cannot go: the one in use, or one of which much is alive.
func TestCollectBesideLarger(t *testing.T) {
	effort.OnlyLong(t, "it fills files of the value log")
	const first, second, third = 600, 2600, 3000
	now := time.Now()
	want := func(s *opened, names ...string) {
		t.Helper()
		now = now.Add(time.Hour)
		s.Swept(64<<20, 0)
		if err := s.Reclaim(now, third, atOnce); err != nil {
			t.Fatal(err)
		}
		var there []string
		for _, path := range valueLogsOf(t, s) {
			there = append(there, filepath.Base(path))
		}
		if !slices.Equal(there, names) {
			t.Errorf("the files %v are there; want %v", there, names)
		}
	}
	again := func(s *opened) *opened { return copied(t, s, StoreOptions{}, func(string) {}) }
	s := openStore(t, StoreOptions{})
	putValues(t, s, 1, first)
	s = again(s)
	putValues(t, s, first, second)
	dropValues(t, s, 1, second-600)
	want(s, "000002.vlog")
	s = again(s)
	putValues(t, s, second, third)
	s = again(s)
	dropValues(t, s, second, third)
	want(s, "000002.vlog", "000004.vlog")
	if lost := wantValues(t, s, second-600, second); len(lost) > 0 {
		t.Errorf("events are lost: %d", lost)
	}
}

// When space is short, what is on disk comes down to twice what is needed and two files, whatever
// share of each file that is.
func TestCollectWhenShort(t *testing.T) {
	const events, size, most = 384, 64 << 10, 24 << 20
	for _, share := range []int{1, 5, 20, 50} {
		t.Run(fmt.Sprintf("%d %%", share), func(t *testing.T) {
			t.Parallel()
			s := openStore(t, StoreOptions{Limits: engine.Limits{MaxBytes: most}})
			needed := make(map[uint64]bool)
			for seq := uint64(1); seq <= events; seq++ {
				txn := s.Begin() // large ones come alone, and are never written with others
				rec := record.NewEvent(record.Parts{At: time.Unix(1, 0), Payload: make([]byte, size)},
					record.Seal{Seq: seq})
				if err := errors.Join(txn.Append(seq, rec, nil), txn.Commit()); err != nil {
					t.Fatal(err)
				}
				needed[seq] = int(seq)*share/100 > (int(seq)-1)*share/100
			}
			kept := int64(0)
			for seq := uint64(1); seq <= events; seq++ {
				if needed[seq] {
					kept += size
					continue
				}
				txn := s.Begin()
				if err := errors.Join(txn.Delete(record.LogKey(seq)), txn.Commit()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Measure(true); err != nil {
				t.Fatal(err)
			}
			if !s.Usage().Short {
				t.Fatalf("space is not short: %+v", s.Usage())
			}
			s.Swept(events*size, 0)
			if err := s.Reclaim(time.Now().Add(time.Hour), events, atOnce); err != nil {
				t.Fatal(err)
			}
			bound := 2*kept + 2*valueFileFor(most)
			if got := s.Figures.Values.Load(); got > bound {
				t.Errorf("%d bytes are in the value log, of which %d are needed; want at most %d", got, kept,
					bound)
			}
			for seq, is := range needed {
				if _, err := s.Get(record.LogKey(seq)); (err == nil) != is {
					t.Errorf("event %d, needed %v: %v", seq, is, err)
				}
			}
		})
	}
}
