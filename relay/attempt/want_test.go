//go:build unix

package attempt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// failingDials makes a client whose sockets fail before they connect, as fail says of a network
// ("tcp4", "udp4") and an address.
func failingDials(t *testing.T, o Options, fail func(network, address string) error) *Client {
	t.Helper()
	c := newTestClient(t, o)
	rules := wireOf(c).dialer.tcp.Control
	wireOf(c).dialer.tcp.Control = func(network, address string, raw syscall.RawConn) error {
		if err := fail(network, address); err != nil {
			return os.NewSyscallError("socket", err)
		}
		return rules(network, address, raw)
	}
	return c
}

// What this machine lacks is nobody's failure; what forbids or refuses the connection is one.
func TestWants(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	f := func(errno syscall.Errno, want Kind, words string) {
		t.Helper()
		c := failingDials(t, options(t, r.url()), func(string, string) error { return errno })
		got := checked(t, c.Do(context.Background(), request()))
		wantKind(t, got, want, words)
		if (got.Want != WantNone) != (want == Withheld) ||
			(got.Want == WantPort) != (errno == syscall.EAGAIN) {
			t.Errorf("%v: want %v", errno, got.Want)
		}
	}
	f(syscall.EMFILE, Withheld, "cannot connect to 127.0.0.1: hookspool has no file descriptor left")
	f(syscall.ENFILE, Withheld, "this machine has no file descriptor left")
	f(syscall.ENOMEM, Withheld, "this machine has no memory left")
	f(syscall.ENOBUFS, Withheld, "no memory left for a socket")
	f(syscall.ENOSPC, Withheld, "watch no more sockets")
	f(syscall.EAGAIN, Withheld, "no local port left")
	f(syscall.ECONNREFUSED, Connect, "connection refused")
	f(syscall.ENETUNREACH, Connect, "network is unreachable")
	f(syscall.EHOSTUNREACH, Connect, "no route to host")
	// a firewall's or a security module's: it does not pass by waiting
	f(syscall.EACCES, Connect, "permission denied")
	f(syscall.EPERM, Connect, "operation not permitted")
	// no address of this family: the same error as no port, for every socket
	f(syscall.EADDRNOTAVAIL, Connect, "cannot assign requested address")
	if n := r.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	// no port: other sockets still get one
	c := failingDials(t, options(t, r.url()), func(network, _ string) error {
		if network == "tcp4" {
			return syscall.EADDRNOTAVAIL
		}
		return nil
	})
	wantKind(t, checked(t, c.Do(context.Background(), request())), Withheld, "no local port left")
	// our own rules are the operator's, and a failure by contract
	o := options(t, "http://crm.example.com/")
	o.Resolver = resolvesTo("127.0.0.1")
	wantKind(t, attemptAt(t, o), Connect, "address rules refuse")
}

// One address that we could not try leaves open what the target would have said there.
func TestWantAmongAddresses(t *testing.T) {
	o := options(t, "http://crm.localhost:9/")
	o.Resolver = resolvesTo("127.0.0.1", "127.0.0.2", "127.0.0.3")
	f := func(errno map[string]syscall.Errno, want Kind) {
		t.Helper()
		c := failingDials(t, o, func(_, address string) error { return errno[address] })
		wantKind(t, checked(t, c.Do(context.Background(), request())), want, "127.0.0.")
	}
	const refused, none = syscall.ECONNREFUSED, syscall.EMFILE
	f(map[string]syscall.Errno{"127.0.0.1:9": refused, "127.0.0.2:9": none, "127.0.0.3:9": refused},
		Withheld)
	f(map[string]syscall.Errno{"127.0.0.1:9": none, "127.0.0.2:9": refused, "127.0.0.3:9": refused},
		Withheld)
	f(map[string]syscall.Errno{"127.0.0.1:9": refused, "127.0.0.2:9": refused,
		"127.0.0.3:9": refused}, Connect)
}

// A want while the request is under way, which a kernel may have as well.
func TestWantOnTheWire(t *testing.T) {
	f := &fault{Protocol, "write request",
		&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENOBUFS)}}
	deadline := time.Now().Add(time.Hour)
	got := f.settle(context.Background(), time.Now(), deadline)
	if got.Kind != Withheld || got.Want != WantRoom {
		t.Errorf("outcome %+v", got)
	}
	f = &fault{TLS, "shake hands",
		&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ENOMEM)}}
	if got = f.settle(context.Background(), time.Now(), deadline); got.Kind != Withheld {
		t.Errorf("outcome %+v", got)
	}
	// our own stopping comes first
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got = f.settle(ctx, time.Now(), deadline); got.Kind != Aborted {
		t.Errorf("outcome %+v", got)
	}
}

// The resolver's own sockets and files: it hands on no error but as text, and takes a file that it
// cannot open for one that is not there.
func TestWantOfResolver(t *testing.T) {
	f := func(resolver Resolver, want Kind, words string) {
		t.Helper()
		o := options(t, "http://crm.example.com/")
		o.Resolver = resolver
		wantKind(t, attemptAt(t, o), want, words)
	}
	answers := func(err error) Resolver {
		return resolverFunc(func(context.Context, string) ([]netip.Addr, error) { return nil, err })
	}
	f(answers(&net.DNSError{Err: "dial udp 127.0.0.53:53: socket: too many open files"}), Withheld,
		"cannot resolve crm.example.com: hookspool has no file descriptor left")
	f(answers(&net.DNSError{Err: "dial udp: cannot allocate memory"}), Withheld, "no memory left")
	f(answers(os.NewSyscallError("open", syscall.ENFILE)), Withheld, "no file descriptor left")
	f(answers(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), DNS, "misbehaving")
	// the pure Go resolver itself, which gets no socket
	r := newResolving()
	dial := func(err error) {
		r.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", err)}
		}
	}
	dial(syscall.EMFILE)
	f(r, Withheld, "no file descriptor left")
	dial(syscall.ECONNREFUSED)
	f(r, DNS, "connection refused")
	// what it says soon after it met a want is not believed
	r.wantedAt.Store(time.Now().UnixNano())
	f(r, Withheld, "the resolver was short")
	r.wantedAt.Store(time.Now().Add(-wantDoubt).UnixNano())
	f(r, DNS, "connection refused")
}

// A resolver that could not read resolv.conf asks this machine.
func TestBlindResolver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	local := &net.DNSError{Err: "read: connection refused", Server: "127.0.0.1:53"}
	f := func(text string, err error, want bool) {
		t.Helper()
		if e := os.WriteFile(path, []byte(text), 0o600); e != nil {
			t.Fatal(e)
		}
		if isBlind(path, err) != want {
			t.Errorf("%q, %v: want %v", text, err, want)
		}
	}
	f("search x\nnameserver 10.0.0.2\n", local, true)
	f("nameserver 10.0.0.2\n", fmt.Errorf("wrapped: %w", local), true)
	f("nameserver 10.0.0.2\n", &net.DNSError{Server: "10.0.0.2:53"}, false)
	f("nameserver 10.0.0.2\nnameserver 127.0.0.1\n", local, false)
	f("# nothing\n", local, false)
	f("nameserver 10.0.0.2\n", errors.New("other"), false)
	if isBlind(path+".none", local) {
		t.Error("a file that is not there could not be read")
	}
}

// HTTP/2 alone is said by name. A Go server that offers h2 lets HTTP/1.1 in, so this one offers
// what it had been called before.
func TestHTTP2Only(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(time.Now().Add(time.Hour))
	r := newReceiver(t, func(nc net.Conn) {
		secure := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert},
			NextProtos: []string{"h2-16"}})
		defer secure.Close()
		_ = secure.Handshake()
	})
	o := options(t, r.secureURL())
	o.RootCAs = ca.pool
	wantKind(t, attemptAt(t, o), TLS, "refuses HTTP/1.1 (no application protocol); it may speak HTTP/2")

	// A server whose TLS leaves ALPN alone begins with its SETTINGS.
	r = newReceiver(t, func(nc net.Conn) {
		secure := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer secure.Close()
		_, _ = secure.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		untilClosed(secure)
	})
	o = options(t, r.secureURL())
	o.RootCAs = ca.pool
	wantKind(t, attemptAt(t, o), Protocol, "the answer is HTTP/2, and `http` is")
}
