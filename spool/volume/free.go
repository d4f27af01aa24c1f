package volume

import (
	"fmt"
	"math"
	"syscall"
)

// FreeBytes is what this user may still take of a file system.
func FreeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("cannot ask for free space of %q: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// InodesUncounted is what a file system has free that makes inodes as it needs them.
const InodesUncounted = math.MaxInt64

// FreeInodes is how many files may still be made. Some file systems, such as btrfs, have no number:
// they report that there are none at all, and are not watched.
func FreeInodes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("cannot ask for free inodes of %q: %w", dir, err)
	}
	return countedInodes(uint64(st.Files), uint64(st.Ffree)), nil
}

func countedInodes(all, free uint64) int64 {
	if all == 0 || free > all || free > math.MaxInt64 {
		return InodesUncounted
	}
	return int64(free)
}
