// Package envelope writes events into the batches that targets may get, and takes them out again
// where a relay is such a target, so that relays can be chained: id, type, content type, headers
// and bytes of an event are the same on the other side.
//
// # CloudEvents
//
// A batch is a JSON array of CloudEvents (application/cloudevents-batch+json), for whoever reads
// those. What a relay needs besides stands in extension attributes, in a fixed place:
//
//	{"hookspoolid":ID,"hookspooltype":TYPE,…}     the event came as this CloudEvent: without the
//	                                              two members it is the payload to the byte
//	{"hookspooldata":ID,"hookspooltype":TYPE,…}   the payload are the data of this CloudEvent
//
// In the second form source is that of the event if it came as a CloudEvent in binary mode, as are
// the other attributes, else "hookspool"; hookspoolheaders holds the headers frozen with the event,
// a line each. data are the payload as it came where that is JSON by its content type and by its
// bytes; anything else, also JSON that a reader might write differently, is in data_base64.
//
// # NDJSON
//
// A batch is a line for each event (application/x-ndjson): the payload and nothing else. Who reads
// it learns neither ids nor, unless they are all the same, types.
//
// # What no batch carries
//
// An event goes alone, as if there were no batches, if it has no type, if a text of it is no UTF-8,
// if it would be larger in the batch than an event may be, and, with NDJSON, if the payload is no
// JSON or has a newline.
package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookspool/hookspool/spool"
)

// Format is how a batch is written; empty: there are none.
type Format string

// The formats.
const (
	CloudEvents Format = "cloudevents"
	NDJSON      Format = "ndjson"
)

const (
	idMember    = `{"hookspoolid":`
	dataMember  = `{"hookspooldata":`
	typeMember  = `,"hookspooltype":`
	ceMedia     = "application/cloudevents+json"
	headPrefix  = "ce-"
	ownSource   = "hookspool"
	depthMax    = 64  // what any reader of JSON follows
	overhead    = 256 // bytes of an envelope beside the texts of the event
	specVersion = "1.0"
)

// Event is what is written of an event.
type Event struct {
	ID, Type, Session, ContentType string
	Headers                        []spool.Header
	Payload                        []byte
	At                             time.Time // of acceptance
	form                           form      // as Weigh found it
}

// form is how a payload stands in a CloudEvent.
type form uint8

const (
	formUnknown form = iota
	formWhole        // the payload is the CloudEvent
	formData
	formBase64
)

// ContentType is what a batch says that it is.
func (f Format) ContentType() string {
	if f == NDJSON {
		return "application/x-ndjson"
	}
	return "application/cloudevents-batch+json"
}

// Weigh reports whether a batch can carry an event, and how many bytes that takes at most.
func (f Format) Weigh(e *Event) (size int, ok bool) {
	if f == NDJSON {
		return len(e.Payload) + 1, isJSONMedia(e.ContentType) && !bytes.ContainsAny(e.Payload, "\r\n") &&
			isPlain(e.Payload)
	}
	if e.Type == "" || !utf8.ValidString(e.ContentType) {
		return 0, false
	}
	size = overhead + 6*(2*len(e.ID)+2*len(e.Type)+len(e.ContentType))
	for _, h := range e.Headers {
		if !utf8.ValidString(h.Value) || !isFrozen(h.Name) {
			return 0, false
		}
		size += 12 * (len(h.Name) + len(h.Value))
	}
	e.form = formOf(e)
	if e.form == formBase64 {
		return size + base64.StdEncoding.EncodedLen(len(e.Payload)), true
	}
	return size + len(e.Payload), true
}

// isFrozen reports the headers that a relay freezes with an event.
func isFrozen(name string) bool {
	return name == "traceparent" || name == "tracestate" || strings.HasPrefix(name, headPrefix)
}

// Append appends events that Weigh lets through as the body of a batch.
func (f Format) Append(b []byte, events []Event) []byte {
	if f == NDJSON {
		for i := range events {
			b = append(append(b, events[i].Payload...), '\n')
		}
		return b
	}
	for i := range events {
		b = appendOne(append(b, "[,"[min(i, 1)]), &events[i])
	}
	return append(b, ']')
}

// ID names a batch by what is in it, so that the same one has the same name each time.
func ID(events []Event) string {
	h := sha256.New()
	for i := range events {
		h.Write([]byte(events[i].ID))
		h.Write([]byte{0})
	}
	return "batch_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// TypeOf is the type of all events, which a batch of NDJSON says in its head; empty: they differ.
func TypeOf(events []Event) string {
	for i := range events {
		if events[i].Type != events[0].Type {
			return ""
		}
	}
	return events[0].Type
}

// appendOne appends one CloudEvent.
func appendOne(b []byte, e *Event) []byte {
	if e.form == formUnknown {
		e.form = formOf(e)
	}
	if e.form == formWhole {
		b = appendText(append(b, idMember...), e.ID)
		b = append(appendText(append(b, typeMember...), e.Type), ',')
		return append(b, e.Payload[1:]...)
	}
	b = appendText(append(b, dataMember...), e.ID)
	b = appendText(append(b, typeMember...), e.Type)
	b = appendAttributes(b, e)
	if e.form == formData {
		b = append(b, `,"data":`...)
		return append(append(b, e.Payload...), '}')
	}
	b = append(b, `,"data_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Payload)
	return append(b, '"', '}')
}

// attribute is one of a CloudEvent.
type attribute struct{ name, value string }

// appendAttributes appends what a CloudEvent says of its data.
func appendAttributes(b []byte, e *Event) []byte {
	all := []attribute{{"specversion", specVersion}, {"id", e.ID}, {"source", ownSource},
		{"type", e.Type}, {"time", e.At.UTC().Format(time.RFC3339Nano)}}
	var lines []byte
	for _, h := range e.Headers {
		lines = append(append(append(append(lines, h.Name...), ':'), h.Value...), '\n')
		name, value, ok := attributeOf(h)
		if !ok {
			continue
		}
		at := slices.IndexFunc(all, func(a attribute) bool { return a.name == name })
		if at < 0 {
			all = append(all, attribute{name, value})
		} else if name != "specversion" {
			all[at].value = value
		}
	}
	if e.ContentType != "" {
		all = append(all, attribute{"datacontenttype", e.ContentType})
	}
	if e.Session != "" {
		all = append(all, attribute{"hookspoolsession", e.Session})
	}
	if len(lines) > 0 {
		all = append(all, attribute{"hookspoolheaders", string(lines)})
	}
	for _, a := range all {
		b = append(append(append(b, ',', '"'), a.name...), '"', ':')
		b = appendText(b, a.value)
	}
	return b
}

// attributeOf is the attribute that a frozen header is for those who read CloudEvents: one in
// binary mode, or one of the extension for tracing.
func attributeOf(h spool.Header) (name, value string, ok bool) {
	name, isCE := strings.CutPrefix(strings.ToLower(h.Name), headPrefix)
	if !isCE {
		return name, h.Value, name == "traceparent" || name == "tracestate"
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", "", false
		}
	}
	if name == "data" || name == "datacontenttype" || strings.HasPrefix(name, "hookspool") {
		return "", "", false
	}
	value = h.Value
	if plain, err := url.PathUnescape(value); err == nil && utf8.ValidString(plain) {
		value = plain
	}
	return name, value, name != ""
}

// formOf is whole where an event came as a CloudEvent in structured mode and can be an element of a
// batch as it is, and data where the payload may stand as it is.
func formOf(e *Event) form {
	if !isJSONMedia(e.ContentType) || !isPlain(e.Payload) {
		return formBase64
	}
	if e.ContentType == ceMedia && len(e.Headers) == 0 && len(e.Payload) > 2 &&
		e.Payload[0] == '{' && e.Payload[1] == '"' {
		return formWhole
	}
	return formData
}

// isPlain reports JSON that stands in other JSON as the same bytes, and that any reader can read:
// UTF-8, with nothing around it, and not nested without end.
func isPlain(b []byte) bool {
	if len(b) == 0 || b[0] <= ' ' || b[len(b)-1] <= ' ' || !utf8.Valid(b) || !json.Valid(b) {
		return false
	}
	depth := 0
	for at := 0; at < len(b); at++ {
		switch b[at] {
		case '"':
			for at++; b[at] != '"'; at++ {
				if b[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			if depth++; depth > depthMax {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

// IsCloudEvent reports an event whose payload is a CloudEvent in structured mode.
func (e *Event) IsCloudEvent() bool { return mediaOf(e.ContentType) == ceMedia }

func mediaOf(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// isJSONMedia reports a content type of JSON; none is not one, as nobody said so.
func isJSONMedia(contentType string) bool {
	media := mediaOf(contentType)
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string cannot be encoded: " + err.Error())
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
