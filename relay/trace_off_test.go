//go:build !otel

package relay

import (
	"testing"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
)

// TestTraceCostsNothing asserts that the seam for tracing takes no memory in a build without it:
// none in the relay, none an event.
func TestTraceCostsNothing(t *testing.T) {
	if n := unsafe.Sizeof(tracer{}) + unsafe.Sizeof(attemptSpan{}); n != 0 {
		t.Errorf("tracer and span take %d bytes", n)
	}
	ctx := new(fasthttp.RequestCtx)
	headers := []spool.Header{{Name: "traceparent", Value: "00-ab"}}
	drafts := []*spool.Draft{new(spool.Draft)}
	req, out, trace := new(attempt.Request), new(attempt.Outcome), tracer{}
	if n := testing.AllocsPerRun(1000, func() {
		trace.begin(ctx)
		headers = trace.keep(ctx, headers)
		trace.took(ctx, drafts)
		trace.end(ctx, nil)
		span := trace.attempt("crm", req)
		span.end(out)
	}); n != 0 {
		t.Errorf("one event with one attempt allocates %v times for tracing", n)
	}
}
