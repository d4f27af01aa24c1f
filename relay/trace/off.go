//go:build !otel

package trace

import (
	"log/slog"
	"os"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/attempt"
)

// Tracer is nothing in this build.
type Tracer struct{}

// Span is nothing in this build.
type Span struct{}

// New only says that spans which the environment asks for need the other build.
func New(_ string, log *slog.Logger) Tracer {
	if readSettings(os.Getenv).wanted() {
		log.Info("the environment asks for traces, but this build has none; " +
			"use the release with otel in its name, or go build -tags otel")
	}
	return Tracer{}
}

// Close does nothing.
func (Tracer) Close(time.Time) {}

// Accepting is nil: no spans are made.
func (Tracer) Accepting() accept.Tracer { return nil }

// Attempt does nothing.
func (Tracer) Attempt(string, *attempt.Request) Span { return Span{} }

// End does nothing.
func (Span) End(*attempt.Outcome) {}
