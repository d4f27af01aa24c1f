package attempt

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
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
	heard       heard // of a proxy in the head
	kind        Kind
	took        time.Duration
	retryAfter  string // that field, if the status is one with which it counts (asksForTime)
	snippet     []byte

	// What was sent and answered, for whoever looks into a failure: the head of the request from
	// where it is not the same for all, and the status line with the fields after it (answerHead).
	sent, answer []byte
}

// begin readies a call.
func (x *call) begin(c *Client, r *Request, start time.Time) {
	*x = call{client: c, request: *r, start: start, from: start, deadline: start.Add(c.timeout),
		sent: x.sent[:0], answer: x.answer[:0]}
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
		// A byte more tells whether the answer goes on.
		keep, until = snippetBytesMax+1, now.Add(drainMax)
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
	f := c.transport.carry(ctx, x)
	if f == nil {
		f = c.behind.refused(x)
	}
	if f != nil {
		return x.failed(ctx, f)
	}
	o := Outcome{Kind: x.kind, Status: x.status, Duration: x.took, Remote: x.remote, TLS: x.tls}
	if x.kind != Success {
		o.Request, o.Response = x.shownRequest(), x.shownResponse()
		o.Error = explainStatus(x.status) + c.behind.doubt(x)
		o.RetryAfter = parseRetryAfter(x.retryAfter, time.Now())
		if c.credential != nil && (x.status == 401 || x.status == 403) {
			c.credential.Refused(x.authorization, x.status)
		}
	}
	if x.request.Sample {
		line, _, _ := bytes.Cut(x.answer, []byte{'\n'})
		o.StatusLine = printable(string(c.secrets.redact(line, x.authorization)))
	}
	if x.snippet != nil {
		o.Snippet = shownSnippet(x.snippet, c.secrets.redact(x.snippet, x.authorization))
	}
	return o
}

// failed turns a fault into an Outcome. What was wrong with a credential may be told in words that
// hold it.
func (x *call) failed(ctx context.Context, f *fault) Outcome {
	o := f.settle(ctx, x.start, x.deadline)
	o.Remote, o.TLS = x.remote, x.tls
	if o.Kind == Timeout || o.Kind == Protocol { // of the others nothing has left, or it is not told
		o.Request, o.Response = x.shownRequest(), x.shownResponse()
	}
	if f.kind == Auth { // before it is cut, or the half of a secret would be left
		o.Error = string(x.client.secrets.redact([]byte(o.Error), x.authorization))
	}
	o.Error = printable(o.Error)
	return o
}

// What is kept of a failure is for people: the heads of request and answer in lines, without what
// is secret, and bounded. A success keeps nothing. It costs the copy of its answer's head all the
// same, which is read before anybody knows what it comes to.

// shownHeadMax bounds each of the two heads.
const shownHeadMax = 2 << 10

// keepLine keeps a line of an answer's head, as far as there is room.
func (s *headReader) keepLine(line []byte) {
	if s.text != nil {
		*s.text = appendLine(*s.text, line)
	}
}

// appendLine appends a line and its end, as far as there is room. There is room for a byte too
// many, which tells that something was cut.
func appendLine(to, line []byte) []byte {
	room := max(shownHeadMax+1-len(to), 0)
	if len(line) < room {
		return append(append(to, line...), '\n')
	}
	return append(to, line[:room]...)
}

// appendAnswer2 appends the head of an answer of HTTP/2, whose fields have no order.
func appendAnswer2(to []byte, res *http.Response) []byte {
	to = appendLine(to, strconv.AppendInt([]byte("HTTP/2 "), int64(res.StatusCode), 10))
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		for _, value := range res.Header[name] {
			to = appendLine(to, []byte(name+": "+value))
		}
	}
	return to
}

// keepSent keeps the part of a request's head that is its own.
func (x *call) keepSent(part []byte) {
	x.sent = append(x.sent[:0], part[:min(len(part), shownHeadMax+1)]...)
}

// shownRequest is Outcome.Request.
func (x *call) shownRequest() []byte {
	if len(x.sent) == 0 || x.remote == "" {
		return nil
	}
	return x.client.writer.shownHead(x.authorization != "", x.sent)
}

// shownHead puts the head of a request into lines; sent is what comes after its static part.
func (w *writer) shownHead(authorized bool, sent []byte) []byte {
	out := appendLine(nil, []byte(w.shown))
	_, static, _ := bytes.Cut(w.beginPreview(authorized), []byte("\r\n"))
	for _, part := range [...][]byte{static, sent} {
		for line := range bytes.SplitSeq(part, []byte("\r\n")) {
			if len(line) > 0 {
				out = appendLine(out, line)
			}
		}
	}
	return bounded(bytes.TrimRight(out, "\n"), len(out) > shownHeadMax)
}

// Head is the head of a request as Outcome.Request has it, without one being sent; nil: it cannot
// be sent. The payload is not read if nothing is signed.
func (c *Client) Head(r *Request) []byte {
	sent, err := c.writer.appendHead(nil, r)
	if err != nil {
		return nil
	}
	return c.writer.shownHead(c.credential != nil, sent)
}

// shownResponse is Outcome.Response. Cookies are the target's own secrets.
func (x *call) shownResponse() []byte {
	var out []byte
	for line := range bytes.SplitSeq(bytes.TrimRight(x.answer, "\n"), []byte{'\n'}) {
		name, _, isField := bytes.Cut(line, []byte{':'})
		if isField && equalFold(trim(name), "set-cookie") {
			line = append(slices.Clip(name), ": "+redacted...)
		}
		out = append(append(out, line...), '\n')
	}
	out = bytes.TrimRight(out, "\n")
	if len(out) == 0 {
		return nil
	}
	more := len(x.answer) > shownHeadMax
	return bounded(x.client.secrets.redact(out, x.authorization), more)
}

// bounded cuts a head that is too long, and marks one of which there was more.
func bounded(head []byte, more bool) []byte {
	if len(head) > shownHeadMax {
		head, more = wholeRunes(head[:shownHeadMax]), true
	}
	if more {
		head = append(slices.Clip(head), moreMark...)
	}
	return head
}

// shownSnippet is Outcome.Snippet of what came, when its secrets are hidden.
func shownSnippet(came, shown []byte) []byte {
	shown = shown[:min(len(shown), snippetBytesMax)]
	if len(came) <= snippetBytesMax {
		return shown
	}
	return append(slices.Clip(wholeRunes(shown)), moreMark...)
}

// wholeRunes leaves out the beginning of a rune at the end of a text that was cut.
func wholeRunes(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		last := text[len(text)-n:]
		if utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}
