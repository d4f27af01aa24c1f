package attempt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A target behind a proxy. What the address rules can see then is less: the proxy resolves the
// name, and connects. They judge
//
//	the proxy's address  after its lookup, as that of a target: by its own name
//	the target's host    if it is an address, however it is written; and names of cloud metadata
//
// and nothing else. A name that resolves inward is for the proxy to refuse.
//
// What a proxy does wrong is told from what a target does: all of it has the proxy in its error. A
// connection that it does not make is Connect, as if the target were not there. The statuses of a
// plain request are harder to tell: 407 is always the proxy's, and others are if they say so.

// behind is what is known of a target behind a proxy. Read-only, safe for concurrent use.
type behind struct {
	host    string // the proxy's
	port    uint16
	shown   string // for errors
	plain   bool   // requests go in absolute form
	refusal error  // of the address rules, to the target
	connect []byte // the request that opens a tunnel
}

// newBehind checks the proxy of o.
func newBehind(o Options, target string, port uint16) (*behind, error) {
	if o.Proxy.Scheme != "http" {
		return nil, fmt.Errorf("cannot use proxy with scheme %q: it must be http", o.Proxy.Scheme)
	}
	b := &behind{plain: o.URL.Scheme == "http"}
	var err error
	if b.host, b.port, err = splitURL(o.Proxy); err != nil {
		return nil, fmt.Errorf("cannot use proxy: %w", err)
	}
	b.shown = "the proxy " + shorten(b.host)
	b.refusal = refuseUnseen(target, newAddressRules(target, o.AllowAddresses))
	name, _, _ := strings.Cut(target, "%")
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	authority := name + ":" + strconv.Itoa(int(port))
	b.connect = append(b.connect, "CONNECT "+authority+" HTTP/1.1\r\n"...)
	b.connect = appendField(b.connect, "Host", authority)
	if o.UserAgent != "" {
		b.connect = appendField(b.connect, "User-Agent", o.UserAgent)
	}
	if o.Proxy.User != nil {
		b.connect = appendField(b.connect, "Proxy-Authorization", "Basic "+basicAuth(o.Proxy.User))
	}
	b.connect = append(b.connect, '\r', '\n')
	return b, nil
}

// refuseUnseen judges a host that somebody else will resolve; nil: it may be.
func refuseUnseen(host string, rules *addressRules) error {
	if addr, ok := looseAddress(host); ok {
		return rules.check(addr)
	}
	metadata := netip.AddrFrom4([4]byte{169, 254, 169, 254})
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	for _, known := range [...]string{"metadata", "metadata.google.internal", "metadata.goog",
		"instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com"} {
		if name == known && !rules.allows(metadata) {
			return fmt.Errorf("address rules refuse %s (cloud metadata): name %s in allow_addresses to "+
				"permit it", name, metadata)
		}
	}
	return nil
}

// looseAddress reads a host as a C library does, which takes 2852039166, 0xa9.254.43518 and
// 0251.0376.0251.0376 for addresses (inet_aton). We do not resolve these, but a proxy may.
func looseAddress(host string) (netip.Addr, bool) {
	host = strings.TrimSuffix(host, ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var bytes [4]byte
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts)) // the last part holds what is left
		}
		n, err := parseLoose(part, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		for j := range bits / 8 {
			bytes[i+j] = byte(n >> (bits - 8*(j+1)))
		}
	}
	return netip.AddrFrom4(bytes), true
}

// parseLoose reads a number of C: with 0x it is hexadecimal, with 0 octal.
func parseLoose(part string, bits int) (uint64, error) {
	lower := strings.ToLower(part)
	if digits, ok := strings.CutPrefix(lower, "0x"); ok {
		return strconv.ParseUint("0"+digits, 16, bits)
	}
	if len(lower) > 1 && lower[0] == '0' {
		return strconv.ParseUint(lower, 8, bits)
	}
	return strconv.ParseUint(lower, 10, bits)
}

// tunnelReaderBytes is enough for most heads of an answer to CONNECT.
const tunnelReaderBytes = 2 << 10

// tunnel has the proxy connect s to the target (RFC 9110 §9.3.6), before the context's deadline.
func (b *behind) tunnel(ctx context.Context, s *socket) *fault {
	if deadline, ok := ctx.Deadline(); ok {
		s.shorten(deadline)
	}
	stop := context.AfterFunc(ctx, func() {
		s.aborted.Store(true)
		s.SetDeadline(longAgo())
	})
	f := b.ask(s)
	switch {
	case !stop() && f == nil:
		return &fault{Protocol, "get through " + b.shown, ctx.Err()}
	case f != nil:
		return f
	}
	s.until, s.armed = time.Time{}, time.Time{}
	s.SetDeadline(time.Time{})
	return nil
}

// ask sends CONNECT and reads the answer.
func (b *behind) ask(s *socket) *fault {
	verb := "get through " + b.shown
	if _, err := s.Write(b.connect); err != nil {
		return &fault{Protocol, verb, &byProxy{err}}
	}
	br := bufio.NewReaderSize(s, tunnelReaderBytes)
	h, err := readHead(br, nil)
	switch {
	case err != nil:
		return &fault{Protocol, verb, &byProxy{err}}
	case h.status/100 != 2:
		return &fault{Connect, verb, errors.New(b.explain(h.status))}
	case br.Buffered() > 0: // a target that is spoken to by TLS waits for us
		return &fault{Protocol, verb, errors.New("there is more than its answer")}
	}
	return nil
}

// blame says of a fault of a plain request who was spoken to.
func (b *behind) blame(f *fault) {
	if f.kind == Protocol {
		f.verb += " through " + b.shown
		f.err = &byProxy{f.err}
	}
}

// explain says what the proxy answered.
func (b *behind) explain(status int) string {
	text := "it answered " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	if status == http.StatusProxyAuthRequired {
		text += "; it wants (other) user-info in `proxy`"
	}
	return text
}

// refused is the fault of an answer that is the proxy's and not the target's; nil: it is not, as
// far as one can tell.
func (b *behind) refused(x *call) *fault {
	if b == nil || !b.plain || x.status != http.StatusProxyAuthRequired && !x.heard.isError() {
		return nil
	}
	return &fault{Connect, "get through " + b.shown, errors.New(b.explain(x.status))}
}

// doubt is for the error of an answer that may be the proxy's: of a kind that proxies give, and
// without the mark of one that was passed on.
func (b *behind) doubt(x *call) string {
	maybe := x.status >= http.StatusInternalServerError || x.status == http.StatusForbidden ||
		x.status == http.StatusBadRequest
	if b == nil || !b.plain || x.heard&heardVia != 0 || !maybe {
		return ""
	}
	return "; it may be " + b.shown + " that says so"
}

// heard is what a head says of a proxy, as a set.
type heard uint8

const (
	heardVia    heard = 1 << iota // it was passed on (RFC 9110 §7.6.3)
	heardStatus                   // somebody on the way says that there was an error (RFC 9209)
	heardSquid                    // Squid says so
)

// field takes note of a field.
func (h *heard) field(name, value []byte) {
	switch len(name) {
	case len("Via"):
		if equalFold(name, "via") {
			*h |= heardVia
		}
	case len("Proxy-Status"):
		if equalFold(name, "proxy-status") && bytes.Contains(value, []byte("error=")) {
			*h |= heardStatus
		}
	case len("X-Squid-Error"):
		if equalFold(name, "x-squid-error") {
			*h |= heardSquid
		}
	}
}

// isError reports that a proxy made the answer. Squid marks its own as passed on as well; an error
// that was told and passed on is of somebody behind our proxy, which is the target for us.
func (h heard) isError() bool { return h&heardSquid != 0 || h&heardStatus != 0 && h&heardVia == 0 }

// byProxy is a failure in speaking with the proxy.
type byProxy struct{ err error }

// Error is that of the failure.
func (b *byProxy) Error() string { return b.err.Error() }

// Unwrap returns the failure itself.
func (b *byProxy) Unwrap() error { return b.err }
