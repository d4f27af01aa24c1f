package testenv

import (
	"fmt"
	"strings"
	"testing"
)

// TestLogDeliveries asserts that log.deliveries writes exactly one line for every request that was
// made, live or retried, with what is known of it and nothing of payload, URL or secrets; and that a
// reload switches it off.
func TestLogDeliveries(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("log.deliveries", true).Set("log.level", "info").Set("retry.interval", "50ms")
	j.Config.Target("flaky", j.RX.URL("flaky")+"/canary?token=canary", "headers",
		map[string]string{"X-Key": "canary-header"})
	j.Aim("fine")
	j.RX.On("flaky", FailFirst(3, 503))
	j.Start()
	for i := range 10 {
		j.Send(Post{ID: fmt.Sprint("event-", i),
			Body: []byte(`{"eventType":"message","text":"canary"}`)})
	}
	j.Ledger.AwaitDelivered()
	line := func(words ...string) int { return j.LogCount(append(words, "msg=attempt ")...) }
	for target, requests := range map[string]int{"fine": 10, "flaky": 40} {
		if got := j.RX.Count(target); got != requests {
			t.Fatalf("target %q got %d requests, want %d", target, got, requests)
		}
		Until(t, Patience, "the lines of "+target, func() bool {
			return line("target="+target) >= requests
		})
		if n := line("target=" + target); n != requests {
			t.Errorf("%d lines about %d requests to %q", n, requests, target)
		}
	}
	for i := range 10 {
		id := fmt.Sprintf("id=event-%d ", i)
		for attempt := range 4 {
			outcome, status := "outcome=status", "status=503"
			if attempt == 3 {
				outcome, status = "outcome=success", "status=200"
			}
			if n := line("level=INFO", "target=flaky", id, "type=message", "duration=", "error=",
				fmt.Sprintf("attempt=%d ", attempt), outcome, status); n != 1 {
				t.Errorf("%d lines about attempt %d of event %d", n, attempt, i)
			}
		}
	}
	if strings.Contains(strings.ReplaceAll(j.Log(), j.RX.URL("flaky")+"/canary", ""), "canary") {
		t.Error("the log shows a payload or a secret")
	}
	j.Config.Set("log.deliveries", false)
	j.Reload()
	before := line()
	j.SendIDs("off", 5)
	j.Ledger.AwaitDelivered()
	if n := line() - before; n != 0 {
		t.Errorf("%d lines although log.deliveries is false", n)
	}
}
