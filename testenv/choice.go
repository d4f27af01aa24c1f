package testenv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// customers posts n events of each of some customers, in turn, with ids such as 491-0.
func customers(j *Journey, send func(Post) Answer, n int, ids ...string) {
	j.t.Helper()
	for i := range n {
		for _, waID := range ids {
			send(Post{ID: fmt.Sprintf("%s-%d", waID, i), Body: fmt.Appendf(nil,
				`{"eventType":"message","waId":%q,"n":%d,"text":"ü"}`, waID, i)})
		}
	}
}

// found are the ids that a listing of the command line prints, sorted.
func (j *Journey) found(args ...string) []string {
	j.t.Helper()
	out := j.CLI(append(args, "--all", "--json")...)
	if out.Code != 0 {
		j.t.Fatalf("hookspool %q: %d %s", args, out.Code, out.Stderr)
	}
	var ids []string
	for line := range strings.Lines(out.Stdout) {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			j.t.Fatalf("hookspool %q: %v in %s", args, err, line)
		}
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// WantFound asserts which ids a listing of the command line prints, in their order.
func (j *Journey) WantFound(want string, args ...string) {
	j.t.Helper()
	if got := strings.Join(j.found(args...), " "); got != want {
		j.t.Errorf("hookspool %s finds %q, want %q", strings.Join(args, " "), got, want)
	}
}

// ExhaustedOf is a relay with customers whose deliveries to crm are exhausted, and some fresh ones.
// What is to be purged is not in the ledger.
func ExhaustedOf(t *testing.T, noted bool) *Journey {
	t.Helper()
	j := NewJourney(t).Aim("crm", "good")
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 1)
	j.RX.On("crm", func(r *Request) Reply {
		if strings.HasPrefix(r.ID, "493") {
			return Reset()
		}
		return Code(503)
	})
	j.Start()
	send := j.Send
	if !noted {
		j.Ledger.AllowForeign()
		send = j.Relay.Post
	}
	customers(j, send, 4, "491", "492", "493")
	Until(t, Patience, "the exhausted", func() bool { return j.Target("crm").Exhausted == 12 })
	return j
}

// FailingAlike lets crm fail in ways that a status and an error do not tell apart: a- and b- with
// the same status and another first line, with ids in it, and c- without an answer.
func (j *Journey) FailingAlike() {
	j.RX.On("crm", func(r *Request) Reply {
		switch r.ID[:1] {
		case "a":
			return Answering(503, fmt.Sprintf("no database, request req_%016d", r.Nth))
		case "b":
			return Answering(503, "too busy")
		}
		return Reset()
	})
}
