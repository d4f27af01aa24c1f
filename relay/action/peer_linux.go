package action

import (
	"net"
	"syscall"
)

// userOf is the user at the other end of a unix socket, as the system says; false: it is another
// kind of connection.
func userOf(c net.Conn) (uid uint32, ok bool) {
	if c.LocalAddr().Network() != "unix" {
		return 0, false
	}
	s, is := c.(syscall.Conn)
	if !is {
		return 0, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil {
			uid, ok = cred.Uid, true
		}
	})
	return uid, ok && err == nil
}
