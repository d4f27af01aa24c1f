package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// socketPathBytesMax is what a Linux socket address holds, without the closing zero.
const socketPathBytesMax = 107

// ListenNetwork splits a listen address of the config into what net.Listen wants: "unix" and a
// path, or "tcp" and host:port.
func ListenNetwork(address string) (network, where string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// checkListen wants "unix:/path" or "host:port", the host empty (all interfaces), an IP or a name,
// and the port a number, 0 for one that the system chooses.
func checkListen(address string) problem {
	const hint = `write "127.0.0.1:8470", ":8470" for all interfaces, or "unix:/path"`
	network, where := ListenNetwork(address)
	if network == "unix" {
		if !filepath.IsAbs(where) || hasControl(where) {
			return problem{"a unix socket needs an absolute path", hint}
		}
		if len(where) > socketPathBytesMax {
			return problem{fmt.Sprintf("the path of a unix socket is %d bytes at most, this is %d",
				socketPathBytesMax, len(where)), "use a shorter directory"}
		}
		return problem{}
	}
	host, port, err := net.SplitHostPort(where)
	if err != nil {
		return problem{fmt.Sprintf("%q is not host:port", address), hint}
	}
	if _, ok := parsePort(port); !ok {
		return problem{fmt.Sprintf("%q is not a port from 0 to 65535", port), hint}
	}
	if !isHost(host) && host != "" {
		return problem{fmt.Sprintf("%q is neither an IP address nor a host name", host), hint}
	}
	return problem{}
}

// parsePort reads a number from 0 to 65535, without a sign.
func parsePort(port string) (int, bool) {
	n, err := strconv.ParseUint(port, 10, 16)
	return int(n), err == nil
}

// isHost accepts IP addresses, with or without a zone, and names of letters, digits, . - and _.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !isBare(r) && r != '.'
	})
}

// checkHostName wants the name of a host as a browser writes it, without a port. A name for all is
// none: it would let in every page that rebinds its name to this machine (DNS rebinding), and who
// has the token needs none.
func checkHostName(s string) problem {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	name, port, _ := strings.Cut(s, ":")
	_, withPort := parsePort(port)
	switch {
	case err == nil:
		return problem{fmt.Sprintf("%q is an address", s), "addresses are served without this list"}
	case strings.Contains(s, "*"):
		return problem{fmt.Sprintf("%q is not a host name", s),
			"there is none for all: a request with the admin token may name any host"}
	case withPort && isHostName(name):
		return problem{fmt.Sprintf("%q is not a host name", s),
			fmt.Sprintf("write %q: the port does not matter", name)}
	case !isHostName(s):
		return problem{fmt.Sprintf("%q is not a host name", s),
			`write "hookspool" or "hookspool.example.com", without a scheme`}
	}
	return problem{}
}

// hostNameBytesMax is that of RFC 1035, with the dot at the end.
const hostNameBytesMax = 254

func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return !isBare(r) }) {
			return false
		}
	}
	return len(s) <= hostNameBytesMax
}

// isLocal reports whether only this machine can reach a valid listen address.
func isLocal(address string) bool {
	network, where := ListenNetwork(address)
	if network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(where)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// collide reports whether two valid listen addresses cannot be bound together: the same path, or
// the same port on the same host or on all of them. Port 0 never collides.
func collide(a, b string) bool {
	networkA, whereA := ListenNetwork(a)
	networkB, whereB := ListenNetwork(b)
	if networkA != networkB {
		return false
	}
	if networkA == "unix" {
		return filepath.Clean(whereA) == filepath.Clean(whereB)
	}
	hostA, portA, _ := net.SplitHostPort(whereA)
	hostB, portB, _ := net.SplitHostPort(whereB)
	numberA, _ := parsePort(portA)
	numberB, _ := parsePort(portB)
	if numberA != numberB || numberA == 0 {
		return false
	}
	hostA, hostB = plainHost(hostA), plainHost(hostB)
	return hostA == hostB || hostA == "" || hostB == ""
}

// plainHost writes a host in one way: "" for all interfaces, IP addresses in their short form.
func plainHost(host string) string {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return strings.ToLower(host)
	case ip.IsUnspecified():
		return ""
	}
	return ip.Unmap().String()
}

// checkSMTP wants host:port and does not quote it: it may come from a secret.
func checkSMTP(address string) problem {
	const hint = `write "host:587" for starttls, "host:465" for tls, without a scheme`
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isHost(host) {
		return problem{"is not host:port", hint}
	}
	if n, ok := parsePort(port); !ok || n == 0 {
		return problem{"has no port from 1 to 65535", hint}
	}
	return problem{}
}

// parsePrefix reads "10.0.0.0/8", or a single address as a prefix of its full length.
func parsePrefix(text string) (netip.Prefix, problem) {
	const hint = `write "10.0.0.0/8", "fd00::/8" or a single address`
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), problem{}
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, problem{fmt.Sprintf("%q is not a CIDR", text), hint}
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, problem{fmt.Sprintf("%q is an IPv4 prefix in IPv6 clothes", text),
			"write it as IPv4"}
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, problem{
			fmt.Sprintf("%q has bits set after the /%d", text, prefix.Bits()),
			fmt.Sprintf("write %q", prefix.Masked())}
	}
	return prefix, problem{}
}
