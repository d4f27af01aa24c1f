package attempt

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// oneWriteMax is the payload size up to which head and payload go out in one write from
	// one piece of memory; beyond it copying costs more than a vectored write.
	oneWriteMax = 8 << 10
	// recordMax is what one TLS record holds (RFC 8446 §5.1). Each is a write of its own for
	// crypto/tls, so the first is filled up.
	recordMax = 16 << 10
	// gatherBytes hold two records, with what encryption adds: two in one write cost so much less
	// than two writes that the copy is worth it, and more in one gain nothing.
	gatherBytes = 33 << 10
	// outBytesMax bounds what an idle exchange keeps of its requests.
	outBytesMax = 32 << 10
	// afterWrite is how long an answer is looked for after a failed write. Targets that refuse
	// early (413, 401) answer and close without reading, and a TLS 1.3 server says in the same
	// way that it wants a certificate; what they said is here by then.
	afterWrite = 50 * time.Millisecond
	// lastLook is the same when the deadline cut the write: for what is in the socket already.
	lastLook = 10 * time.Millisecond
)

// http1 is the transport of HTTP/1.1, over connections of our own.
type http1 struct {
	writer  *writer
	dialer  *dialer
	pool    *pool
	buffers *Buffers
	// upgraded, when set, takes a fresh connection on which the target chose HTTP/2.
	upgraded func(*conn) bool
}

// newHTTP1 makes the transport of a target; it opens no connection.
func newHTTP1(w *writer, d *dialer, o *Options) *http1 {
	h := &http1{writer: w, dialer: d, buffers: o.Buffers,
		pool: &pool{max: max(o.Concurrency, 1), maxAge: o.MaxAge}}
	if h.buffers == nil {
		h.buffers = &Buffers{}
	}
	return h
}

// Buffers hold what requests are written into and answers are read through, 16 KiB and more each.
// They are for many Clients: a thousand of which each kept some kept 16 MiB. The zero Buffers is
// ready.
type Buffers struct {
	exchanges sync.Pool // of *exchange
}

// get is an exchange for one call.
func (b *Buffers) get() *exchange {
	if x, ok := b.exchanges.Get().(*exchange); ok {
		return x
	}
	return &exchange{br: bufio.NewReaderSize(nil, readerBytes)}
}

// put takes it back after its end.
func (b *Buffers) put(x *exchange) { b.exchanges.Put(x) }

// carry is part of transport. At most one request is answered per call, but a connection kept from
// before that the target has closed meanwhile is replaced once.
func (h *http1) carry(ctx context.Context, c *call) *fault {
	x := h.buffers.get()
	defer h.buffers.put(x)
	x.h, x.call, x.answered = h, c, false
	f := x.run(ctx)
	if f != nil || c.kind != Success {
		c.keepSent(x.out[x.dynamic:x.headEnd])
	}
	if b := h.dialer.behind; f != nil && b != nil && b.plain {
		b.blame(f)
	}
	x.end()
	return f
}

// empty is part of transport.
func (h *http1) empty(until time.Time) { h.pool.empty(until) }

// close is part of transport.
func (h *http1) close() { h.pool.close() }

// exchange is what one call needs, reused from call to call. It belongs to one goroutine.
type exchange struct {
	h        *http1
	call     *call
	br       *bufio.Reader
	out      []byte      // head, and the beginning of the payload
	dynamic  int         // where in out begins what is of this request alone
	headEnd  int         // and where the head ends
	rest     []byte      // of the payload; it is the caller's
	sealed   []byte      // holds records of a large request; made when there is one
	pieces   [2][]byte   // out and rest
	vector   net.Buffers // pieces, consumed by a write
	answered bool        // the target has said something to this request
}

// end lets go of what belongs to the call.
func (x *exchange) end() {
	x.br.Reset(nil)
	x.h, x.call, x.rest, x.pieces, x.vector = nil, nil, nil, [2][]byte{}, nil
	if cap(x.out) > outBytesMax {
		x.out = nil
	}
}

// run is the story of an exchange: write down the request, send it over a kept connection or
// a new one, and once more over a new one if the kept one had been closed.
func (x *exchange) run(ctx context.Context) *fault {
	c, r := x.call, &x.call.request
	var err error
	x.out = x.h.writer.begin(x.out[:0], c.authorization)
	x.dynamic, x.headEnd = len(x.out), len(x.out)
	if x.out, err = x.h.writer.appendHead(x.out, r); err != nil {
		return &fault{Withheld, "send request", err}
	}
	x.headEnd = len(x.out)
	n := x.together(len(r.Payload))
	x.out, x.rest = append(x.out, r.Payload[:n]...), r.Payload[n:]
	for {
		pc := x.h.pool.take(c.from, c.deadline)
		if pc == nil {
			return x.fresh(ctx)
		}
		f := x.try(ctx, pc)
		switch {
		case f == nil:
			return nil
		case f.err == errNoisy:
			continue
		case x.isStale(ctx, f):
			return x.fresh(ctx)
		}
		return f
	}
}

// together is how much of a payload is copied behind the head, to be sent with it.
func (x *exchange) together(payload int) int {
	switch {
	case x.h.dialer.tls != nil:
		return min(payload, max(recordMax-len(x.out), 0))
	case payload <= oneWriteMax:
		return payload
	}
	return 0
}

// isStale reports that a kept connection had been closed by the target before it said
// anything to this request.
func (x *exchange) isStale(ctx context.Context, f *fault) bool {
	return ctx.Err() == nil && isClosed(f.err) && !x.answered
}

// fresh sends the request over a new connection.
func (x *exchange) fresh(ctx context.Context) *fault {
	dialing, cancel := context.WithDeadline(ctx, x.call.deadline)
	defer cancel()
	x.call.remote, x.call.tls = "", ""
	pc, f := x.h.dialer.dial(dialing)
	if f != nil {
		return f
	}
	if x.h.upgraded != nil && x.h.upgraded(pc) {
		return &fault{Protocol, "", errUpgraded}
	}
	pc.shorten(x.call.deadline)
	return x.try(ctx, pc)
}

// try sends the request over pc, which has its deadline, and disposes of pc: to the pool when
// it can be used again, else closed. With a complete head there is an answer and no fault.
func (x *exchange) try(ctx context.Context, pc *conn) *fault {
	x.call.remote, x.call.tls = pc.remote, pc.tlsText
	pc.watch(ctx)
	h, f := x.ask(pc)
	if f != nil {
		pc.rest()
		if f.err == errNoisy {
			pc.close()
		} else {
			pc.reset()
		}
		return f
	}
	reusable := x.drain(pc, &h)
	// Cancelled meanwhile: the answer stands, the connection does not.
	if pc.rest() && reusable {
		x.h.pool.put(pc, time.Now())
	} else {
		pc.close()
	}
	return nil
}

// ask writes the request and reads the final head.
func (x *exchange) ask(pc *conn) (head, *fault) {
	x.br.Reset(pc)
	failed := pc.send(x)
	if failed == errNoisy {
		return head{}, &fault{Protocol, "write request", failed}
	}
	if failed != nil {
		if errors.Is(failed, os.ErrDeadlineExceeded) && time.Now().Before(x.call.deadline) {
			return head{}, &fault{Protocol, "write request", failed} // aborted
		}
		pc.shorten(x.untilAfterWrite(time.Now()))
	}
	h, err := readHead(x.br, &x.call.answer)
	x.answered = h.status != 0 || x.br.Buffered() > 0
	switch {
	case err == nil:
		// A request that was not written whole leaves the connection in the middle.
		h.close = h.close || failed != nil
		return h, nil
	case failed != nil && !isAlert(err):
		return head{}, &fault{Protocol, "write request", failed}
	}
	return head{}, &fault{Protocol, "read answer", err}
}

// untilAfterWrite returns how long an answer is looked for after a write that failed by now.
func (x *exchange) untilAfterWrite(now time.Time) time.Time {
	until := now.Add(afterWrite)
	if x.call.deadline.Before(until) {
		until = x.call.deadline
	}
	if last := now.Add(lastLook); until.Before(last) {
		until = last
	}
	return until
}

// explainStatus says what was answered, in the standard's words and not in the target's.
func explainStatus(status int) string {
	text := "answered " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	switch status / 100 {
	case 2:
		text += "; success = [\"2xx\"] would take it"
	case 3:
		text += "; redirects are not followed"
	}
	return text
}

// drain reads what is worth reading of the body, fills in the snippet and reports whether pc
// can be used again.
func (x *exchange) drain(pc *conn, h *head) bool {
	b := body{br: x.br, pc: pc}
	b.keep, b.until = x.call.answered(h.status, time.Now())
	x.call.retryAfter = h.retryAfter
	reusable := b.drain(h)
	x.call.snippet, x.call.heard = b.snippet, h.heard
	return reusable
}
