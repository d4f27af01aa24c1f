//go:build !otel

package trace

import (
	"testing"
	"unsafe"

	"github.com/hookspool/hookspool/relay/attempt"
)

// TestTraceCostsNothing asserts that the seam for tracing takes no memory in a build without it: none
// in the relay, none an event, and nothing that accepting would have to ask.
func TestTraceCostsNothing(t *testing.T) {
	if n := unsafe.Sizeof(Tracer{}) + unsafe.Sizeof(Span{}); n != 0 {
		t.Errorf("tracer and span take %d bytes", n)
	}
	if (Tracer{}).Accepting() != nil {
		t.Error("accepting is traced")
	}
	req, out, trace := new(attempt.Request), new(attempt.Outcome), Tracer{}
	if n := testing.AllocsPerRun(1000, func() {
		span := trace.Attempt("crm", req)
		span.End(out)
	}); n != 0 {
		t.Errorf("one attempt allocates %v times for tracing", n)
	}
}
