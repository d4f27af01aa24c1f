//go:build linux || darwin || freebsd || netbsd || openbsd

package attempt

import (
	"io"
	"syscall"
)

// canPeek says that there is a way to look at a socket.
const canPeek = true

// peekReadable reports whether a read of the non-blocking socket would return anything at
// all: bytes, the end or an error.
func peekReadable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return err != syscall.EAGAIN
}

// readNow reads what is there; errHeld: nothing is.
func readNow(fd uintptr, p []byte) (int, error) {
	n, err := syscall.Read(int(fd), p)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), p)
	}
	switch {
	case err == syscall.EAGAIN:
		return 0, errHeld
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}
