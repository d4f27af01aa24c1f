package admin

import (
	"context"
	"net/http"
)

// Replayer sends again what is settled. Errors as in Backend.
type Replayer interface {
	// Replay makes one page of deliveries pending again, from attempt 0 with a budget of their own.
	// The last page lets a job run at every enabled target that has something to send then; until
	// then what was replayed waits for the next tick.
	Replay(ctx context.Context, q ReplayQuery) (Replayed, error)
}

// ReplayQuery selects deliveries; Target or ID is set. Empty fields select all.
type ReplayQuery struct {
	Target string
	State  string // exhausted or delivered
	Type   string // exact, or with * as in the config
	Window
	ID     string
	DryRun bool // count only
	Page
}

// Replayed is the answer of POST /v1/replay.
type Replayed struct {
	// Count of this page. One that is pending is not replayed and not counted.
	Count  int    `json:"count"`
	Next   string `json:"next"` // for the next page; empty: this was the last
	DryRun bool   `json:"dry_run"`
}

func (s *Server) replay(c *call) error {
	p := paramsOf(c)
	q := ReplayQuery{Target: p.text("target"), Type: p.text("type"), ID: p.text("id"),
		State:  p.oneOf("state", "exhausted", "delivered"),
		Window: p.window(), DryRun: p.flag("dry_run"), Page: p.page()}
	if q.Target == "" && q.ID == "" {
		p.fault("neither target nor id is given")
	}
	if p.err != nil {
		return p.err
	}
	out, err := s.options.Backend.Replay(s.life, q)
	if err != nil {
		return err
	}
	c.json(http.StatusOK, out)
	return nil
}
