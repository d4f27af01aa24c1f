package admin

import "net/http"

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
}

// ExplainedTarget says whether one target would get the event.
type ExplainedTarget struct {
	Target    string `json:"target"`
	Status    string `json:"status"`     // Enabled, Disabled, Paused or Defective
	Matched   bool   `json:"matched"`    // a pattern of its events matches the type
	Pattern   string `json:"pattern"`    // the first that does
	RefusedBy string `json:"refused_by"` // events, session, disabled; empty: a delivery would be made
	Note      string `json:"note"`
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
		ContentType: p.text("content_type"), Header: c.r.Header, Payload: body})
	if err != nil {
		return err
	}
	out.Targets = array(out.Targets)
	c.json(http.StatusOK, out)
	return nil
}
