package relay

import "testing"

// TestTracePassThrough asserts that a relay that exports no spans, with or without the tag, sends
// the sender's trace on as it came: at once, at a retry, after a restart and to every target; and
// that it makes none up.
func TestTracePassThrough(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		t.Setenv(name, "")
	}
	f := newFixture(t)
	bad, good := newReceiver(t, always(500)), newReceiver(t, always(200))
	f.target("bad", bad.URL)
	f.target("good", good.URL)
	f.start()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	const state = "vendor=a,other=b"
	f.post("/v1/events/message", "{}", "traceparent", parent, "tracestate", state)
	f.wait("both attempts", func() bool { return bad.count() == 1 && good.count() == 1 })
	f.wait("the settling", func() bool {
		c := f.laneNamed("bad").spool.Counts()
		return c.Pending == 1 && c.Fresh == 0
	})
	f.runTick()
	f.restart()
	f.runTick()
	f.wait("the retries", func() bool { return bad.count() == 3 })
	for _, rx := range []*receiver{bad, good} {
		for i, q := range rx.requests {
			if q.Header.Get("traceparent") != parent || q.Header.Get("tracestate") != state {
				t.Errorf("request %d has traceparent %q, tracestate %q", i,
					q.Header.Get("traceparent"), q.Header.Get("tracestate"))
			}
		}
	}
	f.post("/v1/events/message", "{}")
	f.wait("the event without a trace", func() bool { return good.count() == 2 })
	if h := good.requests[1].Header; h.Get("traceparent") != "" || h.Get("tracestate") != "" {
		t.Errorf("a trace was made up: %v", h)
	}
}
