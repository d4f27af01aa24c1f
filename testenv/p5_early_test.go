package testenv

import (
	"slices"
	"testing"
	"time"
)

// TestP5EarlyRetries asserts that a receiver which refuses for two seconds, as one that restarts,
// delays its events by seconds and not to the next tick, which is an hour away here; that the early
// retries are attempts like others and make no failed job; and that a kill leaves the rest to the
// tick.
func TestP5EarlyRetries(t *testing.T) {
	t.Parallel()
	const n, down = 50, 2 * time.Second
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	j.Config.Target("crm", j.RX.URL("crm"), "early_retries", []string{"1s", "2s", "4s"})
	j.Start()
	j.SendIDs("before", n)
	j.RX.Await("crm", n)
	j.RX.Down()
	// One request, so that the last is not sent when the first has used its retries up.
	lines := slices.Repeat([][]byte{[]byte(`{"eventType":"message"}`)}, n)
	var ids []string
	for _, e := range j.SendBatch(lines...).Events {
		ids = append(ids, e.ID)
	}
	Until(t, Patience, "the live attempts", func() bool { return j.Metrics().Attempts("crm") >= 2*n })
	began := time.Now()
	Until(t, Patience, "two seconds", func() bool { return time.Since(began) > down })
	j.RX.Up()
	up := time.Now()
	j.AwaitPending("crm", 0)
	late := time.Duration(0)
	for _, r := range j.RX.Requests("crm") {
		if slices.Contains(ids, r.ID) {
			late = max(late, r.At.Sub(up))
			if r.Attempt == 0 || r.Attempt > 3 {
				t.Errorf("%s came with attempt %d", r.ID, r.Attempt)
			}
		}
	}
	t.Logf("refused for %s, the last event came %s after that", down, late)
	if late > Patience { // and not an hour
		t.Errorf("the last event came %s after the receiver did", late)
	}
	if jobsOf(j, "crm") != 0 || j.Target("crm").FailedJobs != 0 {
		t.Errorf("there were jobs: %+v", j.Target("crm"))
	}
	j.RX.Always("crm", Code(500))
	id := j.SendIDs("killed", 1)[0]
	j.AwaitFailed("crm", 1)
	j.Kill()
	j.RX.Always("crm", OK())
	j.Start()
	j.Verb("retry", "crm")
	j.AwaitPending("crm", 0)
	got := slices.Compact(j.RX.Attempts("crm", id))
	if want := upTo(len(got) - 1); len(got) < 2 || !slices.Equal(got, want) {
		t.Errorf("the event of the kill saw attempts %v", got)
	}
}
