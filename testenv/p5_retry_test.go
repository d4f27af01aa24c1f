package testenv

import (
	"slices"
	"testing"
)

// attemptsMax is the number of the last attempt by default; a dead target sees one more request.
const attemptsMax = 144

// upTo is 0, 1, … n.
func upTo(n int) []int {
	out := make([]int, n+1)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestP5Exactly145Requests asserts that a target which always answers 500 sees 145 requests per
// event, attempts 0 to 144 in order, then silence for 20 ticks; that the deliveries are listed as
// exhausted with what was tried; and that other events of the target are not touched.
func TestP5Exactly145Requests(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("dead")
	j.Config.Set("retry.interval", "20ms")
	j.RX.On("dead", func(req *Request) Reply {
		if req.ID == "fine" {
			return OK()
		}
		return Code(500)
	})
	j.Start()
	id := j.Send(Post{ID: "doomed", Body: []byte(`{"eventType":"message"}`)}).ID
	Until(t, 2*Patience, "exhaustion", func() bool { return j.Target("dead").Exhausted == 1 })
	j.AwaitTicks(20)
	if got := j.RX.Attempts("dead", id); !slices.Equal(got, upTo(attemptsMax)) {
		t.Errorf("the target saw %d attempts, want 0 to 144 once each: %v", len(got), got)
	}
	m := j.Metrics()
	if n := m.Get("retry_jobs_total", "target", "dead", "result", "failed"); n != attemptsMax {
		t.Errorf("%d failed jobs, want 144", n)
	}
	if n := m.Get("attempts_total", "target", "dead", "outcome", "status"); n != attemptsMax+1 {
		t.Errorf("%d attempts counted, want 145", n)
	}
	if n := m.Get("deliveries_exhausted", "target", "dead"); n != 1 {
		t.Errorf("deliveries_exhausted is %d, want 1", n)
	}
	for range 2 {
		list := j.Deliveries("dead", "exhausted")
		if len(list) != 1 || list[0].ID != id || list[0].Attempts != attemptsMax+1 ||
			list[0].LastStatus != 500 {
			t.Errorf("exhausted deliveries: %+v", list)
		}
		e := j.Event(id)
		if len(e.Deliveries) != 1 || e.Deliveries[0].State != "exhausted" {
			t.Errorf("the event says %+v", e.Deliveries)
		}
		j.Restart() // what is exhausted stays so
	}
	j.AwaitTicks(5)
	if n := j.RX.CountID("dead", id); n != attemptsMax+1 {
		t.Errorf("%d requests after two restarts, want 145", n)
	}
	j.Send(Post{ID: "fine", Body: []byte(`{"eventType":"message"}`)})
	j.RX.AwaitID("dead", "fine")
}

// TestP5KillKeepsAttempts kills the relay three times on the way to exhaustion and asserts that
// attempts 0 to 144 are all made, none is skipped, and each kill repeats one at most.
func TestP5KillKeepsAttempts(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("dead")
	j.Config.Set("retry.interval", "20ms")
	j.RX.Always("dead", Code(500))
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	for _, at := range []int{20, 60, 100} {
		at += rng.IntN(30)
		Until(t, Patience, "attempts", func() bool { return j.RX.CountID("dead", id) > at })
		j.Kill()
		j.Start()
	}
	Until(t, 2*Patience, "exhaustion", func() bool { return j.Target("dead").Exhausted == 1 })
	j.AwaitTicks(20)
	got := j.RX.Attempts("dead", id)
	if n := len(got) - (attemptsMax + 1); n < 0 || n > j.Crashes() {
		t.Errorf("%d requests after %d kills", len(got), j.Crashes())
	}
	if once := slices.Compact(slices.Clone(got)); !slices.Equal(once, upTo(attemptsMax)) {
		t.Errorf("attempts %v", got)
	}
}

// TestP5LastAttemptCounts asserts that a success at attempt 144 delivers, and exhausts nothing.
func TestP5LastAttemptCounts(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("late")
	j.Config.Set("retry.interval", "20ms")
	j.RX.On("late", func(req *Request) Reply {
		if req.Attempt == attemptsMax {
			return OK()
		}
		return Code(503)
	})
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	Until(t, 2*Patience, "success", func() bool { return j.Target("late").Delivered == 1 })
	j.AwaitTicks(5)
	target := j.Target("late")
	if target.Exhausted != 0 || target.Pending != 0 || target.Status != "Enabled" ||
		target.FailedJobs != 0 {
		t.Errorf("after success at the last attempt: %+v", target)
	}
	if got := j.RX.Attempts("late", id); !slices.Equal(got, upTo(attemptsMax)) {
		t.Errorf("attempts %v", got)
	}
	if e := j.Event(id); len(e.Deliveries) != 1 || e.Deliveries[0].State != "delivered" {
		t.Errorf("the event says %+v", e.Deliveries)
	}
}

// TestP5MaxAttemptsZero asserts the edge of the key: no retries, one request.
func TestP5MaxAttemptsZero(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("dead")
	j.Config.Set("retry.interval", "20ms").Set("retry.max_attempts", 0)
	j.RX.Always("dead", Code(500))
	j.Start()
	j.SendIDs("x", 3)
	Until(t, Patience, "exhaustion", func() bool { return j.Target("dead").Exhausted == 3 })
	j.AwaitTicks(10)
	if n := j.RX.Count("dead"); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// TestP5ManyOldestFirst asserts that a job tries everything that failed before it once each,
// oldest first.
func TestP5ManyOldestFirst(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "concurrency", 1)
	j.RX.On("crm", FailFirst(1, 500))
	j.Start()
	ids := j.SendIDs("in-order", 150)
	j.AwaitFailed("crm", 150)
	j.Verb("enable", "crm") // runs a job now; there is no tick in this scenario
	requests := j.RX.Await("crm", 300)
	var retried []string
	for _, r := range requests[150:] {
		retried = append(retried, r.ID)
	}
	if !slices.Equal(retried, ids) {
		t.Errorf("the job's order is %v", retried)
	}
	j.AwaitPending("crm", 0)
	if n := j.Metrics().Get("retry_jobs_total", "target", "crm", "result", "success"); n != 1 {
		t.Errorf("%d successful jobs, want 1", n)
	}
}

// TestP5StopJobAfter asserts that a dead target with 500 deliveries pending costs a few connections
// a job and is charged only for those; that an answer, however bad, never ends a job early; and
// that everything arrives in the end.
func TestP5StopJobAfter(t *testing.T) {
	t.Parallel()
	const pending, run, concurrency = 500, 16, 8
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	// A machine that stands still for less than the timeout is not taken for a target that hangs.
	const long, short = "2m", "300ms"
	j.Config.Target("dead", j.RX.URL("dead"), "timeout", long, "concurrency", concurrency)
	j.Config.Set("retry.stop_job_after", run).Set("defect.after_failed_jobs", 3)
	j.RX.Down()
	j.Start()
	var lines [][]byte
	for range pending {
		lines = append(lines, []byte(`{"eventType":"message"}`))
	}
	j.SendBatch(lines...)
	Until(t, Patience, "the live attempts", func() bool {
		return j.Metrics().Attempts("dead") == pending
	})
	tried := pending
	job := func(what string, low, high int) {
		t.Helper()
		jobs := jobsOf(j, "dead")
		j.Verb("enable", "dead")
		Until(t, Patience, what, func() bool { return jobsOf(j, "dead") == jobs+1 })
		now := j.Metrics().Attempts("dead")
		if n := now - tried; n < low || n > high {
			t.Errorf("%s: the job made %d attempts, want %d to %d", what, n, low, high)
		}
		tried = now
	}
	job("a refused job", run, run+concurrency-1)
	job("another refused job", run, run+concurrency-1)
	j.RX.Up()
	j.RX.Always("dead", Hang())
	j.Config.Set("target.dead.timeout", short)
	j.Reload()
	job("a hanging job", run, run+concurrency-1)
	j.Config.Set("target.dead.timeout", long)
	j.Reload()
	if n := charged(j, "dead"); n != tried {
		t.Errorf("%d attempts were made, %d are charged", tried, n)
	}
	j.RX.Always("dead", Code(500))
	job("a failing job", pending, pending)
	j.RX.Always("dead", Close())
	job("a closing job", pending, pending)
	if n := charged(j, "dead"); n != tried {
		t.Errorf("%d attempts were made, %d are charged", tried, n)
	}
	j.RX.Always("dead", OK())
	job("a good job", pending, pending)
	j.Ledger.AwaitDelivered()
}

// jobsOf counts the jobs of a target.
func jobsOf(j *Journey, target string) int {
	m := j.Metrics()
	return m.Get("retry_jobs_total", "target", target, "result", "failed") +
		m.Get("retry_jobs_total", "target", target, "result", "success")
}

// charged sums the attempts that pending deliveries have used.
func charged(j *Journey, target string) int {
	n := 0
	for _, d := range j.Deliveries(target, "pending") {
		n += d.Attempts
	}
	return n
}
