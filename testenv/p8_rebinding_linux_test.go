package testenv

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// nameServerAddress is of a loopback address of its own, because resolv.conf knows no port but 53.
const nameServerAddress = "127.77.0.53"

// nameServer answers every lookup of a name with the next of its addresses.
type nameServer struct {
	mu      sync.Mutex // guards below
	answers map[string][]string
	asked   map[string]int // for A
}

// newNameServer starts one, or skips the test where that is not allowed.
func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", nameServerAddress+":53")
	if err != nil {
		SkipLoudly(t, "no name server at %s, so nobody tried DNS rebinding on the real binary (the "+
			"same with an injected resolver is TestRebinding of relay/attempt): %v",
			nameServerAddress, err)
	}
	s := &nameServer{answers: map[string][]string{}, asked: map[string]int{}}
	var running sync.WaitGroup
	running.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := s.answer(b[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return s
}

// answer makes the answer to one question (RFC 1035 §4): no such name, no address of this family, or
// one address with a life of 0 seconds.
func (s *nameServer) answer(question []byte) []byte {
	if len(question) < 12 {
		return nil
	}
	name, at := "", 12
	for at < len(question) && question[at] > 0 {
		n := int(question[at])
		if at+1+n >= len(question) {
			return nil
		}
		name += string(question[at+1:at+1+n]) + "."
		at += 1 + n
	}
	if at+5 > len(question) {
		return nil
	}
	kind := binary.BigEndian.Uint16(question[at+1:])
	out := append([]byte{}, question[:at+5]...)
	binary.BigEndian.PutUint16(out[2:], 0x8180)
	copy(out[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	addr, known := s.next(strings.TrimSuffix(strings.ToLower(name), "."), kind)
	switch {
	case !known:
		out[3] |= 3
	case addr.Is4() && kind == 1, addr.Is6() && kind == 28:
		out[7] = 1
		out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(addr.BitLen()/8))
		out = append(out, addr.AsSlice()...)
	}
	return out
}

// next is the address that a lookup gets; both of its questions get the same.
func (s *nameServer) next(name string, kind uint16) (netip.Addr, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.answers[name]
	if kind == 1 {
		s.asked[name]++
	}
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	return netip.MustParseAddr(list[0]), true
}

func (s *nameServer) set(name string, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = addresses
}

func (s *nameServer) lookups(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// throughResolver starts a relay in a mount namespace whose resolv.conf names our server, or skips.
func throughResolver(t *testing.T, r *Relay) {
	t.Helper()
	file := filepath.Join(r.Dir, "resolv.conf")
	text := "nameserver " + nameServerAddress + "\nsearch invalid.\noptions ndots:1 attempts:1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Through = []string{"unshare", "-m", "sh", "-c",
		`mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}
	try := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf`, file)
	if out, err := try.CombinedOutput(); err != nil {
		SkipLoudly(t, "no mount namespace, so nobody tried DNS rebinding on the real binary: %v %s",
			err, out)
	}
}

// TestP8Rebinding asserts, with the real binary and a name server that changes its mind, that every
// attempt judges the address it is about to dial: a public name that turns to loopback, private,
// metadata or reserved addresses, in whatever clothes, is refused each time and never connected to;
// and that names of private places, permitted targets and odd spellings fare as CONTRACT §5 says.
func TestP8Rebinding(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	j := NewJourney(t)
	throughResolver(t, j.Relay)
	_, port, err := net.SplitHostPort(j.RX.Address())
	if err != nil {
		t.Fatal(err)
	}
	at := func(host, name string) string { return "http://" + host + ":" + port + "/" + name }
	j.Config.Target("evil", at("hook.evil.example", "evil"), "timeout", "1m")
	j.Config.Target("inside", at("crm.internal", "inside"), "timeout", "1m")
	j.Config.Target("single", at("crm", "single"), "timeout", "1m")
	j.Config.Target("permitted", at("hook.partner.example", "permitted"), "timeout", "1m",
		"allow_addresses", []string{"127.0.0.0/8"})
	odd := []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.0.0.1", "127.0.0.01"}
	for i, host := range odd {
		j.Config.Target(fmt.Sprint("odd", i), at(host, "odd"), "timeout", "1m")
	}
	// A connection that is kept has been judged; this one is not kept, so that it is looked up again.
	j.RX.Always("inside", Raw(200, "HTTP/1.1 200 OK\r\nConnection: close\r\n"+
		"Content-Length: 0\r\n\r\n"))
	dns.set("crm.internal", "127.0.0.1")
	dns.set("crm.invalid", "127.0.0.1")
	dns.set("hook.partner.example", "127.0.0.1")
	j.Ledger.AllowForeign()
	j.Start()
	answers := []string{"127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
		"169.254.169.254", "100.100.100.200", "168.63.129.16", "0.0.0.0", "0.1.2.3", "255.255.255.255",
		"224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "::ffff:127.0.0.1",
		"::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
		"2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1",
		"fd00:ec2::254", "fd12::1", "ff02::1", "::7f00:1", "2001:db8::1", "fec0::1"}
	for i, address := range answers {
		dns.set("hook.evil.example", address)
		if s := j.Sample("evil", "message"); s.Outcome != "connect" || s.Remote != "" ||
			!strings.Contains(s.Error, "address rules refuse") {
			t.Errorf("%s: %+v", address, s)
		}
		if n := dns.lookups("hook.evil.example"); n != i+1 {
			t.Errorf("%s: %d lookups after %d attempts; the address of an earlier one may be used",
				address, n, i+1)
		}
	}
	j.Relay.Post(Post{ID: "one", Body: []byte(`{}`)})
	for _, name := range []string{"inside", "single", "permitted"} {
		j.RX.AwaitID(name, "one")
	}
	for i, host := range odd {
		if s := j.Sample(fmt.Sprint("odd", i), "message"); s.Acknowledged || s.Remote != "" {
			t.Errorf("%s was dialled: %+v", host, s)
		}
	}
	dns.set("crm.internal", "169.254.169.254")
	if s := j.Sample("inside", "message"); s.Outcome != "connect" {
		t.Errorf("a private name that turned to metadata: %+v", s)
	}
	if n := j.RX.Count("evil") + j.RX.Count("odd"); n != 0 {
		t.Errorf("%d requests reached loopback", n)
	}
}
