package accept

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// inHandMax bounds the requests that wait for their turn or the disk, Options.BodyBytes the memory
	// of all bodies that are being read or wait; beyond either the answer is 503.
	inHandMax        = 4096
	bodyBytesDefault = 64 << 20
	// requestHeadBytesMax bounds a request's head.
	requestHeadBytesMax = 16 << 10
)

// saySeldom is how often the log says it.
const saySeldom = time.Minute

// post is one request in hand. It belongs to one goroutine.
type post struct {
	ctx  *fasthttp.RequestCtx
	span Span // nil: there is none
	// event is what is known of the event; of those of a batch, what they have in common.
	event arrival
	// rules are those of the instant at which the event is read.
	rules  *Rules
	parser *fastjson.Parser
	began  time.Time
}

// handle answers one request on an events listener.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	s.lastAt.Store(s.o.Now().UnixNano())
	p := post{ctx: ctx}
	if s.o.Tracer != nil && ctx.IsPost() {
		p.span = s.o.Tracer.Begin(traceHeaders(&ctx.Request.Header))
	}
	no := s.serve(&p)
	if no != nil {
		s.o.Counter.Refused(no.Code)
		if no.Code == CodeOverloaded {
			time.Sleep(s.refusals.delay(time.Now()))
		}
		no.write(ctx)
	}
	answerAtOnce(ctx)
	if p.span != nil {
		p.span.End(ctx.Response.StatusCode(), no.code())
	}
}

// answerAtOnce keeps a finished answer from waiting for a request that has begun to come after this
// one: the library holds answers back while anything follows, and a deadline of our own is what
// makes it send.
func answerAtOnce(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*lingerConn); ok && c.Begun() > ctx.ConnRequestNum() {
		_ = ctx.SetWriteDeadline(time.Now().Add(answerTimeout)) // writing says if it is gone
	}
}

func (s *Server) serve(p *post) (no *Refusal) {
	h, take := &p.ctx.Request.Header, false
	p.event, take, no = readHead(h, p.ctx.URI().PathOriginal(), s.o.Rules().Config)
	if no != nil || !take {
		if no == nil {
			answerProbe(p.ctx)
		}
		leaveBody(p.ctx)
		return no
	}
	if no := s.shortOfMemory(); no != nil {
		leaveBody(p.ctx)
		return no
	}
	b, no := s.readBody(p.ctx, s.bodyBytesMax(h))
	defer s.releaseBody(b)
	if no != nil {
		closePolitely(p.ctx)
		return no
	}
	defer s.inHand.Add(-1)
	if no := s.reserve(len(b.buf)); no != nil {
		return no
	}
	p.event.payload = b.buf
	if p.span != nil {
		p.event.headers = p.span.Keep(p.event.headers)
	}
	if no = s.takeInTurn(p); no != nil {
		s.o.Spool.Forgo(len(b.buf))
	}
	return no
}

// takeInTurn takes an event when it is its turn.
func (s *Server) takeInTurn(p *post) *Refusal {
	if isBatch(mediaType(p.ctx.Request.Header.ContentType())) {
		s.batches.Acquire(nil)
		defer s.batches.Release()
	}
	s.turns.Acquire(nil)
	defer s.turns.Release()
	p.parser = s.parsers.Get()
	defer s.parsers.Put(p.parser)
	p.rules, p.began = s.hold(), s.o.Now()
	defer p.rules.release()
	return s.take(p)
}

// reserve takes a request in hand, or says why not. Undo it by inHand, also after a refusal.
func (s *Server) reserve(n int) *Refusal {
	inHand := s.inHand.Add(1)
	if s.closed.Load() {
		if s.o.Spool.Err() != nil {
			return diskError()
		}
		return &Refusal{Code: CodeDraining, RetryAfter: 1,
			Detail: "the relay is stopping; send again to its successor"}
	}
	if inHand > inHandMax {
		return overloaded()
	}
	if err := s.o.Spool.Admit(n); err != nil {
		return notSpooled(err)
	}
	return nil
}

// notSpooled is the refusal for a spool that cannot take an event.
func notSpooled(err error) *Refusal {
	if errors.Is(err, engine.ErrUnavailable) {
		return &Refusal{Code: CodeOverloaded, RetryAfter: 1, Detail: "nothing can be spooled at the " +
			"moment; send again with the same id, or to another relay"}
	}
	if errors.Is(err, spool.ErrFull) {
		return &Refusal{Code: CodeSpoolFull, Detail: err.Error(), RetryAfter: 30}
	}
	return diskError()
}

func diskError() *Refusal {
	return &Refusal{Code: CodeDiskError, RetryAfter: 10, Detail: "the spool cannot be written, " +
		"and what reached the disk is known only to the relay's next start; send again with the same id"}
}

// take turns the body into drafts, spools them and answers.
func (s *Server) take(p *post) *Refusal {
	contentType := p.ctx.Request.Header.ContentType()
	media := mediaType(contentType)
	if isBatch(media) {
		return s.takeBatch(p, media == ceBatch)
	}
	a := &p.event
	a.contentType = string(contentType)
	if no := TooLarge(p.rules, a.payload); no != nil {
		return no
	}
	if media == ceStructured {
		if no := readStructuredCE(a, p.parser); no != nil {
			return no
		}
	}
	d, no := a.draft(p.rules, p.parser)
	if no != nil {
		return no
	}
	drafts := []*spool.Draft{d}
	if no := s.spool(p, drafts, nil); no != nil {
		return no
	}
	p.took(drafts)
	p.ctx.SetContentType("application/json")
	// The spool has its own copy of the payload by now, so the answer may take its place.
	p.ctx.SetBody(append(appendAnswer(a.payload[:0], d, s.o.Spool), '\n'))
	return nil
}

func (s *Server) takeBatch(p *post, ce bool) *Refusal {
	lines, no := splitBatch(p.event.payload, ce)
	if no != nil {
		return no
	}
	drafts, no := p.batchDrafts(lines, ce)
	if no != nil {
		return no
	}
	if len(drafts) > 0 {
		if no := s.spool(p, drafts, lines); no != nil {
			return no
		}
	}
	p.took(drafts)
	body := []byte(`{"events":[`)
	for i, d := range drafts {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendAnswer(body, d, s.o.Spool)
	}
	p.ctx.SetContentType("application/json")
	p.ctx.SetBody(append(body, "]}\n"...))
	return nil
}

// took tells the span what the request brought.
func (p *post) took(drafts []*spool.Draft) {
	if p.span != nil {
		p.span.Took(drafts)
	}
}

func splitBatch(body []byte, ce bool) ([]line, *Refusal) {
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
func (s *Server) spool(p *post, drafts []*spool.Draft, lines []line) *Refusal {
	for _, d := range drafts {
		d.At = p.began
	}
	if err := s.append(drafts); err != nil {
		return notAppended(err, lines)
	}
	for _, d := range drafts {
		if d.Duplicate || d.Seq == 0 {
			s.o.Spool.Forgo(len(d.Payload))
		}
		if d.Seq == 0 && !d.Duplicate && p.rules.Unwanted != nil {
			p.rules.Unwanted(d)
		}
	}
	s.o.Counter.Accepted(drafts, time.Since(p.began))
	s.lastEvent.Store(p.began.UnixNano())
	s.sayUntyped(p, drafts)
	return nil
}

// sayUntyped tells of events that nobody wants and that have no type although they look like JSON:
// most likely event.type_field does not name where it is.
func (s *Server) sayUntyped(p *post, drafts []*spool.Draft) {
	event := &p.rules.Config.Event
	for _, d := range drafts {
		if d.Seq != 0 || d.Duplicate || d.Type != event.DefaultType || !looksLikeJSON(d.Payload) {
			continue
		}
		count, say := s.untyped.Pass(p.began, saySeldom)
		if !say {
			continue
		}
		s.o.Log.Warn("an event looks like JSON, has no type that could be found, and no target "+
			"wants it: it was answered 200 and is not kept", "id", d.ID, "content_type", d.ContentType,
			"type_field", event.TypeField, "default_type", event.DefaultType, "events", count)
	}
}

// notAppended is the refusal for an error of Append. lines are those of a batch.
func notAppended(err error, lines []line) *Refusal {
	if conflict, ok := errors.AsType[*spool.ConflictError](err); ok {
		return conflictRefusal(conflict, lines)
	}
	if large, ok := errors.AsType[*spool.TooLargeError](err); ok {
		return refuse(CodeTooLarge, "event %d: %v", large.Index+1, err)
	}
	return notSpooled(err)
}

// append skips the disk for a lone event that leaves no trace: nobody wants it, no id of it is to
// be remembered, and it belongs to no conversation.
func (s *Server) append(drafts []*spool.Draft) error {
	if len(drafts) == 1 && !drafts[0].Given && drafts[0].Note == nil {
		drafts[0].ID = s.o.Spool.UnspooledID(drafts[0].At)
		return nil
	}
	return s.o.Spool.Append(drafts...)
}

func conflictRefusal(c *spool.ConflictError, lines []line) *Refusal {
	r := refuse(CodeConflict, "the id was accepted before with another body")
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
func appendAnswer(b []byte, d *spool.Draft, s Spool) []byte {
	b = append(b, `{"id":`...)
	b = appendJSONString(b, d.ID)
	b = append(b, `,"duplicate":`...)
	b = strconv.AppendBool(b, d.Duplicate)
	b = append(b, `,"targets":[`...)
	for i, lane := range d.Lanes() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, s.NameOf(lane))
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
