package main

import (
	"net"
	"strconv"
	"testing"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/testenv/port"
)

// TestTryListenAgreesWithListen holds tryListen against package net, which serve listens with: for
// every way to write an address, free and taken.
func TestTryListenAgreesWithListen(t *testing.T) {
	t.Parallel()
	taken, err := port.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for _, host := range []string{"", "127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "[::]", "[::1]",
		"[::ffff:127.0.0.1]", "192.0.2.1", "[2001:db8::1]", "[fe80::1%nowhere]"} {
		for _, port := range []string{"0", port} {
			address := host + ":" + port
			got := tryListen(address)
			ln, want := net.Listen("tcp", address)
			if want == nil {
				want = ln.Close()
			}
			if (got == nil) != (want == nil) || want != nil && got.Error() != lastCause(want).Error() {
				t.Errorf("%s: %v, but listening says %v", address, got, want)
			}
		}
	}
}

// TestListens matches addresses of a config with what a relay says it has bound.
func TestListens(t *testing.T) {
	t.Parallel()
	st := &admin.Status{Admin: "127.0.0.1:8471", Listen: []string{"[::]:8470", "unix:/run/a.sock"}}
	f := func(address string, want bool) {
		t.Helper()
		if got := listens(st, address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
	f(":8470", true)
	f("127.0.0.1:8471", true)
	f("unix:/run/a.sock", true)
	f("127.0.0.1:8472", false)
	f("unix:/run/b.sock", false)
}
