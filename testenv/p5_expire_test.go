package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestP5Expire asserts that what a target has not acknowledged by its expire is not attempted any
// more, across a kill; that it is neither a failed job nor an attempt; that it is listed, counted
// and sent by a replay; that a CloudEvent's expirytime holds in binary and structured mode; and that
// another target gets everything.
func TestP5Expire(t *testing.T) {
	t.Parallel()
	const age = 2 * time.Second
	j := NewJourney(t)
	j.Config.Set("retry.interval", "200ms")
	j.Config.Target("fussy", j.RX.URL("fussy"), "expire", "1h")
	j.Config.Target("patient", j.RX.URL("patient"))
	j.RX.Always("fussy", Code(500))
	j.Start()
	ids := j.SendIDs("old", 5)
	j.RX.Await("patient", 5)
	Until(t, Patience, "a job", func() bool { return j.RX.CountID("fussy", ids[4]) >= 2 })
	j.Kill()
	killed := time.Now()
	j.Config.Set("target.fussy.expire", age.String())
	j.Start()
	Until(t, Patience, "expiry", func() bool { return j.Target("fussy").Expired == 5 })
	seen := j.RX.Count("fussy")
	jobs := jobsOf(j, "fussy")
	j.AwaitTicks(5)
	if n := j.RX.Count("fussy"); n != seen || jobsOf(j, "fussy") != jobs {
		t.Errorf("%d requests and %d jobs after expiry", n-seen, jobsOf(j, "fussy")-jobs)
	}
	for _, r := range j.RX.Requests("fussy") {
		if e := j.Event(r.ID); r.At.After(killed) &&
			r.At.Sub(e.AcceptedAt) > age+20*time.Second { // an attempt takes a while to arrive
			t.Errorf("%s was attempted %s after it was accepted", r.ID, r.At.Sub(e.AcceptedAt))
		}
	}
	if n := j.Metrics().Get("deliveries_expired", "target", "fussy"); n != 5 {
		t.Errorf("deliveries_expired is %d, want 5", n)
	}
	if out := j.CLI("deliveries", "--state", "expired"); strings.Count(out.Stdout, "expired at") != 5 {
		t.Errorf("hookspool deliveries --state expired says\n%s%s", out.Stdout, out.Stderr)
	}
	j.RX.Always("fussy", OK())
	if out := j.CLI("replay", "--state", "expired", "--target", "fussy", "--yes"); out.Code != 0 {
		t.Errorf("hookspool replay: %s", out.Stderr)
	}
	j.AwaitPending("fussy", 0)
	if got := j.Target("fussy"); got.Expired != 0 || got.Delivered != 5 {
		t.Errorf("after the replay %+v", got)
	}
	expireByThemselves(j)
}

// expireByThemselves sends CloudEvents that have expired when they come.
func expireByThemselves(j *Journey) {
	j.t.Helper()
	past := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	before := j.RX.Count("patient")
	j.Send(Post{Body: []byte(`{"a":1}`), Header: map[string]string{"ce-specversion": "1.0",
		"ce-type": "t", "ce-source": "s", "ce-id": "binary", "ce-expirytime": past}})
	j.Send(Post{Body: []byte(fmt.Sprintf(`{"specversion":"1.0","type":"t","source":"s",`+
		`"id":"structured","expirytime":%q,"data":{"a":1}}`, past)),
		ContentType: "application/cloudevents+json"})
	Until(j.t, Patience, "them to expire", func() bool {
		return j.Target("patient").Expired == 2 && j.Target("fussy").Expired == 2
	})
	if n := j.RX.Count("patient") - before; n != 0 {
		j.t.Errorf("%d of the events that had expired were sent", n)
	}
}
