package attempt

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// This file tells what this machine lacks from what the target does. An attempt that ends for want
// of a descriptor, memory or a local port says nothing about the target, so it is Withheld and
// nobody is charged for it. A local rule that forbids a connection (EACCES, EPERM: a firewall, a
// security module) is no want: it does not pass by waiting, and a target that is never reached has
// to become Defective, or nobody would be told. It stays Connect, like our own address rules.

// wantDoubt is how long after a want of ours a failed lookup is not believed. The resolver reads
// resolv.conf, hosts and nsswitch.conf on its own terms, looks at the first at most every 5 s, and
// takes one that it cannot open for one that is not there.
const wantDoubt = 10 * time.Second

// resolvConf names the servers that the pure Go resolver asks.
const resolvConf = "/etc/resolv.conf"

// wantError is a failure for want of something of ours.
type wantError struct {
	want Want
	what string
	err  error
}

// Error names what is wanting, then how that showed.
func (e *wantError) Error() string { return e.what + ": " + reason(e.err) }

// Unwrap returns the failure itself.
func (e *wantError) Unwrap() error { return e.err }

// wants are the errors of the system that mean a want of ours wherever they come up, in words.
func wants() [4]wantError {
	return [...]wantError{
		{WantRoom, noDescriptor, syscall.EMFILE},
		{WantRoom, "this machine has no file descriptor left", syscall.ENFILE},
		{WantRoom, "this machine has no memory left", syscall.ENOMEM},
		{WantRoom, "this machine has no memory left for a socket", syscall.ENOBUFS},
	}
}

// asWant returns what of err is a want of ours, else nil.
func asWant(err error) *wantError {
	if want, ok := errors.AsType[*wantError](err); ok {
		return want
	}
	// The resolver keeps nothing but the text of an error.
	dns, isDNS := errors.AsType[*net.DNSError](err)
	for _, w := range wants() {
		if errors.Is(err, w.err) || isDNS && strings.HasSuffix(dns.Err, w.err.Error()) {
			return &wantError{w.want, w.what, err}
		}
	}
	return nil
}

// asDialWant is asWant for the making of a connection, where more errors mean a want: a poller that
// may watch no more descriptors, and a kernel without a free port. EADDRNOTAVAIL and EADDRINUSE are
// for lacksPort to judge.
func asDialWant(err error) *wantError {
	if want := asWant(err); want != nil {
		return want
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return &wantError{WantRoom,
			"this machine may watch no more sockets (fs.epoll.max_user_watches)", err}
	case errors.Is(err, syscall.EAGAIN):
		return &wantError{WantPort, noPort, err}
	}
	return nil
}

const noPort = "this machine has no local port left for this address"

// descriptorsKept is how many descriptors attempts leave to the spool, which stops for good where
// it can open no file, and to whoever asks the relay how it is: an eighth, up to as many.
const descriptorsKept = 64

// keepSome makes a net.Dialer.Control that asks rules (nil: none) and then leaves the last of limit
// descriptors alone. The kernel hands out the lowest number that is free, so the number of a socket
// tells how many are in use.
func keepSome(rules dialControl, limit uint64) dialControl {
	kept := min(limit/8, descriptorsKept)
	return func(network, address string, raw syscall.RawConn) error {
		if rules != nil {
			if err := rules(network, address, raw); err != nil {
				return err
			}
		}
		number := uint64(0)
		if err := raw.Control(func(fd uintptr) { number = uint64(fd) }); err != nil {
			return err
		}
		if limit > 0 && number >= limit-kept {
			return &wantError{WantRoom, noDescriptor, errKept}
		}
		return nil
	}
}

// dialControl is the type of net.Dialer.Control.
type dialControl = func(network, address string, raw syscall.RawConn) error

// errKept is where EMFILE would come a little later.
var errKept = errors.New("the last ones are kept for the spool")

const noDescriptor = "hookspool has no file descriptor left (ulimit -n)"

// dialOne connects to one address.
func (d *dialer) dialOne(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	nc, err := d.tcp.DialContext(ctx, "tcp", address.String())
	if err == nil {
		return nc, nil
	}
	if want := asDialWant(err); want != nil {
		return nil, want
	}
	if d.lacksPort(ctx, address, err) {
		return nil, &wantError{WantPort, noPort, err}
	}
	return nil, err
}

// lacksPort reports that a connection failed because every local port is taken. The kernel says the
// same where this machine has no address of the target's family, which does not pass; a connected
// UDP socket, for which nothing is sent, tells the two apart.
func (d *dialer) lacksPort(ctx context.Context, address netip.AddrPort, err error) bool {
	if !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	probe := net.Dialer{Control: d.tcp.Control}
	nc, err := probe.DialContext(ctx, "udp", address.String())
	if err != nil {
		return asDialWant(err) != nil
	}
	nc.Close()
	return true
}

// resolving is our own view of the sockets of the pure Go resolver.
type resolving struct {
	net.Resolver
	wantedAt atomic.Int64 // when it last met a want, in unix nanoseconds; 0: never
}

// newResolving makes a resolver that remembers a want.
func newResolving() *resolving {
	r := new(resolving)
	r.PreferGo = true
	d := net.Dialer{Control: keepSome(nil, DescriptorsMax())}
	r.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := d.DialContext(ctx, network, address)
		if err != nil && asDialWant(err) != nil {
			r.wantedAt.Store(time.Now().UnixNano())
		}
		return nc, err
	}
	return r
}

// LookupNetIP returns a *wantError for a lookup that failed, or may have, for a want of ours.
func (r *resolving) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	found, err := r.Resolver.LookupNetIP(ctx, network, host)
	if err == nil {
		return found, nil
	}
	if want := asWant(err); want != nil {
		return nil, want
	}
	if time.Since(time.Unix(0, r.wantedAt.Load())) < wantDoubt {
		return nil, &wantError{WantRoom, "the resolver was short of descriptors, memory or ports", err}
	}
	if isBlind(resolvConf, err) {
		return nil, &wantError{WantRoom, "the resolver could not read " + resolvConf, err}
	}
	return nil, err
}

// isBlind reports a lookup that went without resolv.conf although there is one: it cannot be opened
// for want of a descriptor, or the resolver asked a server on this machine, which it does when it
// could not read the file, and which the file does not name.
func isBlind(path string, err error) bool {
	text, readErr := os.ReadFile(path)
	if readErr != nil {
		return asWant(readErr) != nil
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok || dns.Server != "127.0.0.1:53" && dns.Server != "[::1]:53" {
		return false
	}
	host, _, _ := net.SplitHostPort(dns.Server)
	named := false
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if f[1] == host {
				return false
			}
			named = true
		}
	}
	return named
}
