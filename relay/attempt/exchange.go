package attempt

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// oneWriteMax is the payload size up to which head and payload go out in one write from
	// one piece of memory; beyond it copying costs more than a vectored write.
	oneWriteMax = 8 << 10
	// outBytesMax bounds what an idle exchange keeps.
	outBytesMax = 32 << 10
	// afterWrite is how long an answer is looked for after a failed write. Targets that refuse
	// early (413, 401) answer and close without reading, and a TLS 1.3 server says in the same
	// way that it wants a certificate; what they said is here by then.
	afterWrite = 50 * time.Millisecond
	// lastLook is the same when the deadline cut the write: for what is in the socket already.
	lastLook = 10 * time.Millisecond
)

// exchange is what one Do needs, reused from call to call. It belongs to one goroutine.
type exchange struct {
	client   *Client
	start    time.Time
	deadline time.Time
	br       *bufio.Reader
	out      []byte      // head, and the payload if it is small
	pieces   [2][]byte   // out and the payload, if it is large
	vector   net.Buffers // pieces, consumed by a write
	line     []byte      // the status line, for a sample
	answered bool        // the target has said something to this request
}

// begin readies x for a call at start.
func (x *exchange) begin(c *Client, start time.Time) {
	x.client, x.start, x.deadline = c, start, start.Add(c.timeout)
	x.out = append(x.out[:0], c.writer.static...)
	x.line, x.answered = x.line[:0], false
}

// end lets go of what belongs to the call.
func (x *exchange) end() {
	x.br.Reset(nil)
	x.client, x.pieces, x.vector = nil, [2][]byte{}, nil
	if cap(x.out) > outBytesMax {
		x.out = nil
	}
}

// run is the story of an attempt: write down the request, send it over a kept connection or
// a new one, and once more over a new one if the kept one had been closed.
func (x *exchange) run(ctx context.Context, r *Request) Outcome {
	var err error
	if x.out, err = x.client.writer.appendHead(x.out, r); err != nil {
		return Outcome{Kind: Withheld, Error: printable("cannot send request: " + err.Error())}
	}
	if len(r.Payload) <= oneWriteMax {
		x.out = append(x.out, r.Payload...)
	}
	if ctx.Err() != nil || !x.start.Before(x.deadline) {
		return x.settle(ctx, &fault{Timeout, "begin attempt", os.ErrDeadlineExceeded}, nil)
	}
	if pc := x.client.pool.take(x.start, x.deadline); pc != nil {
		o, f := x.try(ctx, pc, r)
		if f == nil {
			return o
		}
		if !x.isStale(ctx, f) {
			return x.settle(ctx, f, pc)
		}
	}
	return x.fresh(ctx, r)
}

// isStale reports that a kept connection had been closed by the target before it said
// anything to this request.
func (x *exchange) isStale(ctx context.Context, f *fault) bool {
	return ctx.Err() == nil && isClosed(f.err) && !x.answered
}

// fresh sends the request over a new connection.
func (x *exchange) fresh(ctx context.Context, r *Request) Outcome {
	dialing, cancel := context.WithDeadline(ctx, x.deadline)
	defer cancel()
	pc, f := x.client.dialer.dial(dialing)
	if f != nil {
		return x.settle(ctx, f, nil)
	}
	pc.SetDeadline(x.deadline)
	o, f := x.try(ctx, pc, r)
	if f != nil {
		return x.settle(ctx, f, pc)
	}
	return o
}

// settle turns a fault into an Outcome; pc is the connection it happened on, or nil.
func (x *exchange) settle(ctx context.Context, f *fault, pc *conn) Outcome {
	o := f.settle(ctx, x.start, x.deadline)
	if pc != nil {
		o.Remote, o.TLS = pc.remote, pc.tlsText
	}
	return o
}

// try sends the request over pc, which has its deadline, and disposes of pc: to the pool when
// it can be used again, else closed. With a complete head there is an Outcome and no fault.
func (x *exchange) try(ctx context.Context, pc *conn, r *Request) (Outcome, *fault) {
	stop := pc.watch(ctx)
	h, f := x.ask(pc, r)
	if f != nil {
		pc.unwatch(stop)
		reset(pc.tcp)
		return Outcome{}, f
	}
	now := time.Now()
	o := x.judge(pc, h, r)
	o.Duration = now.Sub(x.start)
	reusable := x.drain(pc, &h, &o, r, now)
	// Cancelled meanwhile: the outcome stands, the connection does not.
	if pc.unwatch(stop) && reusable {
		x.client.pool.put(pc, time.Now())
	} else {
		pc.close()
	}
	return o, nil
}

// ask writes the request and reads the final head.
func (x *exchange) ask(pc *conn, r *Request) (head, *fault) {
	x.br.Reset(pc.Conn)
	failed := x.write(pc, r.Payload)
	if failed != nil {
		if errors.Is(failed, os.ErrDeadlineExceeded) && time.Now().Before(x.deadline) {
			return head{}, &fault{Protocol, "write request", failed} // aborted
		}
		pc.SetReadDeadline(x.untilAfterWrite(time.Now()))
	}
	var line *[]byte
	if r.Sample {
		line = &x.line
	}
	h, err := readHead(x.br, line)
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
	if x.deadline.Before(until) {
		until = x.deadline
	}
	if last := now.Add(lastLook); until.Before(last) {
		until = last
	}
	return until
}

// write sends head and payload.
func (x *exchange) write(pc *conn, payload []byte) error {
	if len(payload) <= oneWriteMax {
		_, err := pc.Conn.Write(x.out)
		return err
	}
	x.pieces = [2][]byte{x.out, payload}
	x.vector = x.pieces[:]
	// writev for TCP; two writes for TLS.
	_, err := x.vector.WriteTo(pc.Conn)
	return err
}

// judge makes the Outcome of a complete head.
func (x *exchange) judge(pc *conn, h head, r *Request) Outcome {
	o := Outcome{Kind: Success, Status: h.status, Remote: pc.remote, TLS: pc.tlsText}
	if !x.client.success(h.status) {
		o.Kind, o.Error = Status, explainStatus(h.status)
	}
	if r.Sample {
		o.StatusLine = printable(string(x.client.secrets.redact(x.line)))
	}
	return o
}

// explainStatus says what was answered, in the standard's words and not in the target's.
func explainStatus(status int) string {
	text := "answered " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	switch status / 100 {
	case 2:
		text += "; `success` does not list it"
	case 3:
		text += "; redirects are not followed"
	}
	return text
}

// drain reads what is worth reading of the body, fills in the snippet and reports whether pc
// can be used again.
func (x *exchange) drain(pc *conn, h *head, o *Outcome, r *Request, now time.Time) bool {
	b := body{br: x.br, pc: pc, until: now.Add(drainSuccessMax)}
	if o.Kind != Success || r.Sample {
		b.keep, b.until = snippetBytesMax, now.Add(drainMax)
	}
	if x.deadline.Before(b.until) {
		b.until = x.deadline
	}
	reusable := b.drain(h)
	if b.keep > 0 {
		o.Snippet = x.client.secrets.redact(b.snippet)
		if len(o.Snippet) > snippetBytesMax {
			o.Snippet = o.Snippet[:snippetBytesMax]
		}
	}
	return reusable
}
