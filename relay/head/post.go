package head

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Post is an event that is to be brought in again.
type Post struct {
	// Listen are the addresses at which events are taken: host:port, or unix:PATH.
	Listen []string
	// Token: they need the token of events.
	Token                 bool
	ID, Type, ContentType string
	Fields                []Field // that travel with the event
	Payload               []byte
}

// inlineBytesMax bounds a payload that stands in a command itself.
const inlineBytesMax = 4 << 10

// tokenVariable is of the shell, and stands for the token of events.
const tokenVariable = "EVENT_TOKEN"

// CurlPost is the command that brings an event in again, as a new one: a CloudEvent, which has its
// id in itself, gets another one, or it would be a duplicate. A payload that is no short text is
// read from the relay.
func CurlPost(p *Post) string {
	var b strings.Builder
	data := "--data-raw " + Quote(string(p.Payload))
	if !isShortText(p.Payload) {
		fmt.Fprintf(&b, "hookspool events %s --payload | ", Quote(p.ID))
		data = "--data-binary @-"
	}
	b.WriteString("curl -i " + address(p.Listen))
	contentType := "Content-Type:" // without it curl would name one of its own
	if p.ContentType != "" {
		contentType += " " + p.ContentType
	}
	fmt.Fprintf(&b, " \\\n  -H %s", Quote(contentType))
	isCloudEvent := strings.HasPrefix(strings.ToLower(p.ContentType), "application/cloudevents")
	for _, f := range p.Fields {
		if strings.HasPrefix(f.Name, "ce-") { // a trace has ended
			fmt.Fprintf(&b, " \\\n  -H %s", Quote(f.Name+": "+f.Value))
			isCloudEvent = true
		}
	}
	switch {
	case isCloudEvent:
		b.WriteString(" \\\n  -H \"webhook-id: again-$(date +%s)\"")
	case p.Type != "":
		fmt.Fprintf(&b, " \\\n  -H %s", Quote("webhook-event-type: "+p.Type))
	}
	if p.Token {
		fmt.Fprintf(&b, " \\\n  -H \"Authorization: Bearer $%s\"", tokenVariable)
	}
	return b.String() + " \\\n  " + data + "\n"
}

// address is where curl finds the listener; one that stands for every address is on this machine.
func address(listen []string) string {
	for _, at := range listen {
		if strings.HasPrefix(at, "unix:") {
			continue
		}
		for _, everywhere := range []string{"[::]:", "0.0.0.0:"} {
			if port, ok := strings.CutPrefix(at, everywhere); ok {
				at = "localhost:" + port
			}
		}
		return Quote("http://" + at + "/v1/events")
	}
	if len(listen) == 0 {
		return "http://127.0.0.1:8470/v1/events"
	}
	return "--unix-socket " + Quote(strings.TrimPrefix(listen[0], "unix:")) +
		" http://localhost/v1/events"
}

func isShortText(payload []byte) bool {
	return len(payload) <= inlineBytesMax && utf8.Valid(payload) &&
		strings.IndexFunc(string(payload), func(r rune) bool {
			return unicode.IsControl(r) && r != '\n' && r != '\t'
		}) < 0
}
