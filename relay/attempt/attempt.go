// Package attempt makes one HTTP request to one target and says what came of it. It knows
// nothing of the spool, of retries or of the configuration file: whoever calls it owns
// those, and every promise about counting rests on the Kind given here.
//
// The HTTP/1.1 exchange is our own, over a net.Conn, because what decides an attempt is
// small (one complete response head) and what a general client does around it is in the
// way: fasthttp.Client reads whole bodies, answers 200 beside an error and fails on a stale
// connection; net/http keeps two goroutines a connection. The response head is parsed here
// as well (head.go says why). Another way to carry a request, such as HTTP/3, is another
// transport (transport.go): what an answer means, what is hidden, and who hears of a refusal stay
// where they are. HTTP/2 is one (http2.go): net/http's connections, which share.go makes and
// shares. A Credential (credential.go) is asked for each attempt.
//
// # Goroutines
//
//	race (dial.go)  when a name has several addresses, one per address being tried, at most
//	                8; each ends with its dial, and Do waits for all of them
//	context.AfterFunc (proxy.go)  one per CONNECT, runs once when its ctx ends; whoever waits for the
//	                proxy's answer stops it
//	context.AfterFunc (conn.go)  one per connection, runs once when the ctx of its last request
//	                is cancelled; does nothing unless a request is on the wire, and then Do
//	                waits for it; whoever closes the connection ends it
//	time.AfterFunc (pool.go)  one timer per Client; closes idle connections, ends at once
//	time.AfterFunc (http2.go, share.go)  ends a request when it is due, closes a connection that
//	                is stuck, closes idle connections; each ends at once
//
// With HTTP/2 net/http has a goroutine for each connection, which reads it and ends with it, and
// one for each request, which ends with its stream; it touches nothing of the caller's after Do.
//
//	net/http        two per connection of NewHTTPClient, which carries one request; they end
//	                with it
//
// Nothing else is started, and nothing of an attempt is left when Do returns, except an
// idle connection.
package attempt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"time"

	"github.com/hookspool/hookspool/relay/signature"
)

// Kind is what an attempt came to, in one word (CONTRACT §5). The zero Kind is none of them,
// so that an Outcome nobody filled in cannot pass for a success.
type Kind uint8

// The kinds of an Outcome. Everything but Success, Aborted, Withheld, Auth and Transform is a
// failure that counts.
// The numbers are on disk.
const (
	// Success: a complete final response head in time, with a status the target accepts.
	Success Kind = iota + 1
	// Status: a complete head in time with another status, redirects included.
	Status
	// Timeout: the deadline passed, whether in lookup, dial, handshake, write or wait.
	Timeout
	// Connect: refused, unreachable, or an address that the address rules refuse. A reset that
	// comes with the end of connect is one as well: nothing was sent.
	Connect
	// DNS: the resolver said no, or did not know.
	DNS
	// TLS: handshake, certificate or alert, also an alert after the handshake (TLS 1.3 tells
	// a client that its certificate is missing only then).
	TLS
	// Protocol: closed, reset or not HTTP after the connection was made.
	Protocol
	// Aborted: the context was cancelled before the head was complete. Our own doing, hence
	// never counted.
	Aborted
	// Withheld: we could not make the request, for a want of our own (descriptors, memory, local
	// ports) or because this request cannot be sent as it stands. It says nothing about the target,
	// hence it is never counted.
	Withheld
	// Auth: there was no credential to be had, so no request was made. Whoever gives credentials is
	// at fault, not the target, hence it is never counted.
	Auth
	// Transform: the program that makes of the event what this target gets failed, so no request was
	// made. Whoever wrote it is at fault, not the target, hence it is never counted.
	Transform
	kinds // one more than the last
)

// String returns the word used in metrics and in the API; "unknown" for no Kind of these.
func (k Kind) String() string {
	names := [kinds]string{"unknown", "success", "status", "timeout", "connect", "dns", "tls",
		"protocol", "aborted", "withheld", "auth", "transform"}
	if k >= kinds {
		k = 0
	}
	return names[k]
}

// Made reports whether the attempt counts: a request was made, or the target was the reason that
// none could be.
func (k Kind) Made() bool { return k >= Success && k < Aborted }

// Want is what this machine lacked for an attempt.
type Want uint8

// The wants of an Outcome. All but WantNone may pass at any moment, so that the attempt is worth
// making again soon.
const (
	// WantNone: nothing was wanting. With Withheld: this request cannot be sent as it stands.
	WantNone Want = iota
	// WantRoom: descriptors or memory, which connections that are idle hold as well.
	WantRoom
	// WantPort: a local port towards this address.
	WantPort
)

// Header is one header field.
type Header struct {
	Name  string
	Value string
}

// Resolver looks up the addresses of a host; *net.Resolver is one. It must return when ctx
// is done and be safe for concurrent use.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options describe one target. NewClient copies what it needs.
type Options struct {
	// Name of the target, for errors of NewClient.
	Name string
	// URL is http or https with a host. Path and query are sent as configured. User-info is
	// sent as Basic auth.
	URL *url.URL
	// Method is POST, PUT or PATCH; empty: POST.
	Method string
	// Proxy is http with a host: https goes through it by CONNECT, http in absolute form. Its
	// user-info is sent to it as Basic auth. nil: none.
	Proxy *url.URL
	// Credential gives requests their Authorization; nil: Header or the URL may hold one. With it
	// neither may.
	Credential Credential
	// Header is sent as given with every request. Authorization wins over user-info; Host,
	// User-Agent and Content-Type win over ours. The framing of the request and the webhook-
	// headers of CONTRACT §5 cannot be set.
	Header []Header
	// Keys sign; all of them, in this order. None: no signature.
	Keys []signature.Key
	// Success says which final status acknowledges; nil: 200 alone.
	Success func(status int) bool
	// Timeout bounds the whole exchange: lookup, dial, TLS, write, head. Above 0.
	Timeout time.Duration
	// HTTP is the version that is spoken: "1.1", "2" or, with https, "auto": what the target chooses
	// of them in the handshake (ALPN). "2" without TLS is spoken from the first byte on (RFC 9113
	// §3.3). Empty: "1.1".
	HTTP string
	// Concurrency bounds the idle connections kept; callers bound what is in flight.
	Concurrency int
	// MaxAge of a connection, after which it carries no further request; 0: any.
	MaxAge time.Duration
	// Buffers are shared with other Clients, of which most are at rest; nil: they are its own.
	Buffers *Buffers
	// RootCAs replaces the system's authorities; nil: the system's.
	RootCAs *x509.CertPool
	// Certificates are ours, for mutual TLS.
	Certificates []tls.Certificate
	// AllowAddresses are excepted from the address rules (address.go).
	AllowAddresses []netip.Prefix
	// UserAgent is sent as it is; empty: no header.
	UserAgent string
	// Resolver is nil for the pure Go resolver, which, unlike a C library, does not take
	// "0x7f.1" for an address.
	Resolver Resolver
	// OnTLS, when set, learns the NotAfter of the target's certificate after each handshake.
	// It is called from Do, maybe from several at once.
	OnTLS func(notAfter time.Time)
}

// Request is one attempt of one delivery. Do reads it and keeps nothing of it.
type Request struct {
	// ID, Type and Session become webhook-id, webhook-event-type and (when not empty)
	// webhook-session. UTF-8 goes out as it is: bytes from 0x80 are obs-text, legal in a field
	// value (RFC 9110 §5.5), and any escape of ours would have to be known by every receiver.
	ID, Type, Session string
	// ContentType of the payload; empty: no Content-Type header.
	ContentType string
	// Payload is sent byte for byte.
	Payload []byte
	// Attempt is 0 for the live one, then 1 to 144.
	Attempt int
	// Batch: the payload holds many events, which may have no Type in common. Then it is empty, and
	// webhook-event-type left out.
	Batch bool
	// Replay and Sample mark the request with webhook-replay and webhook-sample. A sample's
	// Outcome has Snippet and StatusLine whatever the Kind.
	Replay, Sample bool
	// Header was frozen with the event: traceparent, tracestate, ce-…. A name that Options
	// configures is left out.
	Header []Header
	// At is the instant of this attempt: webhook-timestamp, and the signature's.
	At time.Time
}

// Outcome is what one attempt learned. None of its texts holds a configured header value,
// user-info, query or key, even if the target echoes them.
type Outcome struct {
	Kind Kind
	// Want goes with Withheld and says what of ours was wanting.
	Want Want
	// Status of the final response head; 0 when there was none.
	Status int
	// RetryAfter is how long a 429 or 503 that does not acknowledge asks to be left alone
	// (Retry-After); 0: it does not. It may be any length.
	RetryAfter time.Duration
	// Error is empty for Success; otherwise one short line, at most 256 bytes, printable.
	Error string
	// Snippet is the beginning of the answer's body, at most 1 KiB, as received, and "…" if there is
	// more; only when the Kind is Status or the Request a Sample.
	Snippet []byte
	// Request is the head that was sent, or what was written of it, in lines without their ends: the
	// method and the masked URL, then the fields. Configured values are "<redacted>", the signature
	// is the true one. At most 2 KiB, and "…" if there is more; nil for a success, and if nothing
	// can have been sent.
	Request []byte
	// Response is the head that was answered in the same form, the status line first, as far as it
	// came; nil for a success. Values of Set-Cookie are "<redacted>".
	Response []byte
	// Duration from the call of Do to the end of the head, or to the failure.
	Duration time.Duration
	// Remote is "ip:port" of the connection, which may be the proxy's; empty when there was none.
	Remote string
	// TLS is like "TLS 1.3, TLS_AES_128_GCM_SHA256, certificate until 2027-01-01", or empty.
	TLS string
	// StatusLine as received, printable, at most 256 bytes; only for a Sample.
	StatusLine string
}
