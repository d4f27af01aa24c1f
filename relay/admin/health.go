package admin

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// Health is the answer of /livez, /readyz and /healthz with ?verbose.
type Health struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	Name    string   `json:"name"`    // "alive" or "ready"
	OK      bool     `json:"ok"`      // Reasons is empty
	Reasons []string `json:"reasons"` // why it is not
}

func newCheck(name string, reasons []string) Check {
	return Check{Name: name, OK: len(reasons) == 0, Reasons: array(reasons)}
}

// livez says whether a restart would help: it fails only when the relay cannot go on.
func (s *Server) livez(ctx *fasthttp.RequestCtx, _ []string) error {
	answerHealth(ctx, s.alive())
	return nil
}

// readyz says whether events should be sent here. /healthz is another name of it.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ []string) error {
	answerHealth(ctx, s.alive(), newCheck("ready", s.options.Backend.Unready()))
	return nil
}

func (s *Server) alive() Check {
	if err := s.options.Backend.Dead(); err != nil {
		return newCheck("alive", []string{err.Error()})
	}
	return newCheck("alive", nil)
}

func answerHealth(ctx *fasthttp.RequestCtx, checks ...Check) {
	health := Health{OK: true, Checks: checks}
	var reasons []string
	for _, c := range checks {
		health.OK = health.OK && c.OK
		reasons = append(reasons, c.Reasons...)
	}
	switch {
	case ctx.QueryArgs().Has("verbose"):
		writeJSON(ctx, health)
	case health.OK:
		writeText(ctx, "ok\n")
	default:
		writeText(ctx, strings.Join(reasons, "\n")+"\n")
	}
	if !health.OK {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	}
}
