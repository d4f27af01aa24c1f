//go:build !linux

package action

import "net"

// userOf is not known here: whoever comes over a unix socket is who it says it is.
func userOf(net.Conn) (uid uint32, ok bool) { return 0, false }
