package attempt

import (
	"context"
	"os"
	"time"
)

// transport carries requests to one target, and brings back the heads of the answers. There is one
// for each way of speaking with a target; http1 is ours. What an answer means, the Client says, so
// that all of them come to the same Outcomes. It is safe for concurrent use.
type transport interface {
	// carry sends the request of a call by its deadline and fills in the answer. A fault says why
	// there is no complete head in time. It keeps nothing of the call.
	carry(ctx context.Context, c *call) *fault
	// empty closes what is idle, and keeps nothing idle before an instant.
	empty(until time.Time)
	// close closes what is idle, now and for ever. Calls in flight go on.
	close()
}

// call is one request and what came of it. It belongs to one goroutine.
type call struct {
	client *Client
	// request is a copy: a pointer would put the caller's on the heap.
	request Request
	// authorization is the value of that field; empty: there is none.
	authorization string
	// start is when Do was called, from when there was a request to be sent.
	start, from, deadline time.Time

	// The answer. remote and tls are about the connection that was used last, if there was one.
	remote, tls string
	status      int
	kind        Kind
	took        time.Duration
	line        []byte // the status line, for a sample
	snippet     []byte
}

// begin readies a call.
func (x *call) begin(c *Client, r *Request, start time.Time) {
	*x = call{client: c, request: *r, start: start, from: start, deadline: start.Add(c.timeout),
		line: x.line[:0]}
}

// end lets go of what belongs to others.
func (x *call) end() { x.client, x.request, x.authorization, x.snippet = nil, Request{}, "", nil }

// answered takes the status of a complete head that came at now. It returns how many bytes of the
// body are worth keeping, and until when it is worth reading on.
func (x *call) answered(status int, now time.Time) (keep int, until time.Time) {
	x.status, x.took, x.kind = status, now.Sub(x.start), Status
	if x.client.success(status) {
		x.kind = Success
	}
	until = now.Add(drainSuccessMax)
	if x.kind != Success || x.request.Sample {
		keep, until = snippetBytesMax, now.Add(drainMax)
	}
	if x.deadline.Before(until) {
		until = x.deadline
	}
	return keep, until
}

// run makes the attempt.
func (x *call) run(ctx context.Context) Outcome {
	c := x.client
	if ctx.Err() != nil || !x.start.Before(x.deadline) {
		return x.failed(ctx, &fault{Timeout, "begin attempt", os.ErrDeadlineExceeded})
	}
	if f := c.authorize(ctx, x); f != nil {
		return x.failed(ctx, f)
	}
	if f := c.transport.carry(ctx, x); f != nil {
		return x.failed(ctx, f)
	}
	o := Outcome{Kind: x.kind, Status: x.status, Duration: x.took, Remote: x.remote, TLS: x.tls}
	if x.kind != Success {
		o.Error = explainStatus(x.status)
		if c.credential != nil && (x.status == 401 || x.status == 403) {
			c.credential.Refused(x.authorization, x.status)
		}
	}
	if x.request.Sample {
		o.StatusLine = printable(string(c.secrets.redact(x.line, x.authorization)))
	}
	if x.snippet != nil {
		o.Snippet = c.secrets.redact(x.snippet, x.authorization)
		o.Snippet = o.Snippet[:min(len(o.Snippet), snippetBytesMax)]
	}
	return o
}

// failed turns a fault into an Outcome. What was wrong with a credential may be told in words that
// hold it.
func (x *call) failed(ctx context.Context, f *fault) Outcome {
	o := f.settle(ctx, x.start, x.deadline)
	o.Remote, o.TLS = x.remote, x.tls
	if f.kind == Auth { // before it is cut, or the half of a secret would be left
		o.Error = string(x.client.secrets.redact([]byte(o.Error), x.authorization))
	}
	o.Error = printable(o.Error)
	return o
}
