package admin

import (
	"context"
	"net/http"

	"github.com/hookspool/hookspool/relay/sieve"
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
	Choice sieve.Choice
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
	Looked
	// Sends: what is replayed will be sent. Otherwise it is queued and waits, and WhyNot says for
	// what; it may also say why sending waits for a while.
	Sends  bool   `json:"sends"`
	WhyNot string `json:"why_not,omitempty"`
	// Run names the replay: the calls for its other pages give it, so that they are one action.
	Run string `json:"run,omitempty"`
}

func (s *Server) replay(c *call) error {
	p := paramsOf(c)
	q := ReplayQuery{Target: p.text("target"), Type: p.text("type"),
		State:  p.oneOf("state", "exhausted", "delivered", "expired"),
		Window: p.window(), DryRun: p.flag("dry_run"), Page: p.page()}
	q.Choice, q.ID = p.choice()
	if q.Target == "" && q.ID == "" {
		p.fault("neither target nor id is given")
	}
	if p.err != nil {
		return p.err
	}
	out, err := s.options.Backend.Replay(s.life, q)
	if a := acting(s, c, "replay", q.Target); !q.DryRun && (out.Count > 0 || a.Run != "") {
		a.Count, a.Result = uint64(out.Count), "done"
		if !out.Sends {
			a.Result = "queued; " + out.WhyNot
		}
		out.Run = note(s, a, out.Next != "", err)
	}
	if err != nil {
		return err
	}
	c.json(http.StatusOK, out)
	return nil
}
