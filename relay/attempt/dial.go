package attempt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// addressesMax bounds how many addresses of one name are tried in one attempt.
	addressesMax = 8
	// raceDelay is how long one address may be alone before the next one is tried beside it;
	// RFC 8305 §8 recommends 250 ms.
	raceDelay = 250 * time.Millisecond
	// familyPatience is how long addresses of one family wait for those of the other: some resolvers
	// never answer one of the two questions.
	familyPatience = 2 * time.Second
)

// dialer opens connections to one target. Safe for concurrent use.
type dialer struct {
	host     string // as in the URL, without port and brackets; of the proxy if there is one
	shown    string // host, shortened for errors, which must have room for the reason
	port     uint16
	behind   *behind // the target is behind a proxy; nil: it is not
	peer     string  // the target, for errors
	resolver Resolver
	tcp      net.Dialer
	tls      *tls.Config // nil: http
	// choice: the target may choose between HTTP/1.1 and HTTP/2. two: it may choose HTTP/2.
	choice, two bool
	// roots are the system's authorities when crypto/x509 has lost them for good.
	roots atomic.Pointer[x509.CertPool]
	onTLS func(notAfter time.Time)
}

// newDialer makes the dialer of a target, or of the proxy before it.
func newDialer(o Options) (*dialer, error) {
	target, port, err := splitURL(o.URL)
	if err != nil {
		return nil, err
	}
	host, shown := target, shorten(target)
	d := &dialer{peer: shown}
	if o.Proxy != nil {
		if d.behind, err = newBehind(o, target, port); err != nil {
			return nil, err
		}
		host, port, shown = d.behind.host, d.behind.port, d.behind.shown
		d.peer += " through " + shown
	}
	rules := newAddressRules(host, o.AllowAddresses)
	d.host, d.shown, d.port, d.resolver, d.onTLS = host, shown, port, o.Resolver, o.OnTLS
	d.tcp = net.Dialer{
		Control: keepSome(rules.control, DescriptorsMax()),
		// Connections live for seconds; a probe would never be sent.
		KeepAlive: -1,
	}
	d.choice = o.HTTP == versionAuto
	d.two = d.choice || o.HTTP == versionTwo
	if d.resolver == nil {
		d.resolver = newResolving()
	}
	if o.URL.Scheme == "https" {
		if o.RootCAs == nil {
			// Read here, while nothing is wanting; healRoots says why.
			_, _ = x509.SystemCertPool()
		}
		name, _, _ := strings.Cut(target, "%") // a zone is ours alone
		d.tls = &tls.Config{
			ServerName:   strings.TrimSuffix(name, "."),
			MinVersion:   tls.VersionTLS12,
			NextProtos:   protocols(o.HTTP),
			RootCAs:      o.RootCAs,
			Certificates: o.Certificates,
			// A request is of use to a target only whole, so it goes out in as few records, and
			// writes, as it fits into.
			DynamicRecordSizingDisabled: true,
			// No session cache: each handshake sees the certificate of today, which is what
			// OnTLS reports. Resumption was measured and saves nothing that could be told from
			// noise: the exchange of keys is made again, only a check of signatures is not.
		}
	}
	return d, nil
}

// dial looks up, connects and, for https, shakes hands, all before the context's deadline.
func (d *dialer) dial(ctx context.Context) (*conn, *fault) {
	s, f := d.reach(ctx)
	if f != nil {
		return nil, f
	}
	if d.tls == nil {
		return newConn(s, nil), nil
	}
	secure, f := d.shake(ctx, s)
	if f != nil {
		return nil, f
	}
	pc := newConn(s, secure)
	pc.describeTLS(secure.ConnectionState(), d.onTLS)
	return pc, nil
}

// reach looks up and connects, and has a proxy connect further if the target is to be spoken to by
// TLS.
func (d *dialer) reach(ctx context.Context) (*socket, *fault) {
	if d.behind != nil && d.behind.refusal != nil {
		return nil, &fault{Connect, "connect to " + d.peer, d.behind.refusal}
	}
	addrs, err := d.lookup(ctx)
	if err != nil {
		return nil, &fault{DNS, "resolve " + d.shown, err}
	}
	nc, err := d.connect(ctx, addrs)
	if err != nil {
		return nil, &fault{Connect, "connect to " + d.shown, err}
	}
	s := newSocket(nc.(*net.TCPConn))
	if d.behind != nil && d.tls != nil {
		if f := d.behind.tunnel(ctx, s); f != nil {
			s.reset()
			return nil, f
		}
	}
	return s, nil
}

// shake lays TLS on a socket, which is closed if it fails.
func (d *dialer) shake(ctx context.Context, s *socket) (*tls.Conn, *fault) {
	s.secure = true
	var under net.Conn = s
	if d.two {
		under = &beneath{s}
	}
	secure := tls.Client(under, d.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		s.reset()
		d.healRoots(err)
		return nil, &fault{TLS, "shake hands with " + d.peer, err}
	}
	return secure, nil
}

// NewHTTPClient makes a client for what is asked beside the deliveries of a target, such as a
// token. Of o it takes URL, Proxy, RootCAs, AllowAddresses and Resolver. Whatever it is asked for,
// it connects to the host of that URL alone, by the rules that attempts have: of addresses, and of
// what is left of this machine's descriptors. It follows no redirect and keeps no connection.
// Errors are those of http.Client, which hold the URL; what they wrap does not.
func NewHTTPClient(o Options) (*http.Client, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	var plain func(*http.Request) (*url.URL, error)
	if o.Proxy != nil && d.tls == nil {
		plain = http.ProxyURL(o.Proxy) // it writes the absolute form, and dials by DialContext
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:             plain,
			DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: headBytesMax,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				s, f := d.reach(ctx)
				if f != nil {
					return nil, f
				}
				return s, nil
			},
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				s, f := d.reach(ctx)
				if f != nil {
					return nil, f
				}
				secure, f := d.shake(ctx, s)
				if f != nil {
					return nil, f
				}
				return secure, nil
			},
		},
	}, nil
}

// lookup returns the addresses to try, in order. A literal address asks nobody.
func (d *dialer) lookup(ctx context.Context) ([]netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(d.host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr, d.port)}, nil
	}
	found, err := d.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("the name has no address")
	}
	return interleave(found, d.port), nil
}

// resolved is an answer of the resolver.
type resolved struct {
	found []netip.Addr
	err   error
}

// resolve asks for the addresses of both families, and after familyPatience for each by itself: the
// first that has some is enough then. The error is that of the first question.
func (d *dialer) resolve(ctx context.Context) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	both, one := make(chan resolved, 1), make(chan resolved, 2) // who answers late waits for nobody
	ask := func(network string, to chan<- resolved) {
		found, err := d.resolver.LookupNetIP(ctx, network, d.host)
		to <- resolved{found, err}
	}
	go ask("ip", both)
	wait := time.NewTimer(familyPatience)
	defer wait.Stop()
	for {
		select {
		case r := <-both:
			return r.found, r.err
		case r := <-one:
			if r.err == nil && len(r.found) > 0 {
				return r.found, nil
			}
		case <-wait.C:
			go ask("ip4", one)
			go ask("ip6", one)
		}
	}
}

// interleave alternates between the families, beginning with the one the resolver put
// first (RFC 8305 §4), so that a broken family costs one raceDelay and not one per address.
func interleave(found []netip.Addr, port uint16) []netip.AddrPort {
	var first, second []netip.AddrPort
	for _, addr := range found {
		addr = addr.Unmap()
		ap := netip.AddrPortFrom(addr, port)
		if addr.Is4() == found[0].Unmap().Is4() {
			first = append(first, ap)
		} else {
			second = append(second, ap)
		}
	}
	var addrs []netip.AddrPort
	for i := 0; i < max(len(first), len(second)); i++ {
		if i < len(first) {
			addrs = append(addrs, first[i])
		}
		if i < len(second) {
			addrs = append(addrs, second[i])
		}
	}
	return addrs[:min(len(addrs), addressesMax)]
}

// connect returns a connection to the first of addrs that takes one.
func (d *dialer) connect(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	if len(addrs) == 1 {
		return d.dialOne(ctx, addrs[0])
	}
	return d.race(ctx, addrs)
}

// dialled is the end of one dial.
type dialled struct {
	conn net.Conn
	err  error
}

// race tries addrs in order, starting the next one when the last failed or took raceDelay.
// The first connection wins; the others are cancelled, waited for and closed. The error is
// the first one, which is of the address that the resolver likes best, unless a want of ours kept
// us from another.
func (d *dialer) race(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan dialled, len(addrs)) // every dial sends once and never waits
	next := time.NewTimer(0)
	defer next.Stop()

	var won net.Conn
	var failed error
	started, ended := 0, 0
	for ended < started || won == nil && started < len(addrs) {
		select {
		case <-next.C:
			if won != nil || started == len(addrs) {
				continue
			}
			go func(address netip.AddrPort) {
				nc, err := d.dialOne(ctx, address)
				ends <- dialled{nc, err}
			}(addrs[started])
			started++
			next.Reset(raceDelay)
		case end := <-ends:
			ended++
			switch {
			case end.err != nil && (failed == nil || asWant(failed) == nil && asWant(end.err) != nil):
				failed = end.err
			case end.err == nil && won == nil:
				won = end.conn
				cancel()
			case end.err == nil:
				end.conn.Close()
			}
			next.Reset(0)
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, failed
}

// tlsConfig is what a handshake goes by.
func (d *dialer) tlsConfig() *tls.Config {
	roots := d.roots.Load()
	if roots == nil {
		return d.tls
	}
	c := d.tls.Clone()
	c.RootCAs = roots
	return c
}

// healRoots reads the system's authorities again after a handshake that went without them.
// crypto/x509 reads them once in the life of a process, and a want of descriptors in that moment
// would make every certificate a bad one until the next start.
func (d *dialer) healRoots(err error) {
	if _, lost := errors.AsType[x509.SystemRootsError](err); !lost {
		return
	}
	if roots, err := x509.SystemCertPool(); err == nil {
		d.roots.Store(roots)
	}
}

// describeTLS fills in what a sample shows, and tells onTLS how long the certificate lasts.
func (pc *conn) describeTLS(state tls.ConnectionState, onTLS func(time.Time)) {
	notAfter := state.PeerCertificates[0].NotAfter
	pc.tlsText = fmt.Sprintf("%s, %s, certificate until %s", tls.VersionName(state.Version),
		tls.CipherSuiteName(state.CipherSuite), notAfter.UTC().Format(time.DateOnly))
	if onTLS != nil {
		onTLS(notAfter)
	}
}
