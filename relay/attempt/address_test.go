package attempt

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// Three intents: the URL has a public name, the URL names a private place, and the private
// place's target has allow_addresses for the very address.
func TestAddressRules(t *testing.T) {
	public := newAddressRules("crm.example.com", nil)
	inward := newAddressRules("crm.internal", nil)
	f := func(address string, wantPublic, wantInward bool) {
		t.Helper()
		addr := netip.MustParseAddr(address)
		for _, c := range []struct {
			name  string
			rules *addressRules
			want  bool
		}{
			{"public", public, wantPublic},
			{"inward", inward, wantInward},
			{"allowed", newAddressRules("crm.example.com",
				[]netip.Prefix{netip.PrefixFrom(addr.WithZone(""), addr.BitLen())}), true},
		} {
			err := c.rules.check(addr)
			if (err == nil) != c.want {
				t.Errorf("%s to a %s target: %v, want permitted %v", address, c.name, err, c.want)
			}
			if refused, ok := errors.AsType[*errAddress](err); err != nil &&
				(!ok || refused.what == "" || !strings.Contains(err.Error(), "allow_addresses")) {
				t.Errorf("%s: an error that does not help: %v", address, err)
			}
		}
	}
	// public, also in the disguises
	f("1.1.1.1", true, true)
	f("8.8.8.8", true, true)
	f("172.15.255.255", true, true)
	f("172.32.0.0", true, true)
	f("100.63.255.255", true, true)
	f("100.128.0.0", true, true)
	f("192.0.1.0", true, true)
	f("198.17.255.255", true, true)
	f("198.20.0.0", true, true)
	f("223.255.255.255", true, true)
	f("2606:4700:4700::1111", true, true)
	f("2600:1f18::1", true, true)
	f("::ffff:1.1.1.1", true, true)
	f("64:ff9b::101:101", true, true)
	f("2002:101:101::1", true, true)
	f("2606:4700::5efe:101:101", true, true)
	// private: only inward
	f("127.0.0.1", false, true)
	f("127.255.255.254", false, true)
	f("10.0.0.1", false, true)
	f("172.16.0.1", false, true)
	f("172.31.255.255", false, true)
	f("192.168.1.1", false, true)
	f("100.64.0.1", false, true)
	f("100.127.255.255", false, true)
	f("::1", false, true)
	f("fc00::1", false, true)
	f("fd12:3456::1", false, true)
	f("::ffff:127.0.0.1", false, true)
	f("::ffff:192.168.0.1", false, true)
	f("64:ff9b::7f00:1", false, true)
	f("64:ff9b::a00:1", false, true)
	f("2002:7f00:1::1", false, true)
	f("2002:c0a8:101::1", false, true)
	f("2606:4700::5efe:a00:1", false, true)
	f("2606:4700::200:5efe:7f00:1", false, true)
	// never: metadata
	f("169.254.169.254", false, false)
	f("169.254.170.2", false, false)
	f("169.254.0.1", false, false)
	f("100.100.100.200", false, false)
	f("168.63.129.16", false, false)
	f("192.0.0.192", false, false)
	f("fd00:ec2::254", false, false)
	f("fd00:ec2::23", false, false)
	f("fd20:ce::254", false, false)
	f("fd00:c1::a9fe:a9fe", false, false)
	f("::ffff:169.254.169.254", false, false)
	f("64:ff9b::a9fe:a9fe", false, false)
	f("64:ff9b:1::a9fe:a9fe", false, false)
	f("2002:a9fe:a9fe::1", false, false)
	f("fc00::5efe:a9fe:a9fe", false, false)
	f("2001:0:1:2::5601:5601", false, false)
	f("::ffff:100.100.100.200", false, false)
	// never: link-local, unspecified, multicast, reserved, documentation
	f("fe80::1", false, false)
	f("fe80::1%eth0", false, false)
	f("fec0::1", false, false)
	f("0.0.0.0", false, false)
	f("0.1.2.3", false, false)
	f("::", false, false)
	f("::7f00:1", false, false)
	f("224.0.0.1", false, false)
	f("239.255.255.255", false, false)
	f("ff02::1", false, false)
	f("240.0.0.1", false, false)
	f("255.255.255.255", false, false)
	f("192.0.2.1", false, false)
	f("198.51.100.1", false, false)
	f("203.0.113.1", false, false)
	f("198.18.0.1", false, false)
	f("192.88.99.1", false, false)
	f("2001:db8::1", false, false)
	f("3fff::1", false, false)
	f("100::1", false, false)
	f("4000::1", false, false)
	f("5f00::1", false, false)
}

func TestAllowAddressesPrefixes(t *testing.T) {
	f := func(allow, address string, want bool) {
		t.Helper()
		a := newAddressRules("crm.example.com", []netip.Prefix{netip.MustParsePrefix(allow)})
		if err := a.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("allow %s, address %s: %v, want permitted %v", allow, address, err, want)
		}
	}
	f("10.0.0.0/8", "10.9.9.9", true)
	f("10.0.0.0/8", "::ffff:10.9.9.9", true)
	f("10.0.0.0/8", "64:ff9b::a09:909", true)
	f("10.0.0.0/8", "11.0.0.1", true)
	f("10.0.0.0/8", "192.168.0.1", false)
	f("10.1.2.3/8", "10.9.9.9", true) // host bits set
	f("::ffff:10.0.0.0/104", "10.9.9.9", true)
	f("::/0", "fe80::1", true)
	f("::/0", "10.0.0.1", false)
	f("0.0.0.0/0", "169.254.169.254", true)
	f("0.0.0.0/0", "fe80::1", false)
	f("169.254.169.254/32", "169.254.169.253", false)
	f("fe80::/10", "fe80::1%eth0", true)
}

func TestNamesPrivatePlace(t *testing.T) {
	f := func(host string, want bool) {
		t.Helper()
		if got := newAddressRules(host, nil).inward; got != want {
			t.Errorf("%q names a private place: %v, want %v", host, got, want)
		}
	}
	f("localhost", true)
	f("LOCALHOST", true)
	f("localhost.", true)
	f("app.localhost", true)
	f("crm", true)
	f("crm.", true)
	f("printer.local", true)
	f("Metadata.Google.Internal", true) // its address is never, all the same
	f("crm.default.svc", true)
	f("crm.default.svc.cluster.local.", true)
	f("127.0.0.1", true)
	f("10.1.2.3", true)
	f("::1", true)
	f("fd00::1", true)
	f("::ffff:10.0.0.1", true)
	f("64:ff9b::a00:1", true)
	f("169.254.169.254", false)
	f("fe80::1%eth0", false)
	f("1.1.1.1", false)
	f("0.0.0.0", false)
	f("crm.example.com", false)
	f("local.example.com", false)
	f("evil-local", true)
	f("evillocalhost.com", false)
	f("localhost.example.com", false)
	f("internal.com", false)
}

func TestControlRefusesNonsense(t *testing.T) {
	if err := newAddressRules("crm", nil).control("tcp", "crm:80", nil); err == nil {
		t.Error("an address that is none was permitted")
	}
}

// A name that was public when somebody looked and is inward when we dial: nothing is
// connected, not even at an address that listens.
func TestRebinding(t *testing.T) {
	victim := newReceiver(t, says(answer200, false))
	answers := []string{
		"127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "0.0.0.0", "::",
		"64:ff9b::7f00:1", "10.0.0.1",
	}
	var lookups atomic.Int64
	o := options(t, "http://crm.example.com:"+portOf(victim)+"/")
	o.Resolver = resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		n := lookups.Add(1) - 1
		return []netip.Addr{netip.MustParseAddr(answers[int(n)%len(answers)])}, nil
	})
	c := newTestClient(t, o)
	for _, a := range answers {
		got := checked(t, c.Do(context.Background(), request()))
		wantKind(t, got, Connect, "allow_addresses")
		if got.Remote != "" {
			t.Errorf("connected to %s for %s", got.Remote, a)
		}
	}
	// all of them at once, where addresses are tried beside each other
	o.Resolver = resolvesTo(answers...)
	wantKind(t, attemptAt(t, o), Connect, "address rules refuse 127.0.0.1 (loopback, and the URL")
	if n := victim.conns.Load(); n != 0 {
		t.Errorf("%d connections made to a place the rules refuse", n)
	}
	if n := int(lookups.Load()); n != len(answers) {
		t.Errorf("%d lookups for %d attempts", n, len(answers))
	}
	// the same, permitted
	o.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	o.Resolver = resolvesTo("127.0.0.1")
	wantKind(t, attemptAt(t, o), Success, "")
}

// A blocked address names its rule even when the name is as long as names get.
func TestBlockedErrorHasRoom(t *testing.T) {
	label := strings.Repeat("a", 60)
	o := options(t, "http://"+label+"."+label+"."+label+"."+label+".com/")
	o.Resolver = resolvesTo("169.254.169.254")
	wantKind(t, attemptAt(t, o), Connect,
		"(link-local and cloud metadata): name it in allow_addresses to permit it")
}
