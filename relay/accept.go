package relay

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const (
	// inHandMax and inHandBytesMax bound the requests that wait for the disk at once, and the bytes
	// of their bodies; beyond either the answer is 503.
	inHandMax      = 4096
	inHandBytesMax = 64 << 20
	// requestHeadBytesMax bounds a request's head.
	requestHeadBytesMax = 16 << 10
	traceHeaderBytesMax = 512
)

// accepter takes events: a POST becomes an event, the event is spooled, and only then answered.
type accepter struct {
	r       *Relay
	parsers fastjson.ParserPool
	inHand  atomic.Int64
	bytes   atomic.Int64
	// lastAt is when the last request came, in unix nanoseconds: the drain waits for quiet.
	lastAt atomic.Int64
	// closed: nothing is taken any more.
	closed atomic.Bool
}

// handle answers one request on an events listener.
func (a *accepter) handle(ctx *fasthttp.RequestCtx) {
	began := a.r.now()
	a.lastAt.Store(began.UnixNano())
	r := a.serve(ctx, began)
	if r != nil {
		a.r.metrics.refused[r.code].Inc()
		r.write(ctx)
	}
}

func (a *accepter) serve(ctx *fasthttp.RequestCtx, began time.Time) *refusal {
	typ, named, r := eventPath(ctx.URI().PathOriginal())
	if r != nil {
		return r
	}
	switch {
	case ctx.IsGet() || ctx.IsHead():
		// Some senders probe a URL before they use it.
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("hookspool takes events here: POST them\n")
		return nil
	case !ctx.IsPost():
		return refuse(codeMethodNotAllowed, "%s is not taken here; POST an event",
			cut(string(ctx.Method()), 20))
	}
	cfg := a.r.setup.Load().cfg
	if r := checkToken(ctx, cfg.Server.EventToken.Reveal()); r != nil {
		return r
	}
	if r := checkFraming(&ctx.Request.Header); r != nil {
		ctx.SetConnectionClose()
		return r
	}
	n := int64(len(ctx.Request.Body()))
	defer a.release(n)
	if r := a.reserve(n); r != nil {
		return r
	}
	base := arrival{typ: typ, typed: named}
	if r := base.readHeaders(&ctx.Request.Header); r != nil {
		return r
	}
	return a.take(ctx, cfg, base, began)
}

// reserve takes the request in hand, or says why not.
func (a *accepter) reserve(n int64) *refusal {
	inHand, bytes := a.inHand.Add(1), a.bytes.Add(n)
	if a.closed.Load() {
		return &refusal{code: codeDraining, retryAfter: 1,
			detail: "the relay is stopping; send again to its successor"}
	}
	if inHand > inHandMax || bytes > inHandBytesMax {
		return &refusal{code: codeOverloaded, retryAfter: 1,
			detail: "too many requests are in hand; send again in a second"}
	}
	return a.r.admit(int(n))
}

func (a *accepter) release(n int64) {
	a.inHand.Add(-1)
	a.bytes.Add(-n)
}

// admit asks the spool for room.
func (r *Relay) admit(n int) *refusal {
	err := r.spool.Admit(n)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrFull):
		return &refusal{code: codeSpoolFull, detail: err.Error(), retryAfter: 30}
	}
	return diskError()
}

func diskError() *refusal {
	return &refusal{code: codeDiskError, retryAfter: 10, detail: "the spool cannot be written; " +
		"the relay stops and its next start reads what is on disk"}
}

// take turns the body into drafts, spools them and answers.
func (a *accepter) take(ctx *fasthttp.RequestCtx, cfg *config.Config, base arrival,
	began time.Time) *refusal {
	p := a.parsers.Get()
	defer a.parsers.Put(p)
	media := mediaType(ctx.Request.Header.ContentType())
	switch {
	case media == ndjson || media == ceBatch:
		return a.takeBatch(ctx, cfg, base, media == ceBatch, p, began)
	case strings.HasPrefix(media, cePrefix) && media != ceStructured:
		return refuse(codeUnsupported, "%q is not taken; of the CloudEvents formats, JSON is",
			cut(media, 100))
	}
	base.payload = ctx.Request.Body()
	base.contentType = string(ctx.Request.Header.ContentType())
	if n := int64(len(base.payload)); n > cfg.Server.MaxBodySize {
		return refuse(codeTooLarge, "the event has %d bytes; server.max_body_size is %d", n,
			cfg.Server.MaxBodySize)
	}
	var r *refusal
	if media == ceStructured {
		r = readStructuredCE(&base, p)
	} else if len(ctx.Request.Header.Peek("ce-specversion")) > 0 {
		r = readBinaryCE(&ctx.Request.Header, &base)
	}
	if r != nil {
		return r
	}
	d, r := base.draft(cfg, p)
	if r != nil {
		return r
	}
	if r := a.spool([]*spool.Draft{d}, began, nil); r != nil {
		return r
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(appendAnswer(nil, d))
	return nil
}

func (a *accepter) takeBatch(ctx *fasthttp.RequestCtx, cfg *config.Config, base arrival, ce bool,
	p *fastjson.Parser, began time.Time) *refusal {
	lines, r := splitBatch(ctx.Request.Body(), ce)
	if r != nil {
		return r
	}
	drafts, r := batchDrafts(cfg, base, lines, ce, p)
	if r != nil {
		return r
	}
	if len(drafts) > 0 {
		if r := a.spool(drafts, began, lines); r != nil {
			return r
		}
	}
	body := []byte(`{"events":[`)
	for i, d := range drafts {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendAnswer(body, d)
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, "]}"...))
	return nil
}

func splitBatch(body []byte, ce bool) ([]line, *refusal) {
	if !ce {
		return splitNDJSON(body)
	}
	elements, r := splitCEBatch(body)
	lines := make([]line, len(elements))
	for i, e := range elements {
		lines[i] = line{i + 1, e}
	}
	return lines, r
}

// spool makes the drafts durable and counts them. lines are those of a batch.
func (a *accepter) spool(drafts []*spool.Draft, began time.Time, lines []line) *refusal {
	for _, d := range drafts {
		d.At = began
	}
	err := a.append(drafts)
	var conflict *spool.ConflictError
	var large *spool.TooLargeError
	switch {
	case errors.As(err, &conflict):
		return conflictRefusal(conflict, lines)
	case errors.As(err, &large):
		return refuse(codeTooLarge, "event %d: %v", large.Index+1, err)
	case err != nil:
		return diskError()
	}
	a.r.metrics.countAccepted(drafts, time.Since(began))
	a.r.lastEvent.Store(began.UnixNano())
	return nil
}

// append skips the disk for a lone event that leaves no trace: nobody wants it, no id of it is to
// be remembered, and it belongs to no conversation.
func (a *accepter) append(drafts []*spool.Draft) error {
	if len(drafts) == 1 && !drafts[0].Given && drafts[0].Note == nil {
		var scratch [8]int
		if len(a.r.setup.Load().router.match(scratch[:0], drafts[0].Type)) == 0 {
			drafts[0].ID = a.r.spool.UnspooledID(drafts[0].At)
			return nil
		}
	}
	return a.r.spool.Append(drafts...)
}

func conflictRefusal(c *spool.ConflictError, lines []line) *refusal {
	r := refuse(codeConflict, "the id was accepted before with another body")
	if lines == nil {
		return r
	}
	bad := make([]int, len(c.Indexes))
	for i, at := range c.Indexes {
		bad[i] = lines[at].number
	}
	return batchRefusal(r, bad)
}

// appendAnswer writes {"id":…,"duplicate":…,"targets":[…]}. Ids and names need the full escaping
// only when they hold more than plain characters.
func appendAnswer(b []byte, d *spool.Draft) []byte {
	b = append(b, `{"id":`...)
	b = appendJSONString(b, d.ID)
	b = append(b, `,"duplicate":`...)
	b = strconv.AppendBool(b, d.Duplicate)
	b = append(b, `,"targets":[`...)
	for i, name := range d.Targets() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, name)
	}
	return append(b, "]}"...)
}

// eventPath reads the path: /v1/events, or /v1/events/{type} with the type in one segment.
func eventPath(path []byte) (typ string, named bool, _ *refusal) {
	rest, ok := bytes.CutPrefix(path, []byte("/v1/events"))
	if ok && len(rest) == 0 {
		return "", false, nil
	}
	if !ok || rest[0] != '/' || bytes.IndexByte(rest[1:], '/') >= 0 {
		return "", false, refuse(codeNotFound, "events are taken at /v1/events and "+
			"/v1/events/{type}")
	}
	typ, err := url.PathUnescape(string(rest[1:]))
	if err != nil {
		return "", false, refuse(codeMalformed, "the type in the path is not percent-encoded")
	}
	if r := checkName("type in the path", typ, false); r != nil {
		return "", false, r
	}
	return typ, true, nil
}

// readHeaders takes id, type and what travels with the event from the headers.
func (a *arrival) readHeaders(h *fasthttp.RequestHeader) *refusal {
	if enc := h.Peek("Content-Encoding"); len(enc) > 0 && !strings.EqualFold(string(enc), "identity") {
		return refuse(codeUnsupported, "Content-Encoding %q is not taken; send the body as it is",
			cut(string(enc), 40))
	}
	if a.id = string(h.Peek("webhook-id")); a.id == "" {
		a.id = string(h.Peek("Idempotency-Key"))
	}
	if !a.typed {
		for _, name := range [...]string{"webhook-event-type", "ce-type"} {
			if typ := h.Peek(name); len(typ) > 0 {
				a.typ, a.typed = string(typ), true
				break
			}
		}
	}
	for _, name := range [...]string{"traceparent", "tracestate"} {
		if v := h.Peek(name); len(v) > 0 && len(v) <= traceHeaderBytesMax {
			a.headers = append(a.headers, spool.Header{Name: name, Value: string(v)})
		}
	}
	return nil
}

// checkFraming refuses what a proxy in front might read differently: a length beside chunks, and
// a POST that says nothing about its body.
func checkFraming(h *fasthttp.RequestHeader) *refusal {
	length, chunked := false, false
	for raw := h.RawHeaders(); len(raw) > 0; {
		var l []byte
		l, raw, _ = bytes.Cut(raw, []byte{'\n'})
		name, _, _ := bytes.Cut(l, []byte{':'})
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length = true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	switch {
	case length && chunked:
		return refuse(codeMalformed, "the request has Content-Length and Transfer-Encoding")
	case !length && !chunked:
		return refuse(codeMalformed, "the request has neither Content-Length nor "+
			"Transfer-Encoding")
	}
	return nil
}

// checkToken compares in constant time, whatever the lengths.
func checkToken(ctx *fasthttp.RequestCtx, token string) *refusal {
	if token == "" {
		return nil
	}
	got := ctx.Request.Header.Peek("Authorization")
	scheme, value, _ := bytes.Cut(got, []byte{' '})
	a, b := sha256.Sum256(bytes.TrimSpace(value)), sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(a[:], b[:]) == 1 && bytes.EqualFold(scheme, []byte("Bearer")) {
		return nil
	}
	return refuse(codeUnauthorized, "events need the token: Authorization: Bearer …")
}

// appendJSONString writes a string as JSON; most need no escaping at all.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string cannot be encoded: " + err.Error())
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// mediaType is the type without parameters, lower case.
func mediaType(contentType []byte) string {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	return strings.ToLower(string(bytes.TrimSpace(media)))
}
