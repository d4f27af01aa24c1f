package attempt

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// The address rules (CONTRACT §5). They judge the address that is about to be dialled, after
// every lookup, so that no answer of a name server, early or late, gets around them.
//
//	never    cloud metadata, link-local, reserved, multicast, unspecified: only when
//	         allow_addresses holds them
//	private  loopback, RFC 1918, carrier-grade NAT, unique local: when the URL names a private
//	         place, or allow_addresses holds them
//	public   everything else
//
// An IPv6 address that carries an IPv4 one is judged as the IPv4 one too: mapped (RFC 4291),
// NAT64 (RFC 6052), 6to4 (RFC 3056) and ISATAP (RFC 5214). Teredo hides its IPv4 address
// from view, and is never.

// addressRange is a row of the tables below.
type addressRange struct {
	prefix netip.Prefix
	what   string
}

// addressRules are the rules of one target. Read-only, safe for concurrent use.
type addressRules struct {
	never   []addressRange
	private []addressRange
	allow   []netip.Prefix
	// inward: the URL itself names a private place.
	inward bool
}

// newAddressRules makes the rules for a URL's host, without port and brackets.
func newAddressRules(host string, allow []netip.Prefix) *addressRules {
	a := &addressRules{never: neverRanges(), private: privateRanges()}
	for _, p := range allow {
		// A mapped prefix, ::ffff:10.0.0.0/104, means the IPv4 one.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		a.allow = append(a.allow, p.Masked())
	}
	a.inward = a.namesPrivatePlace(host)
	return a
}

// neverRanges come from the IANA special-purpose registries and the clouds' documentation.
// Order matters for the words only: the first that holds an address names it.
func neverRanges() []addressRange {
	return ranges(
		"169.254.0.0/16", "link-local and cloud metadata",
		"100.100.100.200/32", "Alibaba Cloud metadata",
		"168.63.129.16/32", "Azure wire server",
		"192.0.0.0/24", "reserved, and Oracle Cloud metadata",
		"fd00:ec2::/32", "AWS metadata",
		"fd20:ce::254/128", "Google Cloud metadata",
		"fd00:c1::a9fe:a9fe/128", "Oracle Cloud metadata",
		"fd00:42::42/128", "Scaleway metadata",
		"0.0.0.0/8", "unspecified",
		"192.0.2.0/24", "reserved for documentation",
		"198.51.100.0/24", "reserved for documentation",
		"203.0.113.0/24", "reserved for documentation",
		"198.18.0.0/15", "reserved for benchmarks",
		"192.88.99.0/24", "reserved, once 6to4 relays",
		"224.0.0.0/4", "multicast",
		"240.0.0.0/4", "reserved",
		"fe80::/10", "link-local",
		"fec0::/10", "reserved, once site-local",
		"ff00::/8", "multicast",
		"64:ff9b:1::/48", "local NAT64",
		"100::/64", "discard-only",
		"2001::/32", "Teredo",
		"2001:2::/48", "reserved for benchmarks",
		"2001:10::/28", "reserved for ORCHID",
		"2001:20::/28", "reserved for ORCHID",
		"2001:db8::/32", "reserved for documentation",
		"3fff::/20", "reserved for documentation",
		"5f00::/16", "segment routing",
	)
}

// privateRanges are reachable from inside only.
func privateRanges() []addressRange {
	return ranges(
		"127.0.0.0/8", "loopback",
		"10.0.0.0/8", "private",
		"172.16.0.0/12", "private",
		"192.168.0.0/16", "private",
		"100.64.0.0/10", "carrier-grade NAT",
		"::1/128", "loopback",
		"fc00::/7", "unique local",
	)
}

// ranges reads pairs of prefix and words.
func ranges(pairs ...string) []addressRange {
	var list []addressRange
	for i := 0; i < len(pairs); i += 2 {
		// #nosec G602 -- the two tables above are all there is, and a test reads them
		list = append(list, addressRange{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return list
}

// errAddress is a refusal by the rules.
type errAddress struct {
	addr netip.Addr
	what string
}

// Error names the rule and the key that lifts it.
func (e *errAddress) Error() string {
	return fmt.Sprintf("address rules refuse %s (%s): name it in allow_addresses to permit it",
		e.addr, e.what)
}

// control is for net.Dialer.Control: the last look before a socket connects.
func (a *addressRules) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("cannot judge address: %w", err)
	}
	return a.check(ap.Addr())
}

// check returns nil when addr may be dialled, else an *errAddress.
func (a *addressRules) check(addr netip.Addr) error {
	// Prefix.Contains is false for every address with a zone.
	addr = addr.WithZone("").Unmap()
	inner, hasInner := embedded(addr)
	if a.allows(addr) || hasInner && a.allows(inner) {
		return nil
	}
	if err := a.judge(addr); err != nil {
		return err
	}
	if hasInner {
		return a.judge(inner)
	}
	return nil
}

// judge applies the two tables to one address as it stands.
func (a *addressRules) judge(addr netip.Addr) error {
	if what, ok := find(a.never, addr); ok {
		return &errAddress{addr, what}
	}
	if what, ok := find(a.private, addr); ok {
		if a.inward {
			return nil
		}
		return &errAddress{addr, what + ", and the URL does not name a private place"}
	}
	if addr.Is6() && !isGlobalIPv6(addr) {
		return &errAddress{addr, "reserved"}
	}
	return nil
}

// allows reports whether allow_addresses holds addr.
func (a *addressRules) allows(addr netip.Addr) bool {
	for _, p := range a.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// find returns the words of the first range that holds addr.
func find(list []addressRange, addr netip.Addr) (string, bool) {
	for _, r := range list {
		if r.prefix.Contains(addr) {
			return r.what, true
		}
	}
	return "", false
}

// isGlobalIPv6 is true in 2000::/3, all that is given out as global unicast, and in NAT64's
// 64:ff9b::/96, whose inner address is judged by itself. The rest of IPv6 is unassigned or
// obsolete, like ::/96.
func isGlobalIPv6(addr netip.Addr) bool {
	b := addr.As16()
	return b[0]>>5 == 1 || isNAT64(b)
}

// isNAT64 reports the well-known prefix 64:ff9b::/96.
func isNAT64(b [16]byte) bool {
	return [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}
}

// embedded returns the IPv4 address that an IPv6 one carries in the clear.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, 2002::/16
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case isNAT64(b), isISATAP(b):
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return netip.Addr{}, false
}

// isISATAP reports the interface identifier ::0:5efe:a.b.c.d or ::200:5efe:a.b.c.d.
func isISATAP(b [16]byte) bool {
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// namesPrivatePlace reports whether the operator, by the host in the URL, asked for a private
// place: a private address, localhost, a single label (a container or a service), or one of
// the names that public DNS never holds.
func (a *addressRules) namesPrivatePlace(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.WithZone("").Unmap()
		if inner, ok := embedded(addr); ok {
			addr = inner
		}
		_, private := find(a.private, addr)
		return private
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range []string{
		".localhost", ".local", ".internal", ".svc", ".cluster.local",
	} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// splitURL returns the host to resolve and the port to dial.
func splitURL(u *url.URL) (host string, port uint16, err error) {
	if u == nil {
		return "", 0, errors.New("cannot use no URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", 0, fmt.Errorf("cannot use URL scheme %q: it must be http or https", u.Scheme)
	case u.Opaque != "" || u.Hostname() == "":
		return "", 0, errors.New("cannot use URL without a host")
	}
	host = u.Hostname()
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f {
			return "", 0, fmt.Errorf("cannot use host %q: write it in ASCII (xn--…)", host)
		}
	}
	port = 80
	if u.Scheme == "https" {
		port = 443
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("cannot use port %q: it must be 1 to 65535", text)
		}
		port = uint16(n)
	}
	return host, port, nil
}

// hostShownMax is how many bytes of a host name an error shows; a legal name may have 253.
const hostShownMax = 80

// shorten makes a host name fit into an error.
func shorten(host string) string { return host[:min(len(host), hostShownMax)] }
