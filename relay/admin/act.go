package admin

import (
	"net/http"
	"strconv"

	"github.com/hookspool/hookspool/relay/action"
)

// Clerk keeps what operators did. Errors as in Backend.
type Clerk interface {
	// Act notes one call of an action that was carried out, and returns the name of the action. If it
	// has the name of one whose calls it goes on with, it is counted to that. more: others will come.
	Act(a action.Action, more bool) (run string)
	// CutShort ends an action of this caller of which no more calls will come; nil: none such goes on.
	CutShort(run string, who action.Who) *action.Action
	// Actions lists them, newest first.
	Actions(q ActionQuery) (Actions, error)
}

// Order is an operator's to one target.
type Order struct {
	Target string
	// Force lifts a defect whatever comes of the job.
	Force bool
	// Action says who gave it.
	Action action.Action
}

// ActionQuery selects actions; empty fields select all.
type ActionQuery struct {
	Target string
	Verb   string
	Window // when they began
	Page
}

// Actions is one page of GET /v1/actions.
type Actions struct {
	Actions []action.Action `json:"actions"`
	Next    string          `json:"next"` // for the next page; empty: this is the last
}

// verbs are what an action may be.
func verbs() []string {
	return append([]string{""}, action.Verbs()...)
}

// acting is the action of a call, as far as the call itself tells.
func acting(s *Server, c *call, verb, target string) action.Action {
	token := s.options.Token() != "" && presented(c.r.Header.Get("Authorization")) != ""
	return action.Action{Run: c.query().Get("run"), Verb: verb, Target: target,
		Filter: action.Filter(c.query(), "target", "limit", "after", "dry_run", "run", "forget"),
		Who:    action.Caller(c.conn.Conn, c.r.Header.Get(action.Header), token)}
}

// note notes what a call came to. One that was refused changed nothing, and is none.
func note(s *Server, a action.Action, more bool, err error) (run string) {
	if err != nil {
		if a.Run == "" && a.Count == 0 {
			return ""
		}
		a.Result = err.Error()
	}
	return s.options.Backend.Act(a, more && err == nil)
}

// actions is the call that lists what operators did.
func actions(b Clerk) func(*call) error {
	return func(c *call) error { return listActions(b, c) }
}

func listActions(b Clerk, c *call) error {
	p := paramsOf(c)
	q := ActionQuery{Target: p.text("target"), Verb: p.oneOf("verb", verbs()...),
		Window: p.window(), Page: p.page()}
	if _, _, ok := action.ReadRun(q.After); q.After != "" && !ok {
		p.fault("after is not the next of an answer")
	}
	if p.err != nil {
		return p.err
	}
	page, err := b.Actions(q)
	if err != nil {
		return err
	}
	page.Actions = array(page.Actions)
	c.json(http.StatusOK, page)
	return nil
}

// stopAction is the call that ends an action whose other pages nobody will ask for.
func stopAction(b Clerk) func(*call) error {
	return func(c *call) error {
		a := b.CutShort(c.arg("run"), action.Caller(c.conn.Conn, c.r.Header.Get(action.Header), false))
		if a == nil {
			return Refuse(http.StatusNotFound, codeNotFound, "no action %q of yours goes on",
				shorten(c.arg("run")))
		}
		c.json(http.StatusOK, a)
		return nil
	}
}

// sampled is the result of a sample in words.
func sampled(a *Sample) string {
	text := a.StatusLine
	if text == "" && a.Status > 0 {
		text = strconv.Itoa(a.Status)
	}
	if text == "" {
		text = a.Error
	}
	if a.Acknowledged {
		return "acknowledged: " + text
	}
	return "not acknowledged: " + text
}
