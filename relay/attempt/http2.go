package attempt

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// HTTP/2 is net/http's, one http.ClientConn a connection: its RoundTrip makes one request and never
// another one, where that of a Transport makes a request again that was refused (REFUSED_STREAM) or
// left alone (GOAWAY) and that it can read again. How connections are dialled, shared and given up
// is ours (share.go), so that the address rules, the certificate and the limits are what they are
// with HTTP/1.1.
//
// A request is written down as with HTTP/1.1, and its fields are sent as they stand there: one
// place decides what a request says. What is around a value goes, because HTTP/2 does not let a
// value begin or end with a space (RFC 9113 §8.2.1).

// Versions of HTTP that a target is spoken to in.
const (
	versionOne  = "1.1"
	versionTwo  = "2"
	versionAuto = "auto"
)

// leftMax is how often a request is left by the target on connections that had carried others,
// before it goes over one that is dialled for it alone: what is left there is a failure. Common
// servers end a connection after some hundred requests, so that two in a row are rare; one that
// ends it after ten, with as many waiting, has left a request five times.
const leftMax = 4

// readBytes is how much of a body is read at once.
const readBytes = 4 << 10

// http2 is the transport of HTTP/2 and, if the target may choose, of HTTP/1.1.
type http2 struct {
	writer *writer
	url    url.URL // scheme, path and query are sent
	share  *share
	// plain carries requests to a target that chose HTTP/1.1, which plainly says it did the last
	// time; nil: it has no choice.
	plain   *http1
	plainly atomic.Bool
	scratch sync.Pool // of *[readBytes]byte
}

// newHTTP2 makes the transport of a target; it opens no connection.
func newHTTP2(w *writer, d *dialer, o *Options) *http2 {
	path, _ := requestTarget(o.URL)
	path, query, queried := strings.Cut(path, "?")
	h := &http2{writer: w, share: newShare(d, o), url: url.URL{Scheme: o.URL.Scheme,
		Host: hostField(o.URL), Opaque: "", Path: o.URL.Path, RawPath: path, RawQuery: query,
		ForceQuery: queried}}
	if h.url.Path == "" {
		h.url.Path = "/"
	}
	if o.HTTP == versionAuto {
		h.plain = newHTTP1(w, d, o)
		h.plain.upgraded = h.share.adopt
	}
	h.scratch.New = func() any { return new([readBytes]byte) }
	return h
}

// Reasons to go another way. They are never shown.
var (
	errPlain    = errors.New("the target chose HTTP/1.1")
	errUpgraded = errors.New("the target chose HTTP/2")
)

// carry is part of transport. At most one request is taken per call, but one that the target has
// not taken because it was closing a connection that had carried others, and says so, goes over
// another one, as it does where such a connection of HTTP/1.1 has ended.
func (h *http2) carry(ctx context.Context, c *call) *fault {
	for {
		if h.plainly.Load() {
			if f := h.plain.carry(ctx, c); f == nil || f.err != errUpgraded {
				return f
			}
			h.plainly.Store(false)
		}
		if f := h.carryTwo(ctx, c); f == nil || f.err != errPlain {
			return f
		}
		// As long as it does, this is not asked again.
		h.plainly.Store(true)
	}
}

const (
	// lateMin after its time is over the end of an attempt has come late itself.
	lateMin = 50 * time.Millisecond
	// lateGrace is for reading what has come meanwhile.
	lateGrace = 100 * time.Millisecond
)

// carryTwo is carry over HTTP/2; errPlain: the target would not.
func (h *http2) carryTwo(ctx context.Context, c *call) *fault {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x := &exchange2{h: h, call: c}
	over := c.deadline // the call is another's by the time that this may run
	x.cut = time.AfterFunc(time.Until(over), func() {
		// The process may have stood still: what has come is read first, by the connection's reader.
		if time.Since(over) > lateMin {
			time.Sleep(lateGrace)
		}
		cancel()
	})
	defer x.cut.Stop()
	var f *fault
	if x.request, f = h.request(ctx, c); f != nil {
		return f
	}
	for left := 0; ; {
		c.remote, c.tls = "", ""
		k, nth, f := h.share.take(ctx, left >= leftMax)
		if f != nil {
			if k != nil { // the one that heard it
				h.plain.pool.put(k.plain, time.Now())
			}
			return f
		}
		kept := nth > 0
		f = x.try(ctx, k)
		h.share.release(k, time.Now())
		switch {
		case f == nil || ctx.Err() != nil:
			return f
		case f.err == errUnsent && kept:
			continue // it had ended between being found good and being used
		case f.err == errLeft && kept:
			left++
			continue
		case f.err == errUnsent:
			f.err = k.wire.unsent()
		}
		return f
	}
}

// request is what net/http sends.
func (h *http2) request(ctx context.Context, c *call) (*http.Request, *fault) {
	head := h.writer.begin(nil, c.authorization)
	dynamic := len(head)
	head, err := h.writer.appendHead(head, &c.request)
	if err != nil {
		return nil, &fault{Withheld, "send request", err}
	}
	c.keepSent(head[dynamic:])
	line, fields, _ := strings.Cut(string(head), "\r\n")
	method, _, _ := strings.Cut(line, " ")
	header := make(http.Header, strings.Count(fields, "\r\n"))
	header["user-agent"] = nil // or net/http would name itself
	r := &http.Request{Method: method, URL: &h.url, Header: header, ProtoMajor: 2}
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, ok := strings.Cut(field, ":")
		switch name, value = strings.ToLower(name), strings.Trim(value, " \t"); {
		case !ok || name == "content-length": // the end, or what net/http says itself
		case name == "host":
			r.Host = value
		default:
			header[name] = append(header[name], value)
		}
	}
	return r.WithContext(ctx), nil
}

// empty is part of transport.
func (h *http2) empty(until time.Time) {
	h.share.empty(until)
	if h.plain != nil {
		h.plain.empty(until)
	}
}

// close is part of transport.
func (h *http2) close() {
	h.share.close()
	if h.plain != nil {
		h.plain.close()
	}
}

// exchange2 is one call over HTTP/2. It belongs to one goroutine.
type exchange2 struct {
	h       *http2
	call    *call
	request *http.Request
	cut     *time.Timer // ends the request when it is due
}

// try sends the request over a connection and takes the answer.
func (x *exchange2) try(ctx context.Context, k *shared) *fault {
	c := x.call
	c.remote, c.tls = k.remote, k.tls
	payload := &payload{left: c.request.Payload}
	defer payload.Close() // nobody reads the caller's bytes after this
	r := x.request
	if len(payload.left) > 0 {
		r.Body, r.ContentLength = payload, int64(len(payload.left))
	}
	res, err := k.conn.RoundTrip(r)
	if err != nil {
		if ctx.Err() != nil {
			// It may be the connection that is silent: no other request goes over it.
			k.retired.Store(true)
			k.wire.cutStalled()
			return &fault{Protocol, "read answer", err}
		}
		return faultOf(k.wire, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 999 {
		res.Body.Close()
		return &fault{Protocol, "read answer", errStatus}
	}
	x.finish(k, res)
	return nil
}

// finish takes the status, and of the body what is worth it.
func (x *exchange2) finish(k *shared, res *http.Response) {
	c := x.call
	keep, until := c.answered(res.StatusCode, time.Now())
	if value := res.Header.Get("Retry-After"); asksForTime(res.StatusCode) &&
		len(value) <= retryAfterBytesMax {
		c.retryAfter = value
	}
	if c.kind != Success || c.request.Sample {
		c.answer = appendAnswer2(c.answer[:0], res)
	}
	x.cut.Reset(time.Until(until))
	stalled := time.AfterFunc(time.Until(until)+stallMax, k.wire.cutStalled)
	c.snippet = x.h.drain(res.Body, keep)
	res.Body.Close()
	stalled.Stop()
}

// drain reads a body to its end, if that is near, and returns the beginning. A stream that is left
// before it has ended is reset, which some targets hold against us when it happens often.
func (h *http2) drain(body io.Reader, keep int) (snippet []byte) {
	buf := h.scratch.Get().(*[readBytes]byte)
	defer h.scratch.Put(buf)
	for left := bodyBytesMax; left > 0; {
		n, err := body.Read(buf[:min(left, len(buf))])
		snippet = append(snippet, buf[:min(n, keep-len(snippet))]...)
		if left -= n; err != nil {
			break
		}
	}
	return snippet
}

// payload is the body of a request. net/http may read on after the answer, in a goroutine of its
// own, but not after Close.
type payload struct {
	mu   sync.Mutex // guards left
	left []byte
}

// Read is part of io.Reader.
func (p *payload) Read(to []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.left)
	p.left = p.left[n:]
	return n, nil
}

// Close is part of io.Closer.
func (p *payload) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = nil
	return nil
}

// beneath is what lies under the TLS of a connection on which the target may choose HTTP/2.
type beneath struct{ net.Conn }
