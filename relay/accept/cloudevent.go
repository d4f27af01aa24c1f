package accept

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/envelope"
	"github.com/hookspool/hookspool/spool"
)

// CloudEvents 1.0, HTTP binding: binary (attributes in ce-… headers), structured (one JSON object)
// and batch (a JSON array). Source: cloudevents/spec, bindings/http-protocol-binding.md.
const (
	ceStructured = "application/cloudevents+json"
	ceBatch      = "application/cloudevents-batch+json"
	cePrefix     = "application/cloudevents"
	ceVersion    = "1.0"
)

// ceAttributes are the four required ones.
type ceAttributes struct{ id, source, specVersion, typ string }

func (c *ceAttributes) check() *Refusal {
	var missing []string
	for _, a := range [][2]string{
		{"id", c.id}, {"source", c.source}, {"specversion", c.specVersion}, {"type", c.typ},
	} {
		if a[1] == "" {
			missing = append(missing, a[0])
		}
	}
	if len(missing) > 0 {
		return refuse(CodeMalformed, "the CloudEvent lacks %s", strings.Join(missing, ", "))
	}
	if c.specVersion != ceVersion {
		return refuse(CodeMalformed, "the CloudEvent has specversion %q; this relay takes %s",
			c.specVersion, ceVersion)
	}
	return nil
}

// readBinaryCE completes an arrival whose attributes are in headers. They are delivered as they
// came. Two headers of one attribute have no order that means anything, so they are refused.
func readBinaryCE(h *fasthttp.RequestHeader, a *arrival) *Refusal {
	var c ceAttributes
	known := map[string]*string{
		"ce-id": &c.id, "ce-source": &c.source, "ce-specversion": &c.specVersion,
		"ce-type": &c.typ,
	}
	seen := make(map[string]bool)
	for key, value := range h.All() {
		name := strings.ToLower(string(key))
		if !strings.HasPrefix(name, "ce-") {
			continue
		}
		if seen[name] {
			return refuse(CodeMalformed, "header %s is there twice", name)
		}
		seen[name] = true
		plain, ok := decodeCE(string(value))
		if !ok {
			return notEncoded(name)
		}
		if dst := known[name]; dst != nil {
			*dst = plain
		}
		a.headers = append(a.headers, spool.Header{Name: name, Value: string(value)})
	}
	if r := c.check(); r != nil {
		return r
	}
	a.takeCE(&c)
	a.binaryCE = true
	return nil
}

// takeCE lets the attributes name what no header of ours has named.
func (a *arrival) takeCE(c *ceAttributes) {
	if a.id == "" {
		a.id = hashedID(c.source, c.id)
	}
	if !a.typed {
		a.typ, a.typed = c.typ, true
	}
}

func notEncoded(name string) *Refusal {
	return refuse(CodeMalformed, "header %s is not percent-encoded UTF-8", name)
}

// decodeCE undoes the header encoding: percent escapes of UTF-8, and optional quotes, in which a
// backslash stands before any character (RFC 9110 §5.6.4).
func decodeCE(s string) (string, bool) {
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		var plain strings.Builder
		for s = s[1 : n-1]; s != ""; s = s[1:] {
			if s[0] == '\\' && len(s) > 1 {
				s = s[1:]
			}
			plain.WriteByte(s[0])
		}
		s = plain.String()
	}
	if strings.Contains(s, "%") {
		if out, err := url.PathUnescape(s); err == nil {
			s = out
		}
	}
	return s, utf8.ValidString(s)
}

// readStructuredCE completes an arrival whose payload is one JSON object with everything in it.
func readStructuredCE(a *arrival, p *fastjson.Parser) *Refusal {
	v, ok := parseJSON(a.payload, p)
	if !ok || v.Type() != fastjson.TypeObject {
		return refuse(CodeMalformed, "the CloudEvent is not a JSON object")
	}
	var c ceAttributes
	for name, dst := range map[string]*string{
		"id": &c.id, "source": &c.source, "specversion": &c.specVersion, "type": &c.typ,
	} {
		*dst, _ = text(field(v, name))
	}
	if r := c.check(); r != nil {
		return r
	}
	a.takeCE(&c)
	a.inEnvelope = true
	// The binding lets a structured event have its attributes as headers, too (§3.2.3). This one says
	// until when it is to be sent, and is asked for at every attempt.
	if at, ok := text(field(v, "expirytime")); ok {
		if _, err := time.Parse(time.RFC3339, at); err == nil {
			a.headers = append(a.headers, spool.Header{Name: "ce-expirytime", Value: at})
		}
	}
	return a.hashEnvelope(v)
}

// open completes an arrival that is an element of a batch of CloudEvents. Where another relay put
// an event into it, everything about it is what it was there; any other is an event itself.
func (a *arrival) open(p *fastjson.Parser) *Refusal {
	e, ok, err := envelope.Open(a.payload)
	if !ok {
		a.contentType = ceStructured
		return readStructuredCE(a, p)
	}
	for _, h := range e.Headers {
		err = cmp.Or(err, attempt.CheckFrozen(h.Name, h.Value))
		a.binaryCE = a.binaryCE || h.Name == "ce-specversion"
	}
	if err != nil {
		return refuse(CodeMalformed, "the CloudEvent is not one of a relay's: %v", err)
	}
	a.id, a.typ, a.typed, a.contentType = e.ID, e.Type, true, e.ContentType
	a.headers, a.payload = e.Headers, e.Payload
	if e.IsCloudEvent() {
		return readStructuredCE(a, p)
	}
	return nil
}

// splitCEBatch cuts a JSON array into its elements, byte for byte.
func splitCEBatch(body []byte) ([][]byte, *Refusal) {
	body = afterMark(body)
	dec := json.NewDecoder(bytes.NewReader(body))
	open, err := dec.Token()
	if err != nil || open != json.Delim('[') {
		return nil, refuse(CodeMalformed, "the batch is not a JSON array")
	}
	var out [][]byte
	for dec.More() {
		var element json.RawMessage
		if err := dec.Decode(&element); err != nil {
			r := refuse(CodeMalformed, "event %d of the batch is not JSON", len(out)+1)
			r.Lines = []int{len(out) + 1}
			return nil, r
		}
		if out = append(out, element); len(out) > batchEventsMax {
			return nil, tooManyEvents()
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, refuse(CodeMalformed, "the batch is a JSON array without an end")
	}
	if !blank(body[dec.InputOffset():]) {
		return nil, refuse(CodeMalformed, "something follows the JSON array of the batch")
	}
	return out, nil
}
