//go:build unix

package main

import (
	"errors"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUmask makes what the process creates its user's own: the spool holds other people's messages.
func setUmask() { unix.Umask(0o077) }

// ignoreTerminal lets a server in the background go on when it writes to its terminal: with
// stty tostop its first line would stop it, with all that it serves.
func ignoreTerminal() { signal.Ignore(unix.SIGTTOU) }

// notifyTerminal tells when the terminal has another size, and when the process goes on after it
// was stopped, until the function returned is called.
func notifyTerminal(resized, continued chan<- os.Signal) (stop func()) {
	signal.Notify(resized, unix.SIGWINCH)
	signal.Notify(continued, unix.SIGCONT)
	return func() {
		signal.Stop(resized)
		signal.Stop(continued)
	}
}

// suspend stops the process and those beside it, as Ctrl-Z does, until it is told to go on. Where
// nobody could tell it (no shell with jobs), the system does not stop it.
func suspend() {
	const unstopped = 300 * time.Millisecond
	goOn := make(chan os.Signal, 1)
	signal.Notify(goOn, unix.SIGCONT)
	defer signal.Stop(goOn)
	if unix.Kill(0, unix.SIGTSTP) != nil {
		return
	}
	select {
	case <-goOn:
	case <-time.After(unstopped):
	}
}

// addressLimit is how many bytes of addresses the process may have; 0: as many as there are.
func addressLimit() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &l); err != nil || uint64(l.Cur) >= math.MaxInt64 {
		return 0
	}
	return uint64(l.Cur)
}

// writable reports whether files can be made in an existing directory, without making one.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// foreign reports that a directory belongs to another user than this process's, and to whom.
func foreign(info os.FileInfo) (owner int, is bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), int(st.Uid) != os.Geteuid()
}

// bindable tries to bind a TCP address as package net does before it listens. It never listens:
// nobody can connect meanwhile, and a relay that starts at this moment is not kept from it.
func bindable(addr *net.TCPAddr) error {
	family, where := socketAddress(addr)
	err := bindOnce(family, where)
	everywhere := addr.IP == nil || addr.IP.IsUnspecified()
	if everywhere && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		return bindOnce(unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port}) // there is no IPv6
	}
	return err
}

// socketAddress is what package net binds: all addresses of a machine are those of IPv6, which IPv4
// ones are mapped into.
func socketAddress(addr *net.TCPAddr) (int, unix.Sockaddr) {
	everywhere := addr.IP == nil || addr.IP.IsUnspecified()
	if ip := addr.IP.To4(); ip != nil && !everywhere {
		return unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	to := &unix.SockaddrInet6{Port: addr.Port}
	if !everywhere {
		to.Addr = [16]byte(addr.IP)
	}
	if n, err := strconv.ParseUint(addr.Zone, 10, 32); err == nil {
		to.ZoneId = uint32(n)
	} else if link, err := net.InterfaceByName(addr.Zone); err == nil {
		to.ZoneId = uint32(link.Index)
	}
	return unix.AF_INET6, to
}

func bindOnce(family int, where unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if six, ok := where.(*unix.SockaddrInet6); err == nil && ok && six.Addr == [16]byte{} {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err != nil {
		return err
	}
	return unix.Bind(fd, where)
}
