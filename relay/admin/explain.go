package admin

import (
	"net/http"
	"time"
)

// explainsMax bounds the explanations under way at once: each holds a body, and a request for every
// target.
const explainsMax = 4

// Explainer says what would become of an event. Errors as in Backend.
type Explainer interface {
	// Explain changes nothing and sends nothing.
	Explain(q ExplainQuery) (Explanation, error)
	// BodyBytesMax is server.max_body_size.
	BodyBytesMax() int
}

// ExplainQuery is an event as an app would post it.
type ExplainQuery struct {
	Type        string // as in the path; empty: headers and body name it
	ID          string // empty: the headers name it, or one is made
	ContentType string // empty: that of the request
	// Header is the request's: what names type, id, CloudEvents attributes and trace context to the
	// events listener does so here. Read-only, valid during the call.
	Header http.Header
	// Payload is valid during the call.
	Payload []byte
	// Sample is a type of the catalogue whose sample is the payload; empty: Payload is.
	Sample string
}

// Explanation is the answer of POST /v1/explain.
type Explanation struct {
	Type       string `json:"type"`
	TypeSource string `json:"type_source"` // path, header, field or default
	IDGiven    bool   `json:"id_given"`
	// Session is nil when the event belongs to no conversation.
	Session *ExplainedSession `json:"session"`
	Targets []ExplainedTarget `json:"targets"`
}

// ExplainedSession is what the event would do to its conversation.
type ExplainedSession struct {
	Key         string `json:"key"`          // field=value
	StateBefore string `json:"state_before"` // active or inactive
	StateAfter  string `json:"state_after"`  // what its deliveries would carry
	// Why says in one sentence what makes it active or not; empty if that is unknown.
	Why string `json:"why"`
	// OpenedAt is when a business message opened the last session, EndsAt when that is over, and
	// UserWroteAt when the user wrote last, this event included; nil: not that anybody remembers.
	OpenedAt    *time.Time `json:"opened_at"`
	EndsAt      *time.Time `json:"ends_at"`
	UserWroteAt *time.Time `json:"user_wrote_at"`
}

// ExplainedTarget says whether one target would get the event.
type ExplainedTarget struct {
	Target    string `json:"target"`
	Status    string `json:"status"`     // Enabled, Disabled, Paused or Defective
	Matched   bool   `json:"matched"`    // a pattern of its events matches the type
	Pattern   string `json:"pattern"`    // the first that does
	RefusedBy string `json:"refused_by"` // events, where, session, disabled; empty: it would get it
	Note      string `json:"note"`
	// Transformed: the body of Request is what the target's transform makes of the payload.
	Transformed bool `json:"transformed"`
	// Request is head and body as they would be sent, secrets and signature redacted; empty if none
	// would be. Bytes that are not UTF-8 are replaced.
	Request string `json:"request"`
}

func (s *Server) explain(c *call) error {
	select {
	case s.explains <- struct{}{}:
		defer func() { <-s.explains }()
	default:
		c.header().Set("Retry-After", "1")
		return Refuse(http.StatusServiceUnavailable, codeOverloaded,
			"%d explanations are under way; try again in a second", explainsMax)
	}
	body, err := c.body(s.options.Backend.BodyBytesMax())
	if err != nil {
		return err
	}
	p := paramsOf(c)
	out, err := s.options.Backend.Explain(ExplainQuery{Type: p.text("type"), ID: p.text("id"),
		ContentType: p.text("content_type"), Header: c.r.Header, Payload: body,
		Sample: p.text("sample")})
	if err != nil {
		return err
	}
	out.Targets = array(out.Targets)
	c.json(http.StatusOK, out)
	return nil
}

// Cataloguer tells of the event types of the catalogue. Errors as in Backend.
type Cataloguer interface {
	// EventTypes are all of them, sorted by name.
	EventTypes() []EventType
	// EventTypeOf is one with what its sample shows.
	EventTypeOf(typ string) (TypeDetail, error)
}

// EventType is an event type of the catalogue.
type EventType struct {
	Type string `json:"type"`
	When string `json:"when"` // it is sent, in words
	Side string `json:"side"` // who wrote: user, business or none
	// Session is what such an event does to the session of its conversation, in one sentence.
	Session string `json:"session"`
	// WantedBy are how many targets have a pattern that matches it.
	WantedBy int `json:"wanted_by"`
}

// TypeList is the answer of GET /v1/types.
type TypeList struct {
	Types []EventType `json:"types"`
}

// TypeDetail is the answer of GET /v1/types/{type}.
type TypeDetail struct {
	EventType
	Fields []TypeField `json:"fields"`
	// Payload is the sample's, byte for byte.
	Payload string `json:"payload"`
	// Targets are all there are, those that want the type first.
	Targets []TypeTarget `json:"targets"`
}

// TypeField is one field of a sample.
type TypeField struct {
	Name    string `json:"name"`    // its path
	Type    string `json:"type"`    // string, number, boolean, null, object or array
	Example string `json:"example"` // as in JSON, cut with "…"; empty for what has fields of its own
}

// TypeTarget says whether a target would get the sample as an event.
type TypeTarget struct {
	Target string `json:"target"`
	Status string `json:"status"`
	Wanted bool   `json:"wanted"` // if it depends on the session alone, true
	Note   string `json:"note"`   // why, or why not
}

func (s *Server) types(c *call) error {
	c.json(http.StatusOK, TypeList{array(s.options.Backend.EventTypes())})
	return nil
}

func (s *Server) typeDetail(c *call) error {
	t, err := s.options.Backend.EventTypeOf(c.arg("type"))
	if err != nil {
		return err
	}
	t.Fields, t.Targets = array(t.Fields), array(t.Targets)
	c.json(http.StatusOK, t)
	return nil
}
