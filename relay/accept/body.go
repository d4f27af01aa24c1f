package accept

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/framing"
)

// A request's body is read here and not by the HTTP library, which makes room for as much as a head
// declares before a byte has come: a few hundred connections that declare a batch and send nothing
// would hold gigabytes. Here the room grows with what arrived, and every byte of it is part of one
// budget for all connections.

const (
	// prefetchBytes of a body are read by the library before its handler runs.
	prefetchBytes = 8 << 10
	// bodyBufferMin is the first room of a body, bodyBufferKept the largest that is used again.
	bodyBufferMin  = 4 << 10
	bodyBufferKept = 64 << 10
	// smallShare of the budget is for bodies of up to bodyBufferKept, so that large ones that come
	// slowly cannot keep small ones out.
	smallShare = 4
)

// body is the body of one request, and its part of the budget. It belongs to one goroutine.
type body struct {
	buf  []byte
	held int64
}

// bodies are kept between requests.
type bodies struct{ pool sync.Pool }

func (p *bodies) get() *body {
	if b, ok := p.pool.Get().(*body); ok {
		return b
	}
	return &body{}
}

func (p *bodies) put(b *body) {
	if cap(b.buf) > bodyBufferKept {
		b.buf = nil
	}
	b.buf = b.buf[:0]
	p.pool.Put(b)
}

// readBody reads the whole body of a request, at most limit bytes of it. Give what it returns to
// releaseBody, also with a refusal.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, limit int64) (*body, *Refusal) {
	b := s.bodies.get()
	length := int64(ctx.Request.Header.ContentLength())
	if declaredTooLarge(&ctx.Request.Header, length) || length > limit {
		return b, tooLarge(limit)
	}
	in := ctx.RequestBodyStream()
	if in == nil {
		return b, nil
	}
	for {
		if r := s.makeRoom(b, length); r != nil {
			return b, r
		}
		n, err := in.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
		if int64(len(b.buf)) > limit {
			return b, tooLarge(limit)
		}
		if err != nil {
			return b, endOfBody(ctx, err, int64(len(b.buf)), length)
		}
	}
}

// makeRoom lets the buffer grow, within the budget and never far beyond what has arrived. A length
// below 0 is not known.
func (s *Server) makeRoom(b *body, length int64) *Refusal {
	have := int64(len(b.buf))
	if have < int64(cap(b.buf)) && b.held > 0 {
		return nil
	}
	room := max(2*have, bodyBufferMin, int64(cap(b.buf)))
	if length >= 0 {
		// One byte more, so that the end is seen without growing again.
		room = max(min(room, length+1), int64(cap(b.buf)))
	}
	all := s.bytes.Add(room - b.held)
	b.held = room
	// Whoever has nobody beside it gets its room: a budget may be smaller than the largest batch.
	if most := s.bodyBudget(room); all > most && all > room {
		return overloaded()
	}
	if room > int64(cap(b.buf)) {
		b.buf = append(make([]byte, 0, room), b.buf...)
	}
	return nil
}

// bodyBudget is what all bodies may take together when one of them wants so much room.
func (s *Server) bodyBudget(room int64) int64 {
	if room > bodyBufferKept {
		return s.o.BodyBytes - s.o.BodyBytes/smallShare
	}
	return s.o.BodyBytes
}

func (s *Server) releaseBody(b *body) {
	s.bytes.Add(-b.held)
	b.held = 0
	s.bodies.put(b)
}

// endOfBody is nil when the body is whole. The library ends a body by io.EOF also when the
// connection ended in it.
func endOfBody(ctx *fasthttp.RequestCtx, err error, got, length int64) *Refusal {
	c, known := ctx.Conn().(*lingerConn)
	switch {
	case errors.Is(err, io.EOF) && length >= 0 && got == length:
		return nil
	case errors.Is(err, io.EOF) && length < 0 && !(known && c.ended.Load()):
		return nil
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case known && c.Fault() != nil:
		return misframed(c.Fault())
	case ok && timeout.Timeout():
		return tooSlow()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(CodeMalformed, "the connection ended before the body did, after %d bytes", got)
	}
	return refuse(CodeMalformed, "the chunks of the body are not valid HTTP")
}

// leaveBody readies the connection for what follows a request whose body was not read: what is left
// of it must not be taken for another request.
func leaveBody(ctx *fasthttp.RequestCtx) {
	length, in := ctx.Request.Header.ContentLength(), ctx.RequestBodyStream()
	switch {
	case declaredTooLarge(&ctx.Request.Header, int64(length)):
		// The library believes that there is no body.
	case in == nil:
		return
	case length >= 0 && length <= prefetchBytes:
		// All of it has come; nothing waits here.
		if n, err := io.Copy(io.Discard, in); err == nil && n == int64(length) {
			return
		}
	}
	closePolitely(ctx)
}

// closePolitely ends the connection after the answer, without a reset that would destroy it.
func closePolitely(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*lingerConn); ok {
		c.linger.Store(true)
	}
}

// bodyLimit bounds a body by its head. One that declares too much loses its length, so that the
// library does not wait for its beginning before the handler can refuse it; the handler sees the
// true length in the raw head. So does every body that a sender announces by Expect and that is
// refused by its head: without Expect the library sends no 100 Continue, and the handler refuses at
// once.
func (s *Server) bodyLimit(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	limit := s.bodyBytesMax(h)
	length := int64(h.ContentLength())
	if length > limit || s.unexpected(h) {
		h.Del("Expect")
		if length > 0 { // chunks are not waited for
			h.SetContentLength(0)
		}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: int(limit)}
}

// unexpected reports that a sender waits for 100 Continue with a body that nobody wants.
func (s *Server) unexpected(h *fasthttp.RequestHeader) bool {
	if len(h.Peek("Expect")) == 0 {
		return false
	}
	var u fasthttp.URI
	if err := u.Parse(h.Host(), h.RequestURI()); err != nil {
		return false // the library refuses it
	}
	_, take, _ := readHead(h, u.PathOriginal(), s.o.Rules().Config)
	return !take
}

// bodyBytesMax allows a batch its 16 times.
func (s *Server) bodyBytesMax(h *fasthttp.RequestHeader) int64 {
	limit := s.o.Rules().Config.Server.MaxBodySize
	switch mediaType(h.ContentType()) {
	case ndjson, ceBatch:
		limit *= batchSizes
	}
	return limit
}

// declaredTooLarge reports that bodyLimit took the length away.
func declaredTooLarge(h *fasthttp.RequestHeader, length int64) bool {
	return length == 0 && declared(h.RawHeaders())
}

// declared reports whether a raw head has a Content-Length above zero.
func declared(raw []byte) bool {
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte{':'})
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return len(bytes.Trim(value, " \t\r0")) > 0
		}
	}
	return false
}

// misframed refuses what a proxy in front might read differently; where the next request begins is
// not known.
func misframed(fault *framing.Error) *Refusal {
	r := refuse(CodeMalformed, "%v", fault)
	if fault.Version {
		r.status = fasthttp.StatusHTTPVersionNotSupported
	}
	return r
}

func tooLarge(limit int64) *Refusal {
	return refuse(CodeTooLarge, "the body is larger than %d bytes; server.max_body_size bounds an "+
		"event, a batch may hold %d times that", limit, batchSizes)
}

func tooSlow() *Refusal {
	return refuse(CodeMalformed, "the request did not arrive within server.read_timeout")
}

func overloaded() *Refusal {
	return &Refusal{Code: CodeOverloaded, RetryAfter: 1,
		Detail: "too many requests are in hand; send again in a second"}
}
