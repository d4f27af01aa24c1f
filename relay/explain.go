package relay

import (
	"bytes"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const (
	// explainedIDText stands for an id that is made when the event is accepted.
	explainedIDText = "evt_<made when accepted>"
	// explainedBytesMax bounds the requests of one explanation together.
	explainedBytesMax = 4 << 20
)

// BodyBytesMax is part of admin.Explainer.
func (r *Relay) BodyBytesMax() int { return int(r.setup.Load().cfg.Server.MaxBodySize) }

// Explain is part of admin.Explainer. It goes the way of an accepted event up to the spool, with a
// stateView in place of the small state that is committed with an event.
func (r *Relay) Explain(q admin.ExplainQuery) (admin.Explanation, error) {
	s := r.setup.Load()
	p := r.accept.parsers.Get()
	defer r.accept.parsers.Put(p)
	d, source, no := explained(s.cfg, &q, p)
	if no != nil {
		return admin.Explanation{}, admin.Refuse(refusalCodes()[no.code], no.code, "%s", no.detail)
	}
	d.At = r.now()
	out := admin.Explanation{Type: d.Type, TypeSource: source, IDGiven: d.Given}
	if t, ok := d.Note.(*talk); ok {
		m := &stateView{spool: r.spool, puts: make(map[string][]byte)}
		window := s.cfg.Session.Window
		before, key := stateBefore(m, t, d.At, window)
		out.Session = &admin.ExplainedSession{Key: key, StateBefore: before.String()}
		d.Session = applyTalk(m, t, d.At, window)
		out.Session.StateAfter = d.Session.String()
	}
	out.Targets = explainTargets(s.router.lanes, d)
	return out, nil
}

// explainTargets explains every target of the config, with requests as far as there is room.
func explainTargets(lanes []*lane, d *spool.Draft) []admin.ExplainedTarget {
	var out []admin.ExplainedTarget
	room := explainedBytesMax
	for _, l := range lanes {
		if w := l.work.Load(); w != nil {
			e := l.explain(w, d)
			if room -= len(e.Request); room < 0 {
				e.Request, e.Note = "", "the request is left out; the answer would be too large"
			}
			out = append(out, e)
		}
	}
	return out
}

// explained reads an event as the accepter does, and says what named its type.
func explained(cfg *config.Config, q *admin.ExplainQuery, p *fastjson.Parser) (_ *spool.Draft,
	source string, no *refusal) {
	var h fasthttp.RequestHeader
	for name, values := range q.Header {
		for _, value := range values {
			h.Add(name, value)
		}
	}
	if q.ContentType != "" {
		h.SetContentType(q.ContentType)
	}
	a := arrival{typ: q.Type, typed: q.Type != "", payload: q.Payload,
		contentType: string(h.ContentType())}
	if a.typed {
		source = "path"
	}
	if no = a.readHeaders(&h); no == nil {
		no = a.readMode(&h)
	}
	if q.ID != "" {
		a.id = q.ID
	}
	if no == nil {
		no = a.checkNames()
	}
	if no != nil {
		return nil, "", no
	}
	if source == "" && a.typed {
		source = "header"
	}
	switch media := mediaType(h.ContentType()); media {
	case ndjson, ceBatch:
		return nil, "", refuse(codeUnsupported, "%q is not explained; post one event", media)
	case ceStructured:
		if no := readStructuredCE(&a, p); no != nil {
			return nil, "", no
		}
	}
	d, no := a.draft(cfg, p)
	switch {
	case source != "":
	case a.typed:
		source = "field"
	default:
		source = "default"
	}
	return d, source, no
}

// explain says what decide would, and why.
func (l *lane) explain(w *work, d *spool.Draft) admin.ExplainedTarget {
	status := l.status()
	e := admin.ExplainedTarget{Target: l.name, Status: status.String()}
	for _, p := range w.target.Events {
		if p.Match(d.Type) {
			e.Matched, e.Pattern = true, string(p)
			break
		}
	}
	switch {
	case !e.Matched:
		e.RefusedBy, e.Note = "events", "none of its events matches the type"
		return e
	case w.target.Status == config.StatusDisabled:
		e.RefusedBy, e.Note = "disabled", "it is disabled by the config: no delivery is made"
		return e
	case !wants(w.target.Session, d.Session):
		e.RefusedBy = "session"
		e.Note = "it wants " + w.target.Session + " sessions; this one would be " +
			d.Session.String()
		return e
	case status == Paused:
		e.Note = "the delivery would be held until the target is resumed"
	case status == Defective:
		e.Note = "the delivery would wait for the next job"
	}
	e.Request = strings.ToValidUTF8(string(preview(w.client, d)), "\uFFFD")
	return e
}

// preview is the live attempt, for people. The signature is left out as well: it is as good as the
// secret for whoever wants this payload believed.
func preview(c *attempt.Client, d *spool.Draft) []byte {
	req := attempt.Request{ID: d.ID, Type: d.Type, Session: d.Session.String(),
		ContentType: d.ContentType, Payload: d.Payload, At: d.At}
	if !d.Given {
		req.ID = explainedIDText
	}
	for _, h := range d.Headers {
		req.Header = append(req.Header, attempt.Header(h))
	}
	text := c.Preview(&req)
	const name = "\r\nwebhook-signature: "
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	before, rest, signed := bytes.Cut(head, []byte(name))
	if !signed {
		return text
	}
	_, after, _ := bytes.Cut(rest, []byte("\r\n"))
	return bytes.Join([][]byte{before, []byte(name), []byte("<redacted>\r\n"), after,
		[]byte("\r\n\r\n"), body}, nil)
}

// stateView is small state that is read from the spool and written nowhere.
type stateView struct {
	spool *spool.Spool
	puts  map[string][]byte
}

// Get is part of memory.
func (m *stateView) Get(key []byte) []byte {
	if value, ok := m.puts[string(key)]; ok {
		return value
	}
	return m.spool.State(key)
}

// Put is part of memory.
func (m *stateView) Put(key, value []byte, _ time.Duration) { m.puts[string(key)] = value }
