//go:build !otel

package relay

import (
	"log/slog"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
)

// tracer is nothing in this build.
type tracer struct{}

// attemptSpan is nothing in this build.
type attemptSpan struct{}

// newTracer only says that spans which the environment asks for need the other build.
func newTracer(_ string, log *slog.Logger) tracer {
	if readTraceSettings(os.Getenv).wanted() {
		log.Info("the environment asks for traces, but this build has none; " +
			"use the release with otel in its name, or go build -tags otel")
	}
	return tracer{}
}

func (tracer) close(time.Time) {}

func (tracer) begin(*fasthttp.RequestCtx) {}

func (tracer) keep(_ *fasthttp.RequestCtx, headers []spool.Header) []spool.Header { return headers }

func (tracer) took(*fasthttp.RequestCtx, []*spool.Draft) {}

func (tracer) end(*fasthttp.RequestCtx, *refusal) {}

func (tracer) attempt(string, *attempt.Request) attemptSpan { return attemptSpan{} }

func (attemptSpan) end(*attempt.Outcome) {}
