package attempt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hostShownMax is how many bytes of a host name an error shows; a legal name may have 253.
const hostShownMax = 80

// Client makes attempts at one target. It is safe for concurrent use. The zero Client is of
// no use; NewClient makes real ones.
type Client struct {
	transport  transport
	writer     *writer    // for previews
	credential Credential // nil: no Authorization is sent
	secrets    *secrets
	success    func(status int) bool
	timeout    time.Duration
	calls      sync.Pool // of *call
}

// NewClient checks o and makes a Client; it opens no connection. It fails when the URL, a
// header or a key cannot be used, or Timeout is not above 0; the error never holds a secret.
func NewClient(o Options) (*Client, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot make client of target %q: %w", o.Name, err)
	}
	return c, nil
}

func newClient(o Options) (*Client, error) {
	if o.Timeout <= 0 {
		return nil, fmt.Errorf("cannot use timeout %s: it must be above 0", o.Timeout)
	}
	host, port, err := splitURL(o.URL)
	if err != nil {
		return nil, err
	}
	credential, err := credentialOf(o)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(o, hostField(o.URL))
	if err != nil {
		return nil, err
	}
	c := &Client{
		transport:  newHTTP1(w, newDialer(o, host, port), o.Concurrency),
		writer:     w,
		credential: credential,
		secrets:    newSecrets(o, credential),
		success:    o.Success,
		timeout:    o.Timeout,
	}
	if c.success == nil {
		c.success = func(status int) bool { return status == 200 }
	}
	c.calls.New = func() any { return new(call) }
	return c, nil
}

// newDialer makes the dialer of a target.
func newDialer(o Options, host string, port uint16) *dialer {
	rules := newAddressRules(host, o.AllowAddresses)
	d := &dialer{
		host: host, shown: host[:min(len(host), hostShownMax)], port: port,
		resolver: o.Resolver, onTLS: o.OnTLS,
		tcp: net.Dialer{
			Control: keepSome(rules.control, DescriptorsMax()),
			// Connections live for seconds; a probe would never be sent.
			KeepAlive: -1,
		},
	}
	if d.resolver == nil {
		d.resolver = newResolving()
	}
	if o.URL.Scheme == "https" {
		if o.RootCAs == nil {
			// Read here, while nothing is wanting; healRoots says why.
			_, _ = x509.SystemCertPool()
		}
		name, _, _ := strings.Cut(host, "%") // a zone is ours alone
		d.tls = &tls.Config{
			ServerName:   strings.TrimSuffix(name, "."),
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
			RootCAs:      o.RootCAs,
			Certificates: o.Certificates,
			// A request is of use to a target only whole, so it goes out in as few records, and
			// writes, as it fits into.
			DynamicRecordSizingDisabled: true,
			// No session cache: each handshake sees the certificate of today, which is what
			// OnTLS reports.
		}
	}
	return d
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

// hostField returns the value of Host: the URL's host and port as configured, without an
// empty port, and without an IPv6 zone, which means nothing to others (RFC 6874 §4).
func hostField(u *url.URL) string {
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	return host
}

// Do makes one attempt and blocks until its outcome is known, at most for Options.Timeout
// (or until the deadline of ctx, if that is earlier) and some milliseconds. Within that, a
// success waits up to 250 ms for its body and a failure or a sample up to 1 s. Do keeps
// nothing of r. Whatever a target does, there is an Outcome. When ctx is cancelled before
// the response head is complete, it is Aborted; the deadline of ctx makes a Timeout.
//
// At most one request is answered per call, but a connection kept from before that the
// target has closed meanwhile is replaced once, so a target may see the beginning of the
// request twice. Close does not interrupt Do.
func (c *Client) Do(ctx context.Context, r *Request) Outcome {
	x := c.calls.Get().(*call)
	defer c.calls.Put(x)
	x.begin(c, r, time.Now())
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(x.deadline) {
		x.deadline = deadline
	}
	o := x.run(ctx)
	if o.Duration == 0 {
		o.Duration = time.Since(x.start)
	}
	x.end()
	return o
}

// Preview returns the request that Do would send, head and body, with configured header
// values, Authorization and query as "<redacted>". The signature is the true one. When Do
// would refuse to send r, it returns the reason instead. It sends nothing.
func (c *Client) Preview(r *Request) []byte {
	head, err := c.writer.appendHead(c.writer.beginPreview(c.credential != nil), r)
	if err != nil {
		return []byte(printable("cannot send request: " + err.Error()))
	}
	return append(head, r.Payload...)
}

// CloseIdle closes the idle connections and keeps none for as long as d, so that their descriptors
// go round. Attempts are not disturbed.
func (c *Client) CloseIdle(d time.Duration) { c.transport.empty(time.Now().Add(d)) }

// Close closes the idle connections. Attempts in flight go on to their end, and later ones
// work, but their connections are not kept. It may be called twice.
func (c *Client) Close() { c.transport.close() }
