package attempt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Client makes attempts at one target. It is safe for concurrent use. The zero Client is of
// no use; NewClient makes real ones.
type Client struct {
	transport  transport
	behind     *behind    // nil: there is no proxy
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
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	if err := checkHTTP(&o); err != nil {
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
		transport:  newTransport(w, d, &o),
		behind:     d.behind,
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

// newTransport makes what carries the requests of a target.
func newTransport(w *writer, d *dialer, o *Options) transport {
	if d.two {
		return newHTTP2(w, d, o)
	}
	return newHTTP1(w, d, o)
}

// checkHTTP says why a target cannot be spoken to in the version that Options ask for.
func checkHTTP(o *Options) error {
	switch o.HTTP {
	case "", versionOne, versionTwo:
	case versionAuto:
		if o.URL.Scheme != "https" {
			return errors.New("cannot choose the version of HTTP without https")
		}
	default:
		return fmt.Errorf("cannot speak HTTP/%.10q", o.HTTP)
	}
	return nil
}

// protocols are what a handshake offers (RFC 7301), what we like best first.
func protocols(version string) []string {
	switch version {
	case versionTwo:
		return []string{"h2"}
	case versionAuto:
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
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
// request twice. With HTTP/2 that is so only where the target says that it did not take the
// request. Close does not interrupt Do.
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
