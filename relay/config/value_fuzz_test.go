package config

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"
)

// FuzzUnits holds sizes and durations to their own text, and durations without days to package time.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"10m", "1.5d12h", "7d", "0s", "-1m", "1d-1h", "9999999d", "106751d24h", "10GiB",
		"1.5KB", "0B", "1", "8EiB", "99999999TiB", ".5d", "1e3s", "0.0000001B", "NaNd", "+1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := parseDuration(text); ok {
			if again, ok := parseDuration(durationText(d)); !ok || again != d {
				t.Fatalf("%q is %d, written %q, which is %d, %v", text, d, durationText(d), again, ok)
			}
			if std, err := time.ParseDuration(text); err == nil && std != d {
				t.Fatalf("%q is %s, to package time %s", text, d, std)
			}
		}
		if n, _, ok := parseSize(text); ok {
			if n < 0 || n > math.MaxInt64/2 {
				t.Fatalf("%q is %d bytes", text, n)
			}
			again, _, ok := parseSize(sizeText(n))
			// Above 2^53 a number in text is not exact.
			if !ok || again != n && n < 1<<53 {
				t.Fatalf("%q is %d, written %q, which is %d, %v", text, n, sizeText(n), again, ok)
			}
		}
	})
}

// FuzzAddresses holds listen addresses and prefixes to packages net and netip: what is said to be
// local is loopback or a socket, and a prefix is what netip reads.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"127.0.0.1:1", ":1", "0.0.0.0:1", "[::1]:1", "localhost:1", "unix:/a", "unix:",
		"[::ffff:127.0.0.1]:1", "[::ffff:0.0.0.0]:1", "127.1:1", "a:1", "10.0.0.0/8", "10.0.0.1", "::1/128",
		"::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.1/8", "LOCALHOST:1", "localhost.evil:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if network, where := ListenNetwork(text); network != "unix" && isLocal(text) {
			host, _, err := net.SplitHostPort(where)
			ip := net.ParseIP(host)
			if err != nil || len(host) != len("localhost") && (ip == nil || !ip.IsLoopback()) {
				t.Fatalf("%q is said to be local", text)
			}
		}
		p, problem := parsePrefix(text)
		if problem.message != "" {
			return
		}
		want, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				t.Fatalf("%q is taken for %s", text, p)
			}
			want = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		if p != want || p != p.Masked() || p.Addr().Is4In6() {
			t.Fatalf("%q is %s, want %s", text, p, want)
		}
	})
}
