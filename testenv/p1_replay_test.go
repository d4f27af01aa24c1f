package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"
)

const (
	replayedEvents = 1000
	replayPage     = 100
)

// replayPageFrom replays one page; false: the relay is gone.
func replayPageFrom(r *Relay, after string) (count int, next string, ok bool) {
	q := url.Values{"target": {"crm"}, "limit": {fmt.Sprint(replayPage)}, "after": {after}}
	code, body, err := r.client.call("POST", "/v1/replay?"+q.Encode())
	var page struct {
		Count int
		Next  string
	}
	if err != nil || code != 200 || json.Unmarshal(body, &page) != nil {
		return 0, "", false
	}
	return page.Count, page.Next, true
}

// exhaust sends events that a target refuses until they are exhausted, and returns their ids.
func exhaust(t *testing.T, r *Relay) []string {
	t.Helper()
	a := r.Post(Post{ContentType: "application/x-ndjson",
		Body: bytes.Repeat([]byte("{\"eventType\":\"message\"}\n"), replayedEvents)})
	if a.Err != nil || a.Status != 200 || len(a.Events) != replayedEvents {
		t.Fatalf("the batch was answered %d %v with %d events", a.Status, a.Err, len(a.Events))
	}
	Until(t, 2*Patience, "all exhausted", func() bool {
		return r.Target("crm").Exhausted == replayedEvents
	})
	var ids []string
	for _, e := range a.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestP1ReplayAcrossKill replays 1,000 exhausted deliveries in pages, kills the relay in the middle
// of one and goes on from the last cursor that was answered: each is delivered with its id, from
// attempt 0 on.
func TestP1ReplayAcrossKill(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	rx := NewReceiver(t)
	rx.Always("crm", Code(500))
	r := Start(t, NewConfig().Target("crm", rx.URL("crm")).Set("retry.interval", "200ms").
		Set("retry.max_attempts", 1).Set("defect.after_failed_jobs", 1000))
	ids := exhaust(t, r)
	rx.Always("crm", OK())
	before := rx.Count("crm")
	after, replayed, killed := "", 0, false
	for page := 0; ; page++ {
		if page == 4 && !killed {
			killed = true
			answered := make(chan string, 1)
			go func() { // ends with its call
				_, next, ok := replayPageFrom(r, after)
				if !ok {
					next = after
				}
				answered <- next
			}()
			<-time.After(time.Duration(rng.IntN(3000)) * time.Microsecond) // somewhere in it
			r.Kill()
			after = <-answered
			r.Start()
		}
		count, next, ok := replayPageFrom(r, after)
		if !ok {
			t.Fatalf("page %d was not answered", page)
		}
		replayed += count
		if after = next; after == "" {
			break
		}
	}
	if replayed < replayedEvents-2*replayPage || replayed > replayedEvents {
		t.Errorf("the pages that were answered count %d", replayed)
	}
	Until(t, 2*Patience, "all delivered", func() bool {
		c := r.Target("crm")
		return c.Pending == 0 && c.Exhausted == 0
	})
	first := make(map[string]Request)
	for _, q := range rx.Requests("crm")[before:] {
		if _, seen := first[q.ID]; !seen {
			first[q.ID] = q
		}
	}
	for _, id := range ids {
		if q, ok := first[id]; !ok || q.Attempt != 0 || !q.Replay {
			t.Fatalf("event %s arrived %t, at attempt %d, as a replay %t", id, ok, q.Attempt, q.Replay)
		}
	}
	if len(first) != len(ids) {
		t.Errorf("%d events were replayed; %d were exhausted", len(first), len(ids))
	}
}
