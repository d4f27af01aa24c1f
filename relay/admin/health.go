package admin

import (
	"net/http"
	"strings"
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
func (s *Server) livez(c *call) error {
	answerHealth(c, s.alive())
	return nil
}

// readyz says whether events should be sent here. /healthz is another name of it.
func (s *Server) readyz(c *call) error {
	answerHealth(c, s.alive(), newCheck("ready", s.options.Backend.Unready()))
	return nil
}

func (s *Server) alive() Check {
	if err := s.options.Backend.Dead(); err != nil {
		return newCheck("alive", []string{err.Error()})
	}
	return newCheck("alive", nil)
}

func answerHealth(c *call, checks ...Check) {
	health := Health{OK: true, Checks: checks}
	var reasons []string
	for _, k := range checks {
		health.OK = health.OK && k.OK
		reasons = append(reasons, k.Reasons...)
	}
	status, text := http.StatusOK, "ok\n"
	if !health.OK {
		status, text = http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n"
	}
	if c.query().Has("verbose") {
		c.json(status, health)
	} else {
		c.send(status, plainText, []byte(text))
	}
}
