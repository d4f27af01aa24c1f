package filter

import (
	"context"

	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/spool"
)

// Sent is an event as it would be sent.
type Sent struct {
	Type, ID, Session string
	ContentType       string
	Headers           []spool.Header
	Payload           []byte
}

// Transform makes of an event what a program wants of it, as compact JSON. A payload that is not
// JSON, a program that fails, none or more than one result, and one of more than bytesMax bytes are
// errors; jq.Blind tells them without the payload.
func Transform(p *jq.Program, e *Sent, bytesMax int) error {
	value, err := jq.Parse(e.Payload)
	if err != nil {
		return err
	}
	vars := jq.Vars{Type: e.Type, ID: e.ID, Session: e.Session}
	if p.UsesHeaders() {
		vars.Headers = Headers(e.ContentType, e.Headers)
	}
	payload, err := p.One(context.Background(), value, &vars, bytesMax)
	if err != nil {
		return err
	}
	e.Payload, e.ContentType = payload, "application/json"
	return nil
}
