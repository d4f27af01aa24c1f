package relay

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/catalogue"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/filter"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

const (
	// explainedIDText stands for an id that is made when the event is accepted.
	explainedIDText = "evt_<made when accepted>"
	// explainedBytesMax bounds the requests of one explanation together.
	explainedBytesMax = 4 << 20
)

// BodyBytesMax is part of admin.Explainer.
func (r desk) BodyBytesMax() int { return int(r.setup.Load().cfg.Server.MaxBodySize) }

// Explain is part of admin.Explainer. It goes the way of an accepted event up to the spool, with a
// stateView in place of the small state that is committed with an event.
func (r desk) Explain(q admin.ExplainQuery) (admin.Explanation, error) {
	s := r.setup.Load()
	h := &hearing{f: s.fanout}
	q, err := catalogue.Sampled(q)
	if err != nil {
		return admin.Explanation{}, err
	}
	d, out, err := h.hear(&q)
	if err != nil {
		return out, err
	}
	d.At = r.now()
	if len(h.talk.Keys) > 0 {
		m := &stateView{spool: r.spool, puts: make(map[string][]byte)}
		window := s.cfg.Session.Window
		before, key := session.Before(m, &h.talk, d.At, window)
		out.Session = &admin.ExplainedSession{Key: key, StateBefore: before.String()}
		d.Session = session.Apply(m, &h.talk, d.At, window)
		out.Session.StateAfter = d.Session.String()
		tellKnown(out.Session, session.RecallFor(m, &h.talk, d.At, window), d.At, window)
	}
	out.Targets = h.explainTargets(d, func(t *config.Target) (subject, bool) {
		l := r.laneNamed(t.Name)
		if l == nil || l.work.Load() == nil {
			return subject{}, false // a reload took it away just now
		}
		w := l.work.Load()
		return subject{l.status(), w.client, shutUntil(l), w.transform, r.BodyBytesMax()}, true
	})
	return out, nil
}

// EventTypes is part of admin.Cataloguer.
func (r desk) EventTypes() []admin.EventType { return catalogue.Answer(r.setup.Load().cfg) }

// EventTypeOf is part of admin.Cataloguer.
func (r desk) EventTypeOf(typ string) (admin.TypeDetail, error) {
	return catalogue.Detail(r.setup.Load().cfg, typ, r.Explain)
}

// tellKnown says what makes a session what it is at an instant.
func tellKnown(out *admin.ExplainedSession, k session.Known, at time.Time, window time.Duration) {
	out.Why = k.Why(at, window)
	out.OpenedAt, out.EndsAt = instantOrNil(k.Opened), instantOrNil(k.Ends(window))
	out.UserWroteAt = instantOrNil(k.LastUser)
}

// hear reads the event of a query and judges it. Errors are *admin.Error when the event is at
// fault.
func (h *hearing) hear(q *admin.ExplainQuery) (*spool.Draft, admin.Explanation, error) {
	rules := &accept.Rules{Config: h.f.cfg, Judge: h}
	d, source, no := accept.Read(rules, posted(q))
	if large := accept.TooLarge(rules, q.Payload); large != nil { // it did not come by the door
		no = large
	}
	if no != nil {
		return nil, admin.Explanation{}, admin.Refuse(no.Status(), no.Code, "%s", no.Detail)
	}
	return d, admin.Explanation{Type: d.Type, TypeSource: source, IDGiven: d.Given}, nil
}

// subject is what an explanation shows of a target beside the verdict.
type subject struct {
	status Status
	client *attempt.Client
	// shutUntil is when the gate opens; zero: it is open.
	shutUntil time.Time
	transform *jq.Program // nil: none
	bytesMax  int         // server.max_body_size
}

// explainTargets explains the verdict over every target that there is, with requests as far as
// there is room.
func (h *hearing) explainTargets(d *spool.Draft,
	of func(*config.Target) (subject, bool)) []admin.ExplainedTarget {
	var out []admin.ExplainedTarget
	room := explainedBytesMax
	for _, v := range h.verdicts {
		s, ok := of(v.target)
		if !ok {
			continue
		}
		e := v.settle(d.Session).explain(s, d)
		h.explainWhere(&e)
		if room -= len(e.Request); room < 0 {
			e.Request, e.Note = "", "the request is left out; the answer would be too large"
		}
		out = append(out, e)
	}
	return out
}

// explainWhere adds what is known of a target's where beside the verdict.
func (h *hearing) explainWhere(e *admin.ExplainedTarget) {
	err := h.failures[e.Target]
	switch {
	case e.RefusedBy == string(byWhere) && h.notJSON:
		e.Note = "it has a where, and the payload is not JSON"
	case err != nil && e.RefusedBy == "":
		e.Note = joined("its where failed, so the event counts as wanted: "+err.Error(), e.Note)
	}
}

// joined puts two notes into one line; the second may be empty.
func joined(note, more string) string {
	switch {
	case more == "":
		return note
	case note == "":
		return more
	}
	return note + "; " + more
}

// posted is the event of a query.
func posted(q *admin.ExplainQuery) *accept.Posted {
	p := &accept.Posted{Type: q.Type, ID: q.ID, ContentType: q.ContentType, Payload: q.Payload}
	if q.Header != nil {
		p.Header = func(yield func(name, value string) bool) {
			for name, values := range q.Header {
				for _, value := range values {
					if !yield(name, value) {
						return
					}
				}
			}
		}
	}
	return p
}

// explain tells a verdict in words, and shows the request that would be sent.
func (v verdict) explain(s subject, d *spool.Draft) admin.ExplainedTarget {
	e := admin.ExplainedTarget{Target: v.target.Name, Status: s.status.String(), Matched: v.matched,
		Pattern: string(v.pattern), RefusedBy: string(v.refusedBy)}
	switch v.refusedBy {
	case byEvents:
		e.Note = "none of its events matches the type"
	case byStatus:
		e.Note = "it is disabled by the config: no delivery is made"
	case bySession:
		e.Note = "it wants " + v.target.Session + " sessions; this one would be " + d.Session.String()
	case byWhere:
		e.Note = "its where does not hold for this event"
	}
	if v.refusedBy != "" {
		return e
	}
	switch old, ends := hasExpired(v.target, d); {
	case old:
		e.Note = "the delivery would expire at once: it was to be sent until " +
			ends.UTC().Format(time.RFC3339)
	case !ends.IsZero():
		e.Note = "the delivery would expire at " + ends.UTC().Format(time.RFC3339)
	}
	switch s.status {
	case Paused:
		e.Note = "the delivery would be held until the target is resumed"
	case Defective:
		e.Note = "the delivery would wait for the next job"
	case Enabled:
		if !s.shutUntil.IsZero() {
			e.Note = "the delivery would wait until " + s.shutUntil.UTC().Format(time.RFC3339) +
				": the target asked to be left alone (Retry-After)"
		}
	}
	e.Note = joined(e.Note, orderNote(v.target, d))
	sent, err := s.transformed(d)
	if err != nil {
		e.Note = joined("its transform fails, so that nothing would be sent: "+err.Error(), e.Note)
		return e
	}
	e.Transformed = s.transform != nil
	e.Request = strings.ToValidUTF8(string(preview(v.target, s, sent)), "\uFFFD")
	return e
}

// transformed is the event as it would be sent.
func (s *subject) transformed(d *spool.Draft) (*spool.Draft, error) {
	if s.transform == nil {
		return d, nil
	}
	sent := *d
	e := filter.Sent{Type: d.Type, ID: cmp.Or(d.ID, explainedIDText), Session: d.Session.String(),
		ContentType: d.ContentType, Headers: d.Headers, Payload: d.Payload}
	err := filter.Transform(s.transform, &e, s.bytesMax)
	sent.Payload, sent.ContentType = e.Payload, e.ContentType
	return &sent, err
}

// hasExpired reports when an event that comes now would be too old for a target, and whether it is.
func hasExpired(t *config.Target, d *spool.Draft) (old bool, ends time.Time) {
	own := ""
	for _, h := range d.Headers {
		if h.Name == spool.ExpiryHeader {
			own = h.Value
			break
		}
	}
	ends = expiry(t, d.At, own)
	return !ends.IsZero() && !d.At.Before(ends), ends
}

// preview is the live attempt, for people. The signature is left out as well: it is as good as the
// secret for whoever wants this payload believed.
func preview(t *config.Target, s subject, d *spool.Draft) []byte {
	req := attempt.Request{ID: d.ID, Type: d.Type, Session: d.Session.String(),
		ContentType: d.ContentType, Payload: d.Payload, At: d.At}
	if !d.Given {
		req.ID = explainedIDText
	}
	for _, h := range d.Headers {
		req.Header = append(req.Header, attempt.Header(h))
	}
	req = packOne(t, &req, d.At, int64(s.bytesMax))
	text := s.client.Preview(&req)
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

// Get is part of session.Memory.
func (m *stateView) Get(key []byte) []byte {
	if value, ok := m.puts[string(key)]; ok {
		return value
	}
	return look.SmallState(m.spool.Records(), key)
}

// Put is part of session.Memory.
func (m *stateView) Put(key, value []byte, _ time.Duration) { m.puts[string(key)] = value }

// Was is part of session.Memory.
func (m *stateView) Was(at, now time.Time) time.Time { return m.spool.Clock().Was(at, now) }

const (
	// sessionUnknown stands for the state of a conversation, which only a spool knows.
	sessionUnknown = "unknown"
	unknownNote    = "the request would carry webhook-session"
)

// ExplainByConfig is Explain without a relay: what the config alone says of an event. Nothing is
// known of conversations, standings and pauses by hand; q.Header may be nil. It opens no
// connection, and is safe for concurrent use. Errors are *admin.Error when the event is at fault.
func ExplainByConfig(cfg *config.Config, version string, q admin.ExplainQuery) (admin.Explanation,
	error) {
	h := &hearing{f: newFanout(cfg, nil)}
	q, err := catalogue.Sampled(q)
	if err != nil {
		return admin.Explanation{}, err
	}
	d, out, err := h.hear(&q)
	if err != nil {
		return out, err
	}
	d.At = time.Now()
	conversation := len(h.talk.Keys) > 0
	if conversation {
		h.stateUnknown()
		out.Session = &admin.ExplainedSession{Key: h.talk.Keys[0], StateBefore: sessionUnknown,
			StateAfter: sessionUnknown}
	}
	subjects := make(map[string]subject)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		client, err := newClient(t, version)
		if err != nil {
			return admin.Explanation{}, err
		}
		subjects[t.Name] = subject{status: statusOf(t, spool.Standing{}), client: client,
			transform: transformOf(t), bytesMax: int(cfg.Server.MaxBodySize)}
	}
	out.Targets = h.explainTargets(d, func(t *config.Target) (subject, bool) {
		return subjects[t.Name], true
	})
	for i := range out.Targets {
		if e := &out.Targets[i]; conversation && e.RefusedBy == "" {
			e.Note = unknownNoteOf(cfg.Targets[i].Session, e.Note)
			if h.verdicts[i].in != filter.Always {
				e.Note = "only if its where holds, which asks for the session; " + e.Note
			}
		}
	}
	return out, nil
}

// stateUnknown lets every where hold for an unknown state of the session that holds for one that it
// may be in.
func (h *hearing) stateUnknown() {
	for i := range h.verdicts {
		v := &h.verdicts[i]
		v.in &^= filter.Of(spool.SessionNone)
		if v.in != 0 {
			v.in |= filter.Of(spool.SessionNone)
		}
	}
}

// newClient makes what the attempts at a target are made with.
func newClient(t *config.Target, version string) (*attempt.Client, error) {
	o, err := AttemptOptions(t, version)
	if err != nil {
		return nil, err
	}
	client, err := attempt.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot use target %q: %w", t.Name, err)
	}
	return client, nil
}

// unknownNoteOf says what the state of the session would decide.
func unknownNoteOf(filter, note string) string {
	if note != "" {
		note += "; "
	}
	if filter != "any" {
		note += "only if the session is " + filter + "; "
	}
	return note + unknownNote
}
