// Package sample holds one example payload for every event type of Wati's catalogue, and makes one
// for any other.
//
// The sample verb sends them to a target, and the demo plays nine of them as the life cycle of one
// template. The shapes follow the field lists of docs.wati.io/reference/introduction-1 and of the
// event pages below it; the data is invented: phone numbers come from the ranges that regulators
// keep for fiction (+1 202 555 01xx, +44 7700 900xxx) and every domain ends in .example (RFC 2606).
//
// The samples keep the traps of the real payloads, so that a receiver which survives them survives
// the real ones: sourceType is a number on inbound events and a string on template events, an
// inbound event says statusString "SENT", a status event names only its conversation and no waId,
// newContactMessageReceived names only waId, timestamp is a string of seconds, created has seven
// fractional digits (and no zone on ctaUrlClicked), and a bsuid twin may lack waId.
package sample

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	payloadDir = "payload"
	payloadExt = ".json"
)

// payloads holds one file per event type, named after it. The files are indented for their readers:
// a sample is one event, not one line.
//
//go:embed payload/*.json
var payloads embed.FS

// Event is one sample: an event type and the payload that goes with it.
type Event struct {
	Type    string
	Payload []byte
}

// Types returns every event type that has a sample, sorted by its bytes.
func Types() []string {
	entries, err := payloads.ReadDir(payloadDir)
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot list the embedded samples: %s", err))
	}
	types := make([]string, 0, len(entries))
	for _, entry := range entries {
		types = append(types, strings.TrimSuffix(entry.Name(), payloadExt))
	}
	// The directory is sorted by file name, extension included; the types promise their own order.
	slices.Sort(types)
	return types
}

// Payload returns the sample of one event type, byte for byte as it is embedded. Its second result
// is false when the type has no sample. The slice is the caller's own.
func Payload(typ string) ([]byte, bool) {
	payload, err := payloads.ReadFile(payloadDir + "/" + typ + payloadExt)
	return payload, err == nil
}

// Generic returns a payload for a type without a sample: small, JSON, and honest about what it is.
// at is the instant it tells, in seconds like that of the samples.
func Generic(typ string, at time.Time) []byte {
	payload, err := json.MarshalIndent(struct {
		EventType string `json:"eventType"`
		Sample    bool   `json:"sample"`
		Text      string `json:"text"`
		Timestamp string `json:"timestamp"`
	}{typ, true, "This is a sample that hookspool made: an event of this type, but for its content.",
		strconv.FormatInt(at.Unix(), 10)}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot encode a sample of %q: %s", typ, err))
	}
	return append(payload, '\n')
}

// LifeCycle returns the nine events that one template raises when a target asked for both versions
// of each: sent, delivered, read, then the user's answer and the replies it causes. The order is
// the one seen on a live account. All belong to one conversation; whatsappMessageId links the
// events of the template, localMessageId its _v2 events, and the answer's replyContextId points
// back to it.
func LifeCycle() []Event {
	types := [...]string{
		"templateMessageSent", "templateMessageSent_v2",
		"sentMessageDELIVERED", "sentMessageDELIVERED_v2",
		"sentMessageREAD", "sentMessageREAD_v2",
		"message",
		"sentMessageREPLIED", "sentMessageREPLIED_v2",
	}
	events := make([]Event, 0, len(types))
	for _, typ := range types {
		payload, ok := Payload(typ)
		if !ok {
			panic(fmt.Sprintf("BUG: no sample of %q, which is part of the life cycle", typ))
		}
		events = append(events, Event{Type: typ, Payload: payload})
	}
	return events
}
