package testenv

import (
	"fmt"
	"net/url"
	"time"
)

// happened is an answer of GET /v1/history.
type happened struct {
	From        time.Time        `json:"from"`
	StepSeconds int              `json:"step_seconds"`
	Accepted    []int            `json:"accepted"`
	Refused     []int            `json:"refused"`
	Unmatched   []int            `json:"unmatched"`
	Delivered   []int            `json:"delivered"`
	Failed      map[string][]int `json:"failed"`
	P50         []*float64       `json:"p50_ms"`
	P99         []*float64       `json:"p99_ms"`
	UnknownFrom *time.Time       `json:"unknown_from"`
	UnknownWhy  string           `json:"unknown_why"`
}

func (r *Relay) history(target, span string) (h happened) {
	r.mustGet("/v1/history?"+url.Values{"target": {target}, "span": {span}}.Encode(), &h)
	return h
}

// sums is a history in one line.
func (h *happened) sums() string {
	sum := func(list []int) (n int) {
		for _, v := range list {
			n += v
		}
		return n
	}
	text := fmt.Sprintf("%d accepted, %d delivered", sum(h.Accepted), sum(h.Delivered))
	for _, outcome := range []string{"status", "connect", "timeout", "protocol", "auth", "transform"} {
		if n := sum(h.Failed[outcome]); n > 0 {
			text += fmt.Sprintf(", %d %s", n, outcome)
		}
	}
	if h.Refused != nil {
		text += fmt.Sprintf(", %d refused, %d unmatched", sum(h.Refused), sum(h.Unmatched))
	}
	return text
}

// WantHistory waits until every span tells the same of a target.
func (j *Journey) WantHistory(target, want string) {
	j.t.Helper()
	for _, span := range []string{"1h", "24h", "30d"} {
		var got string
		if !Eventually(Patience, func() bool {
			h := j.history(target, span)
			got = h.sums()
			return got == want
		}) {
			j.t.Errorf("in %s at %q happened %q, want %q", span, target, got, want)
		}
	}
}
