package main

import (
	"errors"
	"syscall"

	"github.com/hookspool/hookspool/spool"
)

// systemAdvice says what to do about an error of the system below a spool; empty: it is none. A
// process that may not do what it must, a limit, a quota and a disk that fails are told apart,
// because nobody should restore a backup over a spool that is whole.
func systemAdvice(err error) string {
	const whole = "; nothing accepted is lost"
	for _, a := range []struct {
		is   []error
		hint string
	}{
		{[]error{spool.ErrNoInodes}, "the file system of spool.dir has too few free inodes (df -i): " +
			"remove small files from it, or give spool.dir one of its own" + whole},
		{[]error{syscall.EDQUOT}, "the disk quota of the user or project that owns spool.dir is " +
			"used up: raise it, or remove other files" + whole},
		{[]error{spool.ErrFull, syscall.ENOSPC}, "make room on the disk of spool.dir" + whole},
		{[]error{syscall.EFBIG}, "files may not grow as large as the spool's, 64 MiB: raise the limit " +
			"(ulimit -f, LimitFSIZE=)" + whole},
		{[]error{syscall.EMFILE}, "hookspool may not open more files: raise the limit (ulimit -n, " +
			"LimitNOFILE=)" + whole},
		{[]error{syscall.ENFILE}, "this machine can open no more files: end what holds them, or raise " +
			"fs.file-max" + whole},
		{[]error{syscall.ENOMEM}, "there is no memory to map the spool's files: raise the limit " +
			"(ulimit -v, MemoryMax=, vm.max_map_count)" + whole},
		{[]error{syscall.EROFS}, "the file system of spool.dir is read-only; a kernel makes it so " +
			"after an error of the disk (dmesg): mount it for writing" + whole},
		{[]error{syscall.EIO, syscall.ENXIO}, "look after the disk of spool.dir (dmesg): it could " +
			"not be read or written"},
		{[]error{syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT}, "the server of the file " +
			"system of spool.dir is away: mount it again; a spool belongs on a local disk"},
		{[]error{syscall.ENODEV, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.ENOLCK},
			"the file system of spool.dir cannot lock or map files: give spool.dir a local one, such " +
				"as ext4 or xfs"},
		{[]error{syscall.EACCES, syscall.EPERM}, "the user that runs hookspool must own spool.dir " +
			"and may need a port above 1023"},
		{[]error{syscall.ENOTDIR}, "spool.dir names something that is no directory"},
	} {
		for _, is := range a.is {
			if errors.Is(err, is) {
				return a.hint
			}
		}
	}
	return ""
}
