package accept

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/config"
)

// readLines is what the head of a POST with these lines says.
func readLines(t *testing.T, lines ...string) (arrival, *Refusal) {
	t.Helper()
	raw := "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" +
		strings.Join(lines, "\r\n") + "\r\n\r\n"
	var h fasthttp.RequestHeader
	if err := h.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	a, _, r := readHead(&h, []byte("/v1/events"), &cfg)
	return a, r
}

// Any Content-Encoding is refused, on whichever line it stands, also the one that means none: what
// a proxy makes of it is not known.
func TestContentEncoding(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		code := ""
		if _, r := readLines(t, lines...); r != nil {
			code = r.Code
		}
		if code != want {
			t.Errorf("%q: got %q; want %q", lines, code, want)
		}
	}
	f("", "Content-Type: text/plain")
	f(CodeUnsupported, "Content-Encoding: gzip")
	f(CodeUnsupported, "Content-Encoding: identity")
	f(CodeUnsupported, "Content-Encoding:")
	f(CodeUnsupported, "content-encoding: identity", "Content-Encoding: br")
}

// Trace headers travel whole or not at all, and the lines of tracestate are one list.
func TestTraceHeaders(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		a, r := readLines(t, lines...)
		if r != nil {
			t.Fatal(r)
		}
		if got := fmt.Sprint(a.headers); got != want {
			t.Errorf("%.100q: got %.100s; want %.100s", lines, got, want)
		}
	}
	longest, longer := strings.Repeat("s", traceHeaderBytesMax), strings.Repeat("s", 513)
	f("[]")
	f("[{traceparent 00-ab} {tracestate a=1}]", "Traceparent: 00-ab", "tracestate: a=1")
	f("[{traceparent 00-ab} {tracestate a=1,b=2,c=3}]", "tracestate: a=1,b=2", "traceparent: 00-ab",
		"Tracestate:", "TraceState: c=3")
	f("[{traceparent 00-ab} {tracestate "+longest+"}]", "traceparent: 00-ab", "tracestate: "+longest)
	// Too long, alone or together: dropped whole.
	f("[{traceparent 00-ab}]", "traceparent: 00-ab", "tracestate: "+longer)
	f("[{traceparent 00-ab}]", "traceparent: 00-ab", "tracestate: "+longest, "tracestate: a=1")
	// Without one parent that is known a state says nothing.
	f("[]", "traceparent: "+longer, "tracestate: a=1")
	f("[]", "traceparent: 00-ab", "traceparent: 00-cd", "tracestate: a=1")
}

// The id is webhook-id, else Idempotency-Key, else source and id of a CloudEvent, which need not be
// said to be one.
func TestIDOfHead(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		a, r := readLines(t, lines...)
		if r != nil {
			t.Fatal(r)
		}
		if a.id != want {
			t.Errorf("%q: got id %q; want %q", lines, a.id, want)
		}
	}
	source, id := "ce-source: /shop", "ce-id: 1"
	f("w", "webhook-id: w", "Idempotency-Key: i", source, id)
	f("i", "Idempotency-Key: i", source, id)
	f(hashedID("/shop", "1"), source, id)
	f(hashedID("/shop", "1"), source, id, "ce-specversion: 1.0", "ce-type: x")
	f(hashedID("/shop", "1"), source, id, "Content-Type: application/x-ndjson")
	f(hashedID("a b", "ü"), "ce-source: a%20b", "ce-id: %C3%BC")
	// Half of it is no id, and a structured CloudEvent has its own.
	f("", source)
	f("", id)
	f("", source, id, "Content-Type: application/cloudevents+json")
	f("", source, id, "Content-Type: application/cloudevents-batch+json")
	if _, r := readLines(t, source, "ce-id: %FF"); r == nil || r.Code != CodeMalformed {
		t.Errorf("an id that is not UTF-8: got %v", r)
	}
}
