package testenv

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestP5RetryAfterHoldsTheTarget asserts that a target which answers 429 with Retry-After sees
// nothing until then, across a kill and a restart; that this is shown with the instant; that another
// target goes on; and that what was not sent is charged nothing and arrives then without a tick.
func TestP5RetryAfterHoldsTheTarget(t *testing.T) {
	t.Parallel()
	const asked = 8 * time.Second
	j := NewJourney(t).Aim("crm", "erp")
	j.Config.Target("deaf", j.RX.URL("deaf"), "retry_after_max", "0s")
	j.Config.Set("retry.interval", "100ms")
	j.RX.On("crm", func(req *Request) Reply {
		if req.Nth == 1 {
			return RetryAfter(429, fmt.Sprint(int(asked.Seconds())))
		}
		return OK()
	})
	j.RX.On("deaf", func(req *Request) Reply {
		if req.NthOfID == 1 {
			return RetryAfter(503, "3153600000")
		}
		return OK()
	})
	j.Start()
	first := j.SendIDs("first", 1)[0]
	Until(t, Patience, "the gate", func() bool { return j.Target("crm").HeldUntil != nil })
	until, seen := *j.Target("crm").HeldUntil, time.Now()
	if at := j.RX.Requests("crm")[0].At; until.Sub(at) < asked-time.Second ||
		until.Sub(seen) > asked+time.Second { // it is told in whole seconds
		t.Errorf("asked for %s at %s, it is held until %s", asked, at, until)
	}
	// On a slow machine the time may be over when it is asked for.
	held := func() bool { return time.Now().Before(until) }
	j.SendIDs("later", 20)
	if out := j.CLI("targets", "crm").Stdout; held() && !strings.Contains(out, "Retry-After") ||
		!strings.Contains(out, until.Local().Format(time.DateTime)) {
		t.Errorf("hookspool targets crm says\n%s", out)
	}
	if out := j.CLI("retry", "crm"); held() &&
		(out.Code != 1 || !strings.Contains(out.Stderr, "resume")) {
		t.Errorf("hookspool retry of a held target: %d %s", out.Code, out.Stderr)
	}
	n := j.Metrics().Get("target_held_until_timestamp_seconds", "target", "crm")
	if held() && n != int(until.Unix()) {
		t.Errorf("the metric says %d, want %d", n, until.Unix())
	}
	j.Kill()
	j.Start()
	j.RX.Await("erp", 21)
	j.RX.Await("deaf", 22)
	if now := j.Target("crm").HeldUntil; held() && (now == nil || !now.Equal(until)) {
		t.Errorf("after a kill it is held until %v, want %s", now, until)
	}
	j.AwaitPending("crm", 0)
	requests := j.RX.Requests("crm")
	if len(requests) != 22 {
		t.Errorf("the target saw %d requests, want 22", len(requests))
	}
	for _, r := range requests[1:] {
		if early := until.Sub(r.At); early > 0 {
			t.Errorf("a request came %s before the target wanted one", early)
		}
		if r.ID != first && r.Attempt != 0 {
			t.Errorf("%s was charged: attempt %d", r.ID, r.Attempt)
		}
	}
	if until := j.Target("crm").HeldUntil; until != nil {
		t.Errorf("afterwards it is held until %s", until)
	}
}

// TestP5RetryAfterEndsTheJob asserts that a job whose target asks for time ends, that what it did not
// try is charged nothing, that hookspool resume goes on at once, and that a reload bounds what is
// asked for.
func TestP5RetryAfterEndsTheJob(t *testing.T) {
	t.Parallel()
	const pending = 50
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "concurrency", 1)
	j.RX.Always("crm", Code(500))
	j.Start()
	j.SendIDs("x", pending)
	j.AwaitFailed("crm", pending)
	century := time.Now().AddDate(100, 0, 0).UTC().Format(http.TimeFormat)
	j.RX.Always("crm", RetryAfter(503, century))
	j.Verb("retry", "crm")
	Until(t, Patience, "the job", func() bool { return jobsOf(j, "crm") == 1 })
	if n := j.RX.Count("crm"); n != pending+1 {
		t.Errorf("the job made %d requests, want 1", n-pending)
	}
	held := j.Target("crm").HeldUntil
	if held == nil || time.Until(*held) > time.Hour {
		t.Fatalf("it is held until %v, want an hour at most", held)
	}
	j.Config.Set("target.crm.retry_after_max", "30m")
	j.Reload()
	if now := j.Target("crm").HeldUntil; now == nil || time.Until(*now) > 30*time.Minute {
		t.Errorf("after the reload it is held until %v", now)
	}
	j.RX.Always("crm", OK())
	j.Verb("resume", "crm")
	j.Verb("retry", "crm")
	j.AwaitPending("crm", 0)
	if n := j.RX.Count("crm"); n != 2*pending+1 {
		t.Errorf("%d requests, want %d", n, 2*pending+1)
	}
}
