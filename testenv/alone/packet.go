//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// The parts of IP that are looked at (RFC 791, RFC 8200), and the protocols with ports.
const (
	ip4HeaderMin = 20
	ip6Header    = 40
	protocolTCP  = 6
	protocolUDP  = 17
	portDNS      = 53
)

// destination says where an IP packet wants to. It is empty for what the kernel itself sends on a
// new device: multicast of IPv6 (neighbours, routers, groups).
func destination(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var to netip.Addr
	var protocol byte
	var rest []byte
	switch header := int(b[0]&15) * 4; {
	case b[0]>>4 == 4 && header >= ip4HeaderMin && len(b) >= header:
		to, protocol, rest = netip.AddrFrom4([4]byte(b[16:20])), b[9], b[header:]
	case b[0]>>4 == 6 && len(b) >= ip6Header:
		to, protocol, rest = netip.AddrFrom16([16]byte(b[24:40])), b[6], b[ip6Header:]
		if to.IsLinkLocalMulticast() {
			return ""
		}
	default:
		return fmt.Sprintf("something that is no IP: % x", b[:min(len(b), 16)])
	}
	if (protocol != protocolTCP && protocol != protocolUDP) || len(rest) < 4 {
		return fmt.Sprintf("%s, protocol %d", to, protocol)
	}
	port := binary.BigEndian.Uint16(rest[2:])
	where := netip.AddrPortFrom(to, port).String()
	if protocol == protocolUDP && port == portDNS && len(rest) > 8+12 {
		return where + ", the name " + question(rest[8+12:])
	}
	return where
}

// question reads the name of a DNS question (RFC 1035 §4.1.2) as far as it goes.
func question(b []byte) string {
	var labels []string
	for len(b) > 0 && b[0] > 0 && int(b[0]) < len(b) {
		n := int(b[0])
		labels = append(labels, string(b[1:1+n]))
		b = b[1+n:]
	}
	return fmt.Sprintf("%q", strings.Join(labels, "."))
}
