package testenv

import (
	"slices"
	"testing"
)

// TestP1MadeIDGiven sends an event without an id, and then again with the id of the answer, as a
// sender does whose outbox keeps it: the same body is a duplicate of the same targets, another one
// is refused, alone and across kill -9. Nothing is delivered twice.
func TestP1MadeIDGiven(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "erp")
	j.Start()
	body, other := []byte(`{"eventType":"message","n":1}`), []byte(`{"eventType":"message","n":2}`)
	made := j.Send(Post{Body: body})
	for _, when := range []string{"at once", "after a kill"} {
		again := j.Relay.Post(Post{ID: made.ID, Body: body})
		if again.Status != 200 || !again.Duplicate || again.ID != made.ID ||
			!slices.Equal(again.Targets, made.Targets) {
			t.Errorf("%s, the same body: %d %s", when, again.Status, again.Body)
		}
		bad := j.Relay.Post(Post{ID: made.ID, Body: other})
		if bad.Status != 409 || bad.Problem.Code != "id_conflict" {
			t.Errorf("%s, another body: %d %s", when, bad.Status, bad.Body)
		}
		if when == "at once" {
			j.Kill()
			j.Start()
		}
	}
	j.Ledger.AwaitDelivered()
	for _, target := range []string{"crm", "erp"} {
		if n := j.RX.CountID(target, made.ID); n > 2 || j.RX.Bodies(target, other) {
			t.Errorf("%s got the event %d times, the other body %v", target, n,
				j.RX.Bodies(target, other))
		}
	}
}
