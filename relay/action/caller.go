package action

import (
	"net"
	"os/user"
	"strconv"
)

// Caller is who is at the other end of a connection, and says to be called something. The user of a
// unix socket is believed, and named as this machine does; anybody else is who it says it is. What
// a proxy says of an address is not asked: anybody could say it.
func Caller(c net.Conn, claimed string, token bool) Who {
	w := Who{Token: token, Remote: remote(c)}
	if uid, ok := userOf(c); ok {
		number := strconv.FormatUint(uint64(uid), 10)
		w.How, w.By = Socket, "uid "+number
		if u, err := user.LookupId(number); err == nil && u.Username != "" {
			w.By = Name(u.Username)
		}
		return w
	}
	if w.By = Name(claimed); w.By != "" {
		w.How = Claimed
	}
	return w
}

func remote(c net.Conn) string {
	if c.LocalAddr().Network() == "unix" {
		return "unix"
	}
	at := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(at); err == nil {
		return host
	}
	return at
}
