//go:build unix

package attempt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// An address that swallows packets delays the next one by raceDelay, not by the timeout; and
// nothing of the loser stays (TestMain looks).
func TestRacePassesSilentAddress(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, says(answer200, false))
	full := fullListener(t)
	o := options(t, "http://crm:"+portOf(r)+"/")
	c := newTestClient(t, o)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	start := time.Now()
	nc, err := wireOf(c).dialer.race(ctx, []netip.AddrPort{
		full, netip.MustParseAddrPort(r.listener.Addr().String()),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if took := time.Since(start); took < raceDelay || took > testTimeout/2 {
		t.Errorf("took %v", took)
	}
	if nc.RemoteAddr().String() != r.listener.Addr().String() {
		t.Errorf("connected to %v", nc.RemoteAddr())
	}
}

// A dial that hangs is a Timeout, and the abort of it is Aborted, with one address or two.
func TestSilentAddress(t *testing.T) {
	t.Parallel()
	full := fullListener(t)
	f := func(addrs ...string) {
		t.Helper()
		o := options(t, fmt.Sprintf("http://crm:%d/", full.Port()))
		o.Resolver, o.Timeout = resolvesTo(addrs...), 500*time.Millisecond
		wantKind(t, attemptAt(t, o), Timeout, "cannot connect to crm: not done within 500ms")
		o.Timeout = testTimeout
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(50*time.Millisecond, cancel)
		wantKind(t, newTestClient(t, o).Do(ctx, request()), Aborted, "")
	}
	f("127.0.0.1")
	f("127.0.0.1", "127.0.0.1")
}

// fullListener is an address where connect neither succeeds nor fails: a listener that
// accepts nobody and whose backlog is full, so that the kernel drops further SYNs.
func fullListener(t *testing.T) netip.AddrPort {
	t.Helper()
	address := listenFull(t)
	for range 64 {
		nc, err := net.DialTimeout("tcp", address.String(), time.Second)
		if err != nil {
			return address
		}
		t.Cleanup(func() { nc.Close() })
	}
	t.Skip("this kernel's listener never fills")
	return netip.AddrPort{}
}

// listenFull listens with a backlog of 0.
func listenFull(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		uint16(name.(*syscall.SockaddrInet4).Port))
}
