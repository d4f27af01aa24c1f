package relay

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/catalogue"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/filter"
	"github.com/hookspool/hookspool/relay/sample"
	"github.com/hookspool/hookspool/spool"
)

// Sample sends one sample callback to a target, whatever its status, and waits for the outcome. It
// touches no counter, standing or spool: a test is not an event, and an operator who pokes a dead
// target must not push it to Defective, nor a lucky 200 hide a real fault.
func (r desk) Sample(ctx context.Context, name string, q admin.SampleQuery) (admin.Sample,
	error) {
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return admin.Sample{}, noTarget(name)
	}
	w := l.work.Load()
	if w == nil {
		return admin.Sample{}, orphaned(name)
	}
	o, err := NewSample(r.setup.Load().cfg, w.target, q, r.now())
	if err != nil {
		return admin.Sample{}, err
	}
	l.pace.Use()
	out := SendSample(ctx, w.client, o)
	if c := l.m().samples[out.Outcome]; c != nil { // aborted and withheld ones were none
		c.Inc()
	}
	return out, nil
}

// SampleOrder says what a sample callback is made of.
type SampleOrder struct {
	Target      *config.Target
	Type        string
	ContentType string
	Payload     []byte
	MadeUp      bool // see admin.Sample
	At          time.Time
	BytesMax    int // server.max_body_size
}

// jsonType is the content type of samples.
const jsonType = "application/json"

// NewSample reads what a sample is to be. Errors are *admin.Error.
func NewSample(cfg *config.Config, t *config.Target, q admin.SampleQuery,
	now time.Time) (*SampleOrder, error) {
	o := &SampleOrder{Target: t, Type: q.Type, ContentType: jsonType, At: now,
		BytesMax: int(cfg.Server.MaxBodySize)}
	if len(q.Payload) > 0 {
		return o, o.takeOwn(cfg, &q)
	}
	if o.Type == "" {
		o.Type = FirstSample(t)
	}
	var known bool
	if o.Payload, known = sample.Payload(o.Type); known {
		return o, nil
	}
	if r := accept.CheckName("type", o.Type, false); r != nil {
		return nil, admin.Refuse(400, accept.CodeMalformed, "%s", r.Detail)
	}
	// A pattern with a star may match a typing error as well; the answer says what was made up.
	if q.Type != "" && !catalogue.Matches(t.Events, o.Type) {
		e := admin.Refuse(404, accept.CodeNotFound, "there is no sample of type %.256q, and no event "+
			"of %s matches it", o.Type, t.Name)
		e.Hint = catalogue.NearHint(o.Type) +
			"hookspool types lists the samples; --file sends a payload of your own"
		return nil, e
	}
	o.Payload, o.MadeUp = sample.Generic(o.Type, now), true
	return o, nil
}

// takeOwn makes an order of a payload that was given, by the rules of an event.
func (o *SampleOrder) takeOwn(cfg *config.Config, q *admin.SampleQuery) error {
	rules := &accept.Rules{Config: cfg, Judge: deaf{}}
	kind := q.ContentType
	if kind == "" {
		kind = "application/octet-stream"
		if json.Valid(q.Payload) {
			kind = jsonType
		}
	}
	d, _, no := accept.Read(rules, &accept.Posted{Type: q.Type, ContentType: kind,
		Payload: q.Payload})
	if large := accept.TooLarge(rules, q.Payload); large != nil {
		no = large
	}
	switch {
	case no != nil:
		return admin.Refuse(no.Status(), no.Code, "%s", no.Detail)
	case d.Type == "":
		e := admin.Refuse(400, accept.CodeMalformed, "the payload names no type, and nothing else does")
		e.Hint = "name one: hookspool sample TARGET TYPE --file FILE, or ?type="
		return e
	}
	o.Type, o.ContentType, o.Payload = d.Type, d.ContentType, d.Payload
	return nil
}

// deaf is an accept.Judge for whom nothing is decided.
type deaf struct{}

// Judge is part of accept.Judge.
func (deaf) Judge(*spool.Draft, accept.Inside) {}

// SendSample makes the one request of a sample callback. What the target's transform makes of the
// payload is sent, as it would be of an event's; if that fails, nothing is.
func SendSample(ctx context.Context, c *attempt.Client, o *SampleOrder) admin.Sample {
	id := "sample_" + uuid.Must(uuid.NewV7()).String()
	s := admin.Sample{Target: o.Target.Name, Type: o.Type, ID: id, MadeUp: o.MadeUp}
	e := filter.Sent{Type: o.Type, ID: id, ContentType: o.ContentType, Payload: o.Payload}
	if p := transformOf(o.Target); p != nil {
		s.Payload = strings.ToValidUTF8(string(o.Payload), "\uFFFD")
		if err := filter.Transform(p, &e, o.BytesMax); err != nil {
			s.Outcome, s.Error = attempt.Transform.String(), "cannot transform the event: "+err.Error()
			return s
		}
		s.Sent = string(e.Payload)
	}
	req := packOne(o.Target, &attempt.Request{ID: id, Type: o.Type, ContentType: e.ContentType,
		Payload: e.Payload, Sample: true, At: o.At}, o.At, int64(o.BytesMax))
	out := c.Do(ctx, &req)
	s.Acknowledged, s.Outcome = out.Kind == attempt.Success, out.Kind.String()
	s.Status, s.StatusLine, s.Error = out.Status, out.StatusLine, out.Error
	s.Latency, s.Remote, s.TLS = out.Duration.Seconds(), out.Remote, out.TLS
	s.Body = strings.ToValidUTF8(string(out.Snippet), "\uFFFD")
	return s
}

// FirstSample is the first sample type that the target's events match, in the order in which they
// are written; of a target that wants nothing of the catalogue the first type that it names.
func FirstSample(t *config.Target) string {
	for _, p := range t.Events {
		if p.Match("message") {
			return "message"
		}
		for _, typ := range sample.Types() {
			if p.Match(typ) {
				return typ
			}
		}
	}
	for _, p := range t.Events {
		if !strings.Contains(string(p), "*") {
			return string(p)
		}
	}
	return "message"
}

func noTarget(name string) *admin.Error {
	e := admin.Refuse(404, accept.CodeNotFound, "there is no target %.100q", name)
	e.Hint = "hookspool targets lists them"
	return e
}
