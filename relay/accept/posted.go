package accept

import (
	"iter"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/spool"
)

// Posted is an event as somebody might post it, for those who want to know what would become of it.
type Posted struct {
	Type        string // as in the path; empty: headers and body name it
	ID          string // empty: the headers name it, or one is made
	ContentType string // empty: that of the headers
	// Header is the request's; nil: none. What names type, id, CloudEvents attributes and trace
	// context to a Server does so here.
	Header  iter.Seq2[string, string]
	Payload []byte
}

// Read goes the way of an accepted event up to the spool: the draft is the one that a Server would
// append, and the Judge of the rules has had its say. source is what named the type: path, header,
// field or default. How large the payload may be is for the caller to check.
func Read(rules *Rules, q *Posted) (d *spool.Draft, source string, no *Refusal) {
	var h fasthttp.RequestHeader
	if q.Header != nil {
		for name, value := range q.Header {
			h.Add(name, value)
		}
	}
	if q.ContentType != "" {
		h.SetContentType(q.ContentType)
	}
	a := arrival{typ: q.Type, typed: q.Type != "", payload: q.Payload,
		contentType: string(h.ContentType())}
	if no = a.readPosted(&h, q.ID); no != nil {
		return nil, "", no
	}
	switch {
	case q.Type != "":
		source = "path"
	case a.typed:
		source = "header"
	}
	p := new(fastjson.Parser)
	switch media := mediaType(h.ContentType()); media {
	case ndjson, ceBatch:
		return nil, "", refuse(CodeUnsupported, "%q is not explained; post one event", media)
	case ceStructured:
		if no := readStructuredCE(&a, p); no != nil {
			return nil, "", no
		}
	}
	d, no = a.draft(rules, p)
	switch {
	case source != "":
	case a.typed:
		source = "field"
	default:
		source = "default"
	}
	return d, source, no
}

// readPosted reads the headers as readHead does; an id of the caller's wins.
func (a *arrival) readPosted(h *fasthttp.RequestHeader, id string) *Refusal {
	if no := a.readHeaders(h); no != nil {
		return no
	}
	if no := a.readMode(h); no != nil {
		return no
	}
	if id != "" {
		a.id = id
	}
	return a.checkNames()
}

// TooLarge refuses an event that is larger than rules allow; nil: it is not.
func TooLarge(rules *Rules, payload []byte) *Refusal {
	if most := rules.Config.Server.MaxBodySize; int64(len(payload)) > most {
		return refuse(CodeTooLarge, "the event has %d bytes; server.max_body_size is %d",
			len(payload), most)
	}
	return nil
}
