package volume

import (
	"errors"
	"io/fs"
	"math"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/spool/engine"
)

// ENOSPC is told as a want of inodes where there are none, and as one of bytes elsewhere.
func TestCountedInodes(t *testing.T) {
	f := func(all, free uint64, want int64) {
		t.Helper()
		if got := countedInodes(all, free); got != want {
			t.Errorf("%d of %d: %d; want %d", free, all, got, want)
		}
	}
	f(100, 40, 40)
	f(100, 0, 0)
	f(0, 0, InodesUncounted) // btrfs, vfat
	f(0, 7, InodesUncounted)
	f(100, 101, InodesUncounted) // nonsense
	f(math.MaxUint64, math.MaxUint64, InodesUncounted)
	if free, err := FreeInodes(t.TempDir()); err != nil || free < 0 {
		t.Errorf("%d, %v", free, err)
	}
	if _, err := FreeInodes("/nowhere/at/all"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := NameSpace(syscall.ENOSPC, t.TempDir()); errors.Is(err, engine.ErrNoInodes) {
		t.Errorf("where there are inodes: %v", err)
	}
}
