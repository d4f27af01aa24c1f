//go:build linux || darwin || freebsd || netbsd || openbsd

package attempt

import "syscall"

// peekReadable reports whether a read of the non-blocking socket would return anything at
// all: bytes, the end or an error.
func peekReadable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return err != syscall.EAGAIN
}
