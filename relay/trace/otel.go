//go:build otel

package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
)

const (
	// FlushMax bounds the last export: a collector that hangs does not hold up a stop.
	FlushMax = 3 * time.Second

	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// Tracer makes the spans; the zero Tracer makes none. The SDK exports them from a goroutine of its
// own, in batches out of a bounded queue: what does not fit is dropped, never waited for.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    oteltrace.Tracer
}

// Span is one attempt's span; the zero one is none.
type Span struct{ span oteltrace.Span }

// New follows the OTEL_* variables. What cannot be used is said and leaves tracing off: a
// relay that does not start for want of a collector would be worse than one without traces.
func New(version string, log *slog.Logger) Tracer {
	set := readSettings(os.Getenv)
	if !set.wanted() {
		return Tracer{}
	}
	provider, err := newProvider(version, set, log)
	if err != nil {
		log.Error("no traces are exported; events are relayed all the same", "error", err)
		return Tracer{}
	}
	log.Info("traces are exported by OTLP over HTTP")
	return Tracer{provider: provider, spans: provider.Tracer("github.com/hookspool/hookspool/relay",
		oteltrace.WithInstrumentationVersion(version))}
}

func newProvider(version string, s settings, log *slog.Logger) (*sdktrace.TracerProvider,
	error) {
	if s.protocol != "http/protobuf" {
		return nil, fmt.Errorf("cannot use the OTLP protocol %.40q: only http/protobuf is spoken",
			s.protocol)
	}
	// The SDK would fall back to localhost; the endpoint may hold a key, so it is not quoted.
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("cannot use the OTLP endpoint: it must be http://host:port or " +
			"https://host:port")
	}
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		return nil, fmt.Errorf("cannot make the OTLP exporter: %w", err)
	}
	// Later ones win: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are the operator's.
	r, err := resource.New(context.Background(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "hookspool"),
			attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		log.Warn("a part of OTEL_RESOURCE_ATTRIBUTES cannot be used; the rest is")
	}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(r),
		sdktrace.WithBatcher(&tracedExporter{SpanExporter: exporter, log: log})), nil
}

// Close exports what is left, within the time that is left.
func (t Tracer) Close(deadline time.Time) {
	if t.provider == nil {
		return
	}
	if soon := time.Now().Add(FlushMax); soon.Before(deadline) {
		deadline = soon
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	// Spans are a help, not a promise: what could not be exported was logged by tracedExporter.
	_ = t.provider.Shutdown(ctx)
}

// Accepting makes the spans of accepting; nil: none are made.
func (t Tracer) Accepting() accept.Tracer {
	if t.provider == nil {
		return nil
	}
	return accepting(t)
}

// accepting is a Tracer as package accept knows it.
type accepting Tracer

// Begin is part of accept.Tracer.
func (t accepting) Begin(sent []spool.Header) accept.Span {
	var carrier headerCarrier
	for _, h := range sent {
		carrier = append(carrier, attempt.Header(h))
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), carrier)
	_, span := t.spans.Start(parent, "accept", oteltrace.WithSpanKind(oteltrace.SpanKindServer))
	return acceptSpan{span}
}

// acceptSpan is the span of accepting.
type acceptSpan struct{ span oteltrace.Span }

// Keep is part of accept.Span.
func (s acceptSpan) Keep(headers []spool.Header) []spool.Header {
	kept := headers[:0]
	for _, h := range headers {
		if h.Name != traceparent && h.Name != tracestate {
			kept = append(kept, h)
		}
	}
	for _, h := range contextHeaders(s.span) {
		kept = append(kept, spool.Header(h))
	}
	return kept
}

// Took is part of accept.Span. The ids of a batch are its attempts' to tell.
func (s acceptSpan) Took(drafts []*spool.Draft) {
	s.span.SetAttributes(attribute.Int("hookspool.events", len(drafts)))
	if len(drafts) == 1 {
		s.span.SetAttributes(attribute.String("hookspool.event.id", drafts[0].ID),
			attribute.Bool("hookspool.event.duplicate", drafts[0].Duplicate))
	}
}

// End is part of accept.Span. A refusal is an error of the span only when it is ours: the
// conventions for HTTP servers leave 4xx to the client.
func (s acceptSpan) End(status int, code string) {
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", code))
		if status >= 500 {
			s.span.SetStatus(codes.Error, code)
		}
	}
	s.span.End()
}

// Attempt opens an attempt's span, below what the event was accepted with, and has the request
// carry it on.
func (t Tracer) Attempt(target string, req *attempt.Request) Span {
	if t.provider == nil {
		return Span{}
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), headerCarrier(req.Header))
	_, span := t.spans.Start(parent, "attempt "+target,
		oteltrace.WithSpanKind(oteltrace.SpanKindClient),
		oteltrace.WithAttributes(attribute.String("hookspool.target", target),
			attribute.String("hookspool.event.id", req.ID),
			attribute.Int("hookspool.attempt", req.Attempt)))
	kept := req.Header[:0]
	for _, h := range req.Header {
		if h.Name != traceparent && h.Name != tracestate {
			kept = append(kept, h)
		}
	}
	req.Header = append(kept, contextHeaders(span)...)
	return Span{span}
}

// End closes the span with the outcome. The texts of an Outcome hold no secret.
func (s Span) End(out *attempt.Outcome) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.String("hookspool.outcome", out.Kind.String()))
	if out.Status != 0 {
		s.span.SetAttributes(attribute.Int("http.response.status_code", out.Status))
	}
	if out.Kind != attempt.Success {
		s.span.SetAttributes(attribute.String("error.type", out.Kind.String()))
		s.span.SetStatus(codes.Error, out.Error)
	}
	s.span.End()
}

// contextHeaders are the headers by which a span is the parent of what comes next.
func contextHeaders(span oteltrace.Span) []attempt.Header {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(oteltrace.ContextWithSpan(context.Background(), span), carrier)
	var headers []attempt.Header
	for _, name := range [...]string{traceparent, tracestate} {
		if value := carrier[name]; value != "" {
			headers = append(headers, attempt.Header{Name: name, Value: value})
		}
	}
	return headers
}

// headerCarrier reads the trace out of headers, those of a request or those frozen with an event.
type headerCarrier []attempt.Header

func (c headerCarrier) Get(key string) string {
	for _, h := range c {
		if h.Name == key {
			return h.Value
		}
	}
	return ""
}

func (headerCarrier) Set(string, string) {}

func (headerCarrier) Keys() []string { return nil }

// tracedExporter says once that a collector does not take spans, and once that it does again. The
// library's own handler would print the URL with its query, and every batch again.
type tracedExporter struct {
	sdktrace.SpanExporter
	log    *slog.Logger
	failed atomic.Bool
}

// ExportSpans is part of trace.SpanExporter.
func (e *tracedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed == e.failed.Swap(failed):
	case failed:
		e.log.Warn("cannot export spans; they are dropped until the collector takes them",
			"error", maskExport(err))
	default:
		e.log.Info("spans are exported again")
	}
	return nil
}

// maskExport is an export's error without the endpoint, whose query or user-info may be a key, and
// without the collector's answer, which may echo one.
func maskExport(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "(body:")
	words := strings.Fields(text)
	for i, word := range words {
		if strings.Contains(word, "://") {
			words[i] = "the collector:"
		}
	}
	return strings.Join(words, " ")
}
