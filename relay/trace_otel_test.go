//go:build otel

package relay

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/trace"
)

// otlp is a collector: it takes OTLP over HTTP as protobuf and keeps what came.
type otlp struct {
	*httptest.Server
	mu       sync.Mutex // guards below
	status   int
	requests int
	raw      []byte
	spans    []*tracepb.Span
	resource []*commonpb.KeyValue
}

// newOTLP makes a collector and points the environment at it, with a key in the query.
func newOTLP(t *testing.T) *otlp {
	c := &otlp{status: 200}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		var export collectorpb.ExportTraceServiceRequest
		err := proto.Unmarshal(body, &export)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests++
		if err != nil || q.URL.Path != "/v1/traces" ||
			q.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s of %s is no OTLP: %v", q.URL, q.Header.Get("Content-Type"), err)
		}
		if c.status != 200 {
			w.WriteHeader(c.status)
			return
		}
		c.raw = append(c.raw, body...)
		for _, r := range export.ResourceSpans {
			c.resource = r.Resource.Attributes
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	return c
}

// named waits for spans of a name.
func (c *otlp) named(t *testing.T, name string, n int) []*tracepb.Span {
	t.Helper()
	var found []*tracepb.Span
	waitFor(t, "spans named "+name, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		found = nil
		for _, s := range c.spans {
			if s.Name == name {
				found = append(found, s)
			}
		}
		return len(found) >= n
	})
	if len(found) != n {
		t.Errorf("there are %d spans named %s, want %d", len(found), name, n)
	}
	return found
}

// attributes are a span's, as text.
func attributes(list []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		default:
			out[a.Key] = strings.Trim(strings.SplitN(a.Value.String(), ":", 2)[1], `" `)
		}
	}
	return out
}

func wantAttributes(t *testing.T, s *tracepb.Span, want map[string]string) {
	t.Helper()
	got := attributes(s.Attributes)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("span %s has %s %q, want %q", s.Name, key, got[key], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("span %s has %v, want %v", s.Name, got, want)
	}
}

// below asserts that one span is the parent of another, in one trace.
func below(t *testing.T, parent, child *tracepb.Span) {
	t.Helper()
	if !bytes.Equal(parent.TraceId, child.TraceId) || !bytes.Equal(parent.SpanId, child.ParentSpanId) {
		t.Errorf("span %s is not below %s", child.Name, parent.Name)
	}
}

const (
	senderTrace = "0af7651916cd43dd8448eb211c80319c"
	senderSpan  = "b7ad6b7169203331"
)

// TestSpans follows one event with a trace through acceptance, a failure, a retry and two targets:
// what was exported, what the receivers were told, and that nothing secret left.
func TestSpans(t *testing.T) {
	c := newOTLP(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	f := newFixture(t)
	bad := newReceiver(t, func(n int) int { return []int{503, 200}[min(n, 1)] })
	address := strings.Replace(bad.URL, "http://", "http://user:hunter2@", 1)
	f.target("bad", address+"/hook?key=querysecret", func(t *config.Target) {
		t.Headers = []config.Header{{Name: "X-Key", Value: "headersecret"}}
	})
	f.start()
	_, answer := f.post("/v1/events", `{"eventType":"message","text":"payloadsecret"}`,
		"traceparent", "00-"+senderTrace+"-"+senderSpan+"-01", "tracestate", "vendor=a")
	id := answer["id"].(string)
	accept := c.named(t, "accept", 1)[0]
	f.wait("the settling", func() bool { return f.laneNamed("bad").spool.Counts().Fresh == 0 })
	f.runTick()
	f.wait("the retry", func() bool { return bad.count() == 2 })
	attempts := c.named(t, "attempt bad", 2)

	if hex.EncodeToString(accept.TraceId) != senderTrace ||
		hex.EncodeToString(accept.ParentSpanId) != senderSpan || accept.TraceState != "vendor=a" {
		t.Errorf("the accept span is not below the sender's: %v", accept)
	}
	wantAttributes(t, accept, map[string]string{"hookspool.events": "1", "hookspool.event.id": id,
		"hookspool.event.duplicate": "false", "http.response.status_code": "200"})
	for i, want := range []map[string]string{
		{"hookspool.outcome": "status", "error.type": "status", "http.response.status_code": "503",
			"hookspool.attempt": "0"},
		{"hookspool.outcome": "success", "http.response.status_code": "200",
			"hookspool.attempt": "1"},
	} {
		want["hookspool.target"], want["hookspool.event.id"] = "bad", id
		below(t, accept, attempts[i])
		wantAttributes(t, attempts[i], want)
		head := bad.requests[i].Header
		if got, want := head.Get("traceparent"), "00-"+senderTrace+"-"+
			hex.EncodeToString(attempts[i].SpanId)+"-01"; got != want ||
			head.Get("tracestate") != "vendor=a" || len(head.Values("traceparent")) != 1 {
			t.Errorf("attempt %d was sent with %q %q, want %q", i, head.Values("traceparent"),
				head.Get("tracestate"), want)
		}
	}
	got := attributes(c.resource)
	if got["service.name"] != "hookspool" || got["service.version"] != "test" ||
		got["deployment.environment.name"] != "test" {
		t.Errorf("the resource is %v", got)
	}
	for _, secret := range []string{"payloadsecret", "querysecret", "headersecret", "hunter2",
		bad.URL} {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("what was exported holds %s", secret)
		}
	}
}

// TestSpansWithoutSender asserts that an event without a trace, and all lines of a batch, have
// their attempts below the span of their acceptance; that a trace which is none is replaced; that
// refusals are told; and that a probe is not.
func TestSpansWithoutSender(t *testing.T) {
	c := newOTLP(t)
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL)
	f.start()
	f.post("/v1/events", "{\"a\":1}\n{\"a\":2}", "Content-Type", "application/x-ndjson", "traceparent", "rubbish",
		"tracestate", "vendor=a")
	accept := c.named(t, "accept", 1)[0]
	if len(accept.ParentSpanId) != 0 || accept.TraceState != "" {
		t.Errorf("the span is not the first of its trace: %v", accept)
	}
	wantAttributes(t, accept, map[string]string{"hookspool.events": "2",
		"http.response.status_code": "200"})
	for _, s := range c.named(t, "attempt crm", 2) {
		below(t, accept, s)
	}
	events, _ := f.Addresses()
	res, err := http.Get("http://" + events[0] + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	f.post("/v1/elsewhere", "{}")
	refused := c.named(t, "accept", 2)[1]
	wantAttributes(t, refused, map[string]string{"error.type": "not_found",
		"http.response.status_code": "404"})
	if refused.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		t.Error("a fault of the sender is told as one of the relay")
	}
}

// TestSpansNotSampled asserts that the sender's decision not to sample holds, and is passed on.
func TestSpansNotSampled(t *testing.T) {
	c := newOTLP(t)
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL)
	f.start()
	f.post("/v1/events/a", "{}", "traceparent", "00-"+senderTrace+"-"+senderSpan+"-00")
	f.post("/v1/events/b", "{}")
	f.wait("both deliveries", func() bool { return rx.count() == 2 })
	c.named(t, "attempt crm", 1)
	f.stop() // exports what is left
	if c.named(t, "accept", 1); c.requests == 0 {
		t.Error("nothing was exported")
	}
	for _, q := range rx.requests {
		parent := q.Header.Get("traceparent")
		if q.Header.Get("webhook-event-type") == "a" && (!strings.HasPrefix(parent,
			"00-"+senderTrace+"-") || !strings.HasSuffix(parent, "-00")) {
			t.Errorf("the trace that is not sampled went on as %q", parent)
		}
	}
}

// TestCollectorDown asserts that a collector that refuses or is away costs no event and no time at
// the stop, is said once, and that neither its URL nor its answer is.
func TestCollectorDown(t *testing.T) {
	c := newOTLP(t)
	c.status = 400 // not retried by the exporter
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL+"?key=querysecret")
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL)
	f.start()
	for n := 1; n <= 3; n++ {
		f.post("/v1/events/a", "{}")
		f.wait("a refused export", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.requests >= n
		})
	}
	c.Close()
	f.post("/v1/events/a", "{}")
	f.wait("the deliveries", func() bool { return rx.count() == 4 })
	began := time.Now()
	f.stop()
	if took := time.Since(began); took > trace.FlushMax+3*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// TestExportErrors asserts what is logged of a collector: once, without its URL and its answer.
func TestExportErrors(t *testing.T) {
	c := newOTLP(t)
	c.status = 400
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT",
		strings.Replace(c.URL, "http://", "http://user:hunter2@", 1)+"/?key=querysecret")
	var log syncBuffer
	tracer := trace.New("test", slog.New(slog.NewTextHandler(&log, nil)))
	defer tracer.Close(time.Now().Add(time.Second))
	for n := 1; n <= 3; n++ {
		span := tracer.Attempt("crm", &attempt.Request{})
		span.End(&attempt.Outcome{Kind: attempt.Success, Status: 200})
		waitFor(t, "an export", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if n == 3 {
				c.status = 200
			}
			return c.requests >= n
		})
	}
	span := tracer.Attempt("crm", &attempt.Request{})
	span.End(&attempt.Outcome{Kind: attempt.Timeout, Error: "no answer"})
	c.named(t, "attempt crm", 1)
	waitFor(t, "the all-clear", func() bool { return strings.Contains(log.String(), "again") })
	text := log.String()
	if strings.Count(text, "cannot export") != 1 || !strings.Contains(text, "400 Bad Request") ||
		strings.Contains(text, "secret") || strings.Contains(text, "hunter2") {
		t.Errorf("logged:\n%s", text)
	}
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestUnusableSettings asserts that settings that cannot work leave tracing off and are said.
func TestUnusableSettings(t *testing.T) {
	f := func(want, name, value string) {
		t.Helper()
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
		t.Setenv(name, value)
		var log syncBuffer
		tracer := trace.New("test", slog.New(slog.NewTextHandler(&log, nil)))
		if tracer.Accepting() != nil {
			tracer.Close(time.Now())
			t.Errorf("tracing is on with %s=%s", name, value)
		}
		if text := log.String(); !strings.Contains(text, want) || strings.Contains(text, "hunter2") {
			t.Errorf("logged:\n%s", text)
		}
	}
	f("only http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	f("must be http", "OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")
	f("must be http", "OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter2@localhost")
	f("must be http", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://")
}
