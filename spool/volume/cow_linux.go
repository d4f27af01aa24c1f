package volume

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// noCOW is FS_NOCOW_FL of linux/fs.h: files that are made in a directory with it are written in
// place.
const noCOW = 0x00800000

// WriteInPlace makes a directory whose files are written in place on btrfs, which can do both. A
// file system that copies what is written takes another block for each store into a mapped page,
// also where blocks were allocated ahead (Allocate): on a full disk that is a SIGBUS. Where it
// cannot be had Copies tells.
func WriteInPlace(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make %q: %w", dir, err)
	}
	if kindOf(dir) != unix.BTRFS_SUPER_MAGIC {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot open %q: %w", dir, err)
	}
	flags, err := unix.IoctlGetUint32(int(d.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		_ = unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, int(flags|noCOW))
	}
	return d.Close()
}

// flagsOf are the flags of a directory.
func flagsOf(dir string) (uint32, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return unix.IoctlGetUint32(int(d.Fd()), unix.FS_IOC_GETFLAGS)
}

// Copies says which file system copies what is written into the files of a directory; empty: none
// that is known to.
func Copies(dir string) string {
	switch kindOf(dir) {
	case unix.BTRFS_SUPER_MAGIC:
		if flags, err := flagsOf(dir); err == nil && flags&noCOW == 0 {
			return "btrfs"
		}
	case unix.BCACHEFS_SUPER_MAGIC:
		return "bcachefs"
	case zfsMagic:
		return "zfs"
	}
	return ""
}

// zfsMagic is what ZFS on Linux says, which is not in the kernel.
const zfsMagic = 0x2fc12fc1

// kindOf is the kind of a file system, as statfs tells it; 0: it does not.
func kindOf(dir string) uint32 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return uint32(st.Type)
}
