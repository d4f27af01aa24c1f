package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4/y"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// TestRoomOfASparseLog wants every commit to ask for room where the log has no blocks of its own.
func TestRoomOfASparseLog(t *testing.T) {
	t.Parallel()
	var left int64
	r := room{Free: func(string) (int64, error) { return left, nil }, Inodes: volume.FreeInodes, Dir: t.TempDir(), fid: 1, sparse: true}
	never := func(bool) int64 { return 1 << 40 }
	f := func(free, bytes int64, want bool) {
		t.Helper()
		left = free
		if err := r.short(Use{Bytes: bytes}, time.Now(), never); (err == nil) != want {
			t.Errorf("with %d free, %d bytes: %v", free, bytes, err)
		}
	}
	f(spareBytes+2000, 1000, true)
	f(spareBytes, 1000, false)
	// A full memtable on its way to a table needs its room first.
	r.full = []string{filepath.Join(r.Dir, "00001.mem")}
	if err := os.WriteFile(r.full[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(spareBytes+2000, 1000, false)
	f(spareBytes+tableBytesMax+2000, 1000, true)
	if err := os.Remove(r.full[0]); err != nil {
		t.Fatal(err)
	}
	f(spareBytes+2000, 1000, true)
	// What compaction takes counts when the memtable may be full.
	f(1<<39, MemTableBytes, false)
	f(1<<41, MemTableBytes, true)
}

// TestRoomSeesADiskFill wants a rotation to wait while others write fast.
func TestRoomSeesADiskFill(t *testing.T) {
	t.Parallel()
	var left int64
	r := room{Free: func(string) (int64, error) { return left, nil }, Inodes: volume.FreeInodes, Dir: t.TempDir(), fid: 1, sparse: true}
	never := func(bool) int64 { return 0 }
	now := time.Unix(1, 0)
	for i, step := range []struct {
		free int64
		want bool
	}{{200 << 20, true}, {150 << 20, false}, {150 << 20, true}, {RotateBytes, false}} {
		left = step.free
		now = now.Add(fallStep)
		if err := r.short(Use{Rotates: true}, now, never); (err == nil) != step.want {
			t.Error(fmt.Sprint(i), step.free, err)
		}
	}
}

// The bound on the tables of a compaction is above what it writes.
func TestTablesOf(t *testing.T) {
	got := []int64{TablesOf(0), TablesOf(tableFileBytes), TablesOf(400 << 20)}
	if want := []int64{0, 2, 200}; !slices.Equal(got, want) {
		t.Errorf("got %d; want %d", got, want)
	}
}

// A moment without descriptors does not make a file system one that cannot allocate.
func TestAllocateWantOfDescriptors(t *testing.T) {
	r := room{Free: volume.FreeBytes, Inodes: volume.FreeInodes, Dir: t.TempDir(), fid: 1}
	if err := os.Mkdir(r.path(1), 0o700); err != nil { // opening it for writing is EISDIR
		t.Fatal(err)
	}
	if !r.allocate(100, 1<<30) || r.sparse {
		t.Errorf("allocated %d, sparse %v; want what is free to do, this once", r.allocated, r.sparse)
	}
}

// An error of the system is found in whatever the engine makes of it, mostly text, and nothing else
// is taken for one.
func TestNameSystem(t *testing.T) {
	for _, errno := range volume.ErrnosOfSystem() {
		for _, err := range []error{
			errno,
			&fs.PathError{Op: "open", Path: "/x", Err: errno},
			y.Wrapf(errno, "while opening file: %s", "/data/00001.mem"),
			y.Wrapf(y.Wrap(&fs.PathError{Op: "open", Path: "/x", Err: errno}, "Error"), "While opening"),
			fmt.Errorf("%v; %v", &fs.PathError{Op: "sync", Path: "/x", Err: errno}, "and more"),
			fmt.Errorf("badger panicked: %v", errors.Join(errno, errors.New("while mmapping"))),
			fmt.Errorf("cannot write. Path=/x. Error=%v", errno),
		} {
			named, ok := volume.NameSystem(err)
			if !ok || !errors.Is(named, errno) || named.Error() != err.Error() {
				t.Errorf("%q: %v, %v; want %v", err, named, ok, errno)
			}
			if got := NameEngine(err); errors.Is(got, engine.ErrDamaged) || !errors.Is(got, errno) {
				t.Errorf("%q is told as %v", err, got)
			}
		}
	}
	for _, text := range []string{
		"file does not exist for table 3",
		"open /srv/permission denied/db: its checksum does not fit",
		"no such device at all",
		"MANIFEST has bad magic",
		"",
	} {
		if _, ok := volume.NameSystem(errors.New(text)); ok {
			t.Errorf("%q is taken for an error of the system", text)
		}
		if !errors.Is(NameEngine(errors.New(text)), engine.ErrDamaged) {
			t.Errorf("%q is not told as damage", text)
		}
	}
	for _, err := range []error{engine.ErrInUse, engine.ErrWrongKey, record.ErrFormat, engine.ErrLoss} {
		if got := NameEngine(fmt.Errorf("x: %w", err)); !errors.Is(got, err) || errors.Is(got, engine.ErrDamaged) {
			t.Errorf("%v is told as %v", err, got)
		}
	}
}

// A log that was begun unseen is found: the next look goes by that.
func TestRoomFindsTheLog(t *testing.T) {
	r := room{Free: volume.FreeBytes, Inodes: volume.FreeInodes, Dir: t.TempDir(), fid: 1}
	if err := os.WriteFile(r.path(7), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r.allocate(1000, 1<<30) || !r.allocate(1000, 1<<30) || r.fid != 7 {
		t.Errorf("log %d was found instead of 7", r.fid)
	}
}

// The look whether a file can be made leaves none.
func TestMakeable(t *testing.T) {
	r := room{Free: volume.FreeBytes, Inodes: volume.FreeInodes, Dir: t.TempDir()}
	if err := r.makeable(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
