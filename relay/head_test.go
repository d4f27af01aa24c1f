package relay

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/config"
)

// readLines is what the head of a POST with these lines says.
func readLines(t *testing.T, lines ...string) (arrival, *refusal) {
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
			code = r.code
		}
		if code != want {
			t.Errorf("%q: got %q; want %q", lines, code, want)
		}
	}
	f("", "Content-Type: text/plain")
	f(codeUnsupported, "Content-Encoding: gzip")
	f(codeUnsupported, "Content-Encoding: identity")
	f(codeUnsupported, "Content-Encoding:")
	f(codeUnsupported, "content-encoding: identity", "Content-Encoding: br")
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
