package spool

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestTableMap(t *testing.T) {
	const dir = "/var/lib/hook spool/db"
	f := func(line string, from, length uintptr, ok bool) {
		t.Helper()
		a, n, got := tableMap([]byte(line), dir)
		if got != ok || ok && (a != from || n != length) {
			t.Errorf("%q is %x+%x, %v; want %x+%x, %v", line, a, n, got, from, length, ok)
		}
	}
	// a table
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/000001.sst", 0x7f00a000, 0x2000, true)
	// the log is hot and stays
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/00001.mem", 0, 0, false)
	// somebody else's table; no file; removed meanwhile; nonsense
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 /var/lib/other/db/000001.sst", 0, 0, false)
	f("7f00a000-7f00c000 rw-p 00000000 00:00 0", 0, 0, false)
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/000001.sst (deleted)", 0, 0, false)
	f("x-y rw-s 00000000 fe:00 12 "+dir+"/000001.sst", 0, 0, false)
	f("", 0, 0, false)
}

// A mapped table that was read does not stay resident, and what it holds is still there.
func TestTrimMapped(t *testing.T) {
	const size = 8 << 20
	s := &Spool{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.dir, engineDir), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(s.dir, engineDir, "000001.sst"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	table, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(table)
	for i := range table {
		table[i] = byte(i >> 12)
	}
	if err := file.Sync(); err != nil { // clean pages can go
		t.Fatal(err)
	}
	before, err := mappedBytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.trimMapped(before); err != nil {
		t.Fatal(err)
	}
	if still, _ := mappedBytes(); still < before-size/2 {
		t.Errorf("%d bytes are resident of %d that may be", still, before)
	}
	if err := s.trimMapped(before - 1); err != nil {
		t.Fatal(err)
	}
	after, err := mappedBytes()
	if err != nil {
		t.Fatal(err)
	}
	const tmpfs = 0x01021994 // its pages are the file: without swap they cannot go
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(file.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if after > before-size/2 && fs.Type != tmpfs {
		t.Errorf("%d bytes are still resident of %d", after, before)
	}
	for i := range table {
		if table[i] != byte(i>>12) {
			t.Fatalf("byte %d changed", i)
		}
	}
}

// The heap is given back once after every burst, and never in one.
func TestRestDue(t *testing.T) {
	var r rest
	at := time.Unix(1000, 0)
	f := func(after time.Duration, head uint64, want bool) {
		t.Helper()
		at = at.Add(after)
		if got := r.due(at, head); got != want {
			t.Errorf("at %s with head %d: %v", at, head, got)
		}
	}
	// nothing has happened yet
	f(0, 0, false)
	f(time.Minute, 0, false)
	// a burst, its end, and the rest after it
	f(0, 5, false)
	f(restAfter-1, 6, false)
	f(restAfter-1, 6, false)
	f(1, 6, true)
	f(time.Minute, 6, false)
	// the next one
	f(time.Second, 7, false)
	f(restAfter, 7, true)
}
