package relay

import (
	"fmt"
	"time"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
)

const (
	// sessionUnknown stands for the state of a conversation, which only a spool knows.
	sessionUnknown = "unknown"
	unknownNote    = "the request would carry webhook-session"
)

// ExplainByConfig is Relay.Explain without a relay: what the config alone says of an event. Nothing
// is known of conversations, standings and pauses by hand; q.Header may be nil. It reads the
// targets' certificate files, opens no connection, and is safe for concurrent use. Errors are
// *admin.Error when the event is at fault.
func ExplainByConfig(cfg *config.Config, version string, q admin.ExplainQuery) (admin.Explanation,
	error) {
	d, source, no := explained(cfg, &q, &fastjson.Parser{})
	if n := int64(len(q.Payload)); n > cfg.Server.MaxBodySize { // nobody has refused it at the door
		no = refuse(codeTooLarge, "the event has %d bytes; server.max_body_size is %d", n,
			cfg.Server.MaxBodySize)
	}
	if no != nil {
		return admin.Explanation{}, admin.Refuse(refusalCodes()[no.code], no.code, "%s", no.detail)
	}
	d.At = time.Now()
	out := admin.Explanation{Type: d.Type, TypeSource: source, IDGiven: d.Given}
	t, conversation := d.Note.(*talk)
	if conversation {
		out.Session = &admin.ExplainedSession{Key: t.keys[0], StateBefore: sessionUnknown,
			StateAfter: sessionUnknown}
	}
	lanes := make([]*lane, len(cfg.Targets))
	for i := range cfg.Targets {
		var err error
		if lanes[i], err = plainLane(&cfg.Targets[i], version); err != nil {
			return admin.Explanation{}, err
		}
	}
	out.Targets = explainTargets(lanes, d)
	for i := range out.Targets {
		if e := &out.Targets[i]; conversation && e.RefusedBy == "" {
			e.Note = unknownNoteOf(cfg.Targets[i].Session, e.Note)
		}
	}
	return out, nil
}

// plainLane is a lane of which nothing but the target is known; it delivers nothing.
func plainLane(t *config.Target, version string) (*lane, error) {
	o, err := AttemptOptions(t, version)
	if err != nil {
		return nil, err
	}
	client, err := attempt.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot use target %q: %w", t.Name, err)
	}
	l := &lane{name: t.Name}
	l.work.Store(&work{target: t, client: client})
	return l, nil
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
