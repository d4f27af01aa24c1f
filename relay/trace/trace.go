// Package trace makes the spans of an event's way to its targets.
//
// Tracing is compiled in by the build tag otel (otel.go); without it the Tracer is a value without
// a field whose methods do nothing and are inlined (off.go), so that an event costs what it did
// before: the exporter alone would add half of the binary. The seam is five calls, four of them by
// package accept, which makes none if there is no tracer (accept.Tracer, accept.Span):
//
//	Begin    a POST came; its span is a child of the request's traceparent
//	Keep     the headers that are frozen with the event
//	Took     the event is spooled: its id is known
//	End      the request is answered
//	Attempt  an attempt begins; what it returns is told the outcome
//
// Without tracing traceparent and tracestate go from sender to receiver as they came, because a
// relay that writes no spans takes no part in the trace (W3C Trace Context lets it forward them
// unchanged). With tracing each part names itself as the parent of the next: the event keeps the
// span of its acceptance, so that retries a day later are found below it even if the sender had no
// trace, and each attempt sends its own span, so that what the receiver does hangs below the very
// attempt that caused it. The payload is never touched.
package trace

import (
	"cmp"
	"strings"
)

// settings are what decides whether spans are exported, by the standard's variables.
type settings struct {
	endpoint, protocol string
	disabled           bool
}

// readSettings asks the environment. The ones for traces alone win, as in the specification of
// the OTLP exporter; all others (headers, timeout, sampler, batches, resource) are read by the SDK.
func readSettings(getenv func(string) string) settings {
	return settings{
		endpoint: cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
			getenv("OTEL_EXPORTER_OTLP_ENDPOINT")),
		protocol: cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
			getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"),
		disabled: strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") ||
			strings.EqualFold(getenv("OTEL_TRACES_EXPORTER"), "none"),
	}
}

// wanted reports whether the environment asks for spans. Nothing set: no.
func (s settings) wanted() bool { return s.endpoint != "" && !s.disabled }
