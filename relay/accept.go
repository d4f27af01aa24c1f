package relay

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const (
	// inHandMax bounds the requests that wait for their turn or the disk, inHandBytesMax the memory
	// of all bodies that are being read or wait; beyond either the answer is 503.
	inHandMax      = 4096
	inHandBytesMax = 64 << 20
	// requestHeadBytesMax bounds a request's head.
	requestHeadBytesMax = 16 << 10
)

// accepter takes events: a POST becomes an event, the event is spooled, and only then answered.
type accepter struct {
	r       *Relay
	parsers fastjson.ParserPool
	bodies  bodies
	inHand  atomic.Int64
	bytes   atomic.Int64 // of room for bodies
	cpus    int
	// turns bound the requests that are being read and spooled; the others in hand wait in line.
	turns slots
	// lagging is whether a target was left behind when lookedAt; the committer's.
	lagging  bool
	lookedAt time.Time
	// refusals paces the answers to those who are refused for overload.
	refusals pace
	// lastAt is when the last request came, in unix nanoseconds: the drain waits for quiet.
	lastAt atomic.Int64
	// closed: nothing is taken any more.
	closed atomic.Bool
	// untyped lets through what the log says of events without a type.
	untyped seldom
}

// handle answers one request on an events listener.
func (a *accepter) handle(ctx *fasthttp.RequestCtx) {
	a.lastAt.Store(a.r.now().UnixNano())
	a.r.tracer.begin(ctx)
	r := a.serve(ctx)
	if r != nil {
		a.r.metrics.refused[r.code].Inc()
		if r.code == codeOverloaded {
			time.Sleep(a.refusals.delay(time.Now()))
		}
		r.write(ctx)
	}
	answerAtOnce(ctx)
	a.r.tracer.end(ctx, r)
}

// answerAtOnce keeps a finished answer from waiting for a request that has begun to come after this
// one: the library holds answers back while anything follows, and a deadline of our own is what
// makes it send.
func answerAtOnce(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*lingerConn); ok && c.Begun() > ctx.ConnRequestNum() {
		_ = ctx.SetWriteDeadline(time.Now().Add(answerTimeout)) // writing says if it is gone
	}
}

func (a *accepter) serve(ctx *fasthttp.RequestCtx) *refusal {
	cfg := a.r.setup.Load().cfg
	base, take, r := readHead(&ctx.Request.Header, ctx.URI().PathOriginal(), cfg)
	if r != nil || !take {
		if r == nil {
			answerProbe(ctx)
		}
		leaveBody(ctx)
		return r
	}
	b, r := a.readBody(ctx, a.r.bodyBytesMax(&ctx.Request.Header))
	defer a.releaseBody(b)
	if r != nil {
		closePolitely(ctx)
		return r
	}
	defer a.inHand.Add(-1)
	if r := a.reserve(len(b.buf)); r != nil {
		return r
	}
	base.payload = b.buf
	base.headers = a.r.tracer.keep(ctx, base.headers)
	n := len(b.buf)
	if r = a.takeInTurn(ctx, cfg, base); r != nil {
		a.r.spool.Forgo(n)
	}
	return r
}

// takeInTurn takes an event when it is its turn.
func (a *accepter) takeInTurn(ctx *fasthttp.RequestCtx, cfg *config.Config, base arrival) *refusal {
	a.turns.acquire(nil)
	defer a.turns.release()
	return a.take(ctx, cfg, base, a.r.now())
}

// reserve takes a request in hand, or says why not. Undo it by inHand, also after a refusal.
func (a *accepter) reserve(n int) *refusal {
	inHand := a.inHand.Add(1)
	if a.closed.Load() {
		if a.r.spool.Err() != nil {
			return diskError()
		}
		return &refusal{code: codeDraining, retryAfter: 1,
			detail: "the relay is stopping; send again to its successor"}
	}
	if inHand > inHandMax {
		return overloaded()
	}
	return a.r.admit(n)
}

// admit asks the spool for room.
func (r *Relay) admit(n int) *refusal {
	if err := r.spool.Admit(n); err != nil {
		return notSpooled(err)
	}
	return nil
}

// notSpooled is the refusal for a spool that cannot take an event.
func notSpooled(err error) *refusal {
	if errors.Is(err, spool.ErrFull) {
		return &refusal{code: codeSpoolFull, detail: err.Error(), retryAfter: 30}
	}
	return diskError()
}

func diskError() *refusal {
	return &refusal{code: codeDiskError, retryAfter: 10, detail: "the spool cannot be written, " +
		"and what reached the disk is known only to the relay's next start; send again with the same id"}
}

// take turns the body into drafts, spools them and answers.
func (a *accepter) take(ctx *fasthttp.RequestCtx, cfg *config.Config, base arrival,
	began time.Time) *refusal {
	p := a.parsers.Get()
	defer a.parsers.Put(p)
	media := mediaType(ctx.Request.Header.ContentType())
	if media == ndjson || media == ceBatch {
		return a.takeBatch(ctx, cfg, base, media == ceBatch, p, began)
	}
	base.contentType = string(ctx.Request.Header.ContentType())
	if n := int64(len(base.payload)); n > cfg.Server.MaxBodySize {
		return refuse(codeTooLarge, "the event has %d bytes; server.max_body_size is %d", n,
			cfg.Server.MaxBodySize)
	}
	if media == ceStructured {
		if r := readStructuredCE(&base, p); r != nil {
			return r
		}
	}
	d, r := base.draft(cfg, p)
	if r != nil {
		return r
	}
	drafts := []*spool.Draft{d}
	if r := a.spool(drafts, began, nil); r != nil {
		return r
	}
	a.r.tracer.took(ctx, drafts)
	ctx.SetContentType("application/json")
	// The spool has its own copy of the payload by now, so the answer may take its place.
	ctx.SetBody(appendAnswer(base.payload[:0], d, a.r.spool))
	return nil
}

func (a *accepter) takeBatch(ctx *fasthttp.RequestCtx, cfg *config.Config, base arrival, ce bool,
	p *fastjson.Parser, began time.Time) *refusal {
	lines, r := splitBatch(base.payload, ce)
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
	a.r.tracer.took(ctx, drafts)
	body := []byte(`{"events":[`)
	for i, d := range drafts {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendAnswer(body, d, a.r.spool)
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
	if err := a.append(drafts); err != nil {
		return notAppended(err, lines)
	}
	for _, d := range drafts {
		if d.Duplicate || d.Seq == 0 {
			a.r.spool.Forgo(len(d.Payload))
		}
	}
	a.r.metrics.countAccepted(drafts, time.Since(began))
	a.r.lastEvent.Store(began.UnixNano())
	a.sayUntyped(drafts, began)
	return nil
}

// sayUntyped tells of events that nobody wants and that have no type although they look like JSON:
// most likely event.type_field does not name where it is.
func (a *accepter) sayUntyped(drafts []*spool.Draft, now time.Time) {
	cfg := a.r.setup.Load().cfg
	for _, d := range drafts {
		if d.Seq != 0 || d.Duplicate || d.Type != cfg.Event.DefaultType || !looksLikeJSON(d.Payload) {
			continue
		}
		count, say := a.untyped.pass(now, saySeldom)
		if !say {
			continue
		}
		a.r.log.Warn("an event looks like JSON, has no type that could be found, and no target "+
			"wants it: it was answered 200 and is not kept", "id", d.ID, "content_type", d.ContentType,
			"type_field", cfg.Event.TypeField, "default_type", cfg.Event.DefaultType, "events", count)
	}
}

// notAppended is the refusal for an error of Append. lines are those of a batch.
func notAppended(err error, lines []line) *refusal {
	if conflict, ok := errors.AsType[*spool.ConflictError](err); ok {
		return conflictRefusal(conflict, lines)
	}
	if large, ok := errors.AsType[*spool.TooLargeError](err); ok {
		return refuse(codeTooLarge, "event %d: %v", large.Index+1, err)
	}
	return notSpooled(err)
}

// append skips the disk for a lone event that leaves no trace: nobody wants it, no id of it is to
// be remembered, and it belongs to no conversation.
func (a *accepter) append(drafts []*spool.Draft) error {
	if len(drafts) == 1 && !drafts[0].Given && drafts[0].Note == nil {
		if len(a.r.setup.Load().router.match(drafts[0].Type)) == 0 {
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
func appendAnswer(b []byte, d *spool.Draft, s *spool.Spool) []byte {
	b = append(b, `{"id":`...)
	b = appendJSONString(b, d.ID)
	b = append(b, `,"duplicate":`...)
	b = strconv.AppendBool(b, d.Duplicate)
	b = append(b, `,"targets":[`...)
	for i, id := range d.Lanes() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, s.NameOf(id))
	}
	return append(b, "]}"...)
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
