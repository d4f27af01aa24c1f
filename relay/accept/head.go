package accept

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// traceHeaderBytesMax bounds traceparent, and tracestate with all its lines.
const traceHeaderBytesMax = 512

// readHead settles from the head alone whether an event is to be taken; without a refusal and
// without an event it is a probe.
func readHead(h *fasthttp.RequestHeader, path []byte, cfg *config.Config) (base arrival, take bool,
	r *Refusal) {
	if base.typ, base.typed, r = eventPath(path); r != nil {
		return base, false, r
	}
	switch {
	case h.IsGet() || h.IsHead():
		return base, false, nil
	case !h.IsPost():
		return base, false, refuse(CodeMethodNotAllowed, "%s is not taken here; POST an event",
			cut(string(h.Method()), 20))
	}
	if r := checkToken(h, cfg.Server.EventToken.Reveal()); r != nil {
		return base, false, r
	}
	if r = oneContentType(h.RawHeaders()); r == nil {
		r = base.readHeaders(h)
	}
	if r == nil {
		r = base.readMode(h)
	}
	if r == nil {
		r = base.checkNames()
	}
	return base, r == nil, r
}

// answerProbe answers GET and HEAD: some senders probe a URL before they use it.
func answerProbe(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("hookspool takes events here: POST them\n")
}

// eventPath reads the path: /v1/events, or /v1/events/{type} with the type in one segment.
func eventPath(path []byte) (typ string, named bool, _ *Refusal) {
	rest, ok := bytes.CutPrefix(path, []byte("/v1/events"))
	if ok && len(rest) == 0 {
		return "", false, nil
	}
	if !ok || rest[0] != '/' || bytes.IndexByte(rest[1:], '/') >= 0 {
		return "", false, refuse(CodeNotFound, "events are taken at /v1/events and "+
			"/v1/events/{type}")
	}
	typ, err := url.PathUnescape(string(rest[1:]))
	if err != nil {
		return "", false, refuse(CodeMalformed, "the type in the path is not percent-encoded")
	}
	if r := CheckName("type in the path", typ, false); r != nil {
		return "", false, r
	}
	return typ, true, nil
}

// readHeaders takes id, type and what travels with the event from the headers.
func (a *arrival) readHeaders(h *fasthttp.RequestHeader) *Refusal {
	if lines := h.PeekAll("Content-Encoding"); len(lines) > 0 {
		return refuse(CodeUnsupported, "Content-Encoding %q is not taken; send the body as it is, "+
			"without that header", cut(string(bytes.Join(lines, []byte(", "))), 40))
	}
	if r := a.readID(h); r != nil {
		return r
	}
	if !a.typed {
		if r := a.readType(h); r != nil {
			return r
		}
	}
	a.headers = traceHeaders(h)
	return nil
}

// readMode takes the attributes of a binary CloudEvent, and refuses the formats that are not taken.
func (a *arrival) readMode(h *fasthttp.RequestHeader) *Refusal {
	media := mediaType(h.ContentType())
	switch {
	case media == ndjson || media == ceBatch || media == ceStructured:
		return nil
	case strings.HasPrefix(media, cePrefix):
		return refuse(CodeUnsupported, "%q is not taken; of the CloudEvents formats, JSON is",
			cut(media, 100))
	case len(h.Peek("ce-specversion")) > 0:
		return readBinaryCE(h, a)
	}
	return nil
}

// checkNames refuses a type or id that draft would refuse, before the body has come.
func (a *arrival) checkNames() *Refusal {
	if a.id != "" {
		if r := CheckID(a.id); r != nil {
			return r
		}
	}
	return CheckName("type", a.typ, true)
}

// traceHeaders are passed on as they came, or not at all: half a state would tell of the wrong
// trace. W3C Trace Context, "Tracestate Header": it may come in several lines, which are one list;
// 512 characters of it should be passed on, and what is longer may be left out; a state is not to
// be used without the one traceparent that it belongs to.
func traceHeaders(h *fasthttp.RequestHeader) []spool.Header {
	parents := h.PeekAll("traceparent")
	if len(parents) > 1 || len(parents) == 1 && len(parents[0]) > traceHeaderBytesMax {
		return nil
	}
	var out []spool.Header
	if len(parents) == 1 && len(parents[0]) > 0 {
		out = append(out, spool.Header{Name: "traceparent", Value: string(parents[0])})
	}
	var state []byte
	for _, line := range h.PeekAll("tracestate") {
		if len(state) > 0 && len(line) > 0 {
			state = append(state, ',')
		}
		state = append(state, line...)
	}
	if len(state) > 0 && len(state) <= traceHeaderBytesMax {
		out = append(out, spool.Header{Name: "tracestate", Value: string(state)})
	}
	return out
}

// readID takes the id that the app gave: webhook-id, else Idempotency-Key, else source and id of a
// CloudEvent. The body of a structured one has its own, which is the one that counts.
func (a *arrival) readID(h *fasthttp.RequestHeader) *Refusal {
	for _, name := range [...]string{"webhook-id", "Idempotency-Key"} {
		value, r := single(h, name)
		if r != nil {
			return r
		}
		if a.id == "" {
			a.id = string(value)
		}
	}
	if a.id != "" || strings.HasPrefix(mediaType(h.ContentType()), cePrefix) {
		return nil
	}
	source, r := single(h, "ce-source")
	if r != nil {
		return r
	}
	id, r := single(h, "ce-id")
	if r != nil {
		return r
	}
	if len(source) == 0 || len(id) == 0 {
		return nil
	}
	var c ceAttributes
	var ok bool
	if c.source, ok = decodeCE(string(source)); !ok {
		return notEncoded("ce-source")
	}
	if c.id, ok = decodeCE(string(id)); !ok {
		return notEncoded("ce-id")
	}
	a.id = hashedID(c.source, c.id)
	return nil
}

// readType takes the type from the headers; ce-type is encoded like every CloudEvents attribute.
func (a *arrival) readType(h *fasthttp.RequestHeader) *Refusal {
	typ, r := single(h, "webhook-event-type")
	if r != nil {
		return r
	}
	if len(typ) > 0 {
		a.typ, a.typed = string(typ), true
		return nil
	}
	if typ, r = single(h, "ce-type"); r != nil {
		return r
	}
	plain, ok := decodeCE(string(typ))
	if !ok {
		return notEncoded("ce-type")
	}
	a.typ, a.typed = plain, plain != ""
	return nil
}

// single is the value of a header that has one: two lines of it must say the same.
func single(h *fasthttp.RequestHeader, name string) ([]byte, *Refusal) {
	lines := h.PeekAll(name)
	if len(lines) == 0 {
		return nil, nil
	}
	for _, other := range lines[1:] {
		if !bytes.Equal(other, lines[0]) {
			return nil, refuse(CodeMalformed, "header %s is there twice, with different values", name)
		}
	}
	return lines[0], nil
}

// oneContentType refuses two different ones: what the body is, and so how many events, would depend
// on who reads it. The parsed head has only the last.
func oneContentType(raw []byte) *Refusal {
	var first []byte
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte{'\n'})
		if len(line) == 0 || line[0]|0x20 != 'c' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		if !bytes.EqualFold(name, []byte("Content-Type")) {
			continue
		}
		value = bytes.TrimSpace(value)
		if first != nil && !bytes.Equal(first, value) {
			return refuse(CodeMalformed, "header Content-Type is there twice, with different values")
		}
		first = value
	}
	return nil
}

// checkToken compares in constant time, whatever the lengths.
func checkToken(h *fasthttp.RequestHeader, token string) *Refusal {
	if token == "" {
		return nil
	}
	got := h.Peek("Authorization")
	scheme, value, _ := bytes.Cut(got, []byte{' '})
	a, b := sha256.Sum256(bytes.TrimSpace(value)), sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(a[:], b[:]) == 1 && bytes.EqualFold(scheme, []byte("Bearer")) {
		return nil
	}
	return refuse(CodeUnauthorized, "events need the token: Authorization: Bearer …")
}

// isBatch reports whether a body of such a type holds many events.
func isBatch(media string) bool { return media == ndjson || media == ceBatch }

// mediaType is the type without parameters, lower case, by one name where it has several. The usual
// ones cost no allocation.
func mediaType(contentType []byte) string {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	for _, usual := range [...]string{"application/json", ndjson, ceBatch, ceStructured} {
		if string(media) == usual {
			return usual
		}
	}
	switch name := strings.ToLower(string(media)); name {
	case "application/ndjson", "application/jsonl":
		return ndjson
	default:
		return name
	}
}
