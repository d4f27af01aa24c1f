package testenv

import (
	"encoding/json"
	"time"
)

// Action is one action as GET /v1/actions tells it.
type Action struct {
	Run, Verb, Target, Filter, Result, By, How, Remote string
	Count                                              int
	Token, Imported                                    bool
	At                                                 time.Time
	EndedAt                                            *time.Time `json:"ended_at"`
}

// Actions are those that the command line lists, newest first.
func (r *Relay) Actions(args ...string) (list []Action) {
	r.t.Helper()
	out := r.CLI(append([]string{"actions", "--json"}, args...)...)
	var page struct{ Actions []Action }
	if err := json.Unmarshal([]byte(out.Stdout), &page); err != nil || out.Code != 0 {
		r.t.Fatalf("hookspool actions: %v: %+v", err, out)
	}
	return page.Actions
}
