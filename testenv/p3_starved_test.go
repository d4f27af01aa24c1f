package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// underLimit starts the relay with so many descriptors.
func (j *Journey) underLimit(descriptors int) *Journey {
	j.Through = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, descriptors), "sh"}
	return j
}

// wantUncharged asserts that no target was charged with anything.
func (j *Journey) wantUncharged(m Metrics, targets []string) {
	j.t.Helper()
	for _, name := range targets {
		for _, outcome := range []string{"status", "timeout", "connect", "dns", "tls", "protocol"} {
			if n := m.Get("attempts_total", "target", name, "outcome", outcome); n != 0 {
				j.t.Errorf("target %s was charged with %d × %s", name, n, outcome)
			}
		}
		if n := m.Get("retry_jobs_total", "target", name, "result", "failed"); n != 0 ||
			m.Get("target_consecutive_failed_jobs", "target", name) != 0 {
			j.t.Errorf("target %s has %d failed jobs", name, n)
		}
		for _, r := range j.RX.Requests(name) {
			if r.Attempt != 0 {
				j.t.Errorf("target %s got attempt %d", name, r.Attempt)
				break
			}
		}
	}
}

// TestP3Starved asserts that a relay without descriptors charges nobody for it: while one target
// holds as many connections as there may be, what is due at the others is neither an attempt nor a
// failed job, at any tick. Events are taken all the same, the spool is not disturbed, and everything
// arrives at once when there are descriptors again.
func TestP3Starved(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).underLimit(96)
	j.Config.Set("retry.interval", "100ms").Set("defect.after_failed_jobs", 2)
	j.Config.Target("greedy", j.RX.URL("greedy"), "events", []string{"greedy"}, "timeout", "5m",
		"concurrency", 200)
	var others []string
	for i := range 5 {
		name := fmt.Sprint("other-", i)
		others = append(others, name)
		j.Config.Target(name, j.RX.URL(name), "events", []string{"message"})
	}
	gate := make(chan struct{})
	j.RX.On("greedy", func(*Request) Reply { return Held(gate, OK()) })
	j.Start()
	began := time.Now()
	withheld := func(name string) int {
		return j.Metrics().Get("attempts_withheld_total", "target", name)
	}
	for i := range 120 {
		j.Send(Post{ID: fmt.Sprint("greedy-", i), Type: "greedy", Body: []byte("x")})
	}
	Until(t, Patience, "the greedy target to have every connection", func() bool {
		return withheld("greedy") > 0
	})
	for i := range 10 {
		j.Send(Post{ID: fmt.Sprint("m-", i), Type: "message", Body: []byte("x")})
	}
	Until(t, Patience, "the others to go without", func() bool {
		for _, name := range others {
			if withheld(name) < 3 {
				return false
			}
		}
		return true
	})
	before := *j.Status().LastTick
	Until(t, Patience, "more ticks", func() bool {
		return j.Status().LastTick.Sub(before).Milliseconds() > 500
	})
	j.wantUncharged(j.Metrics(), others)
	// The sample goes the same way, and says whose fault it is.
	out := j.CLI("sample", "other-0")
	if words := "no sample was sent to other-0: cannot connect to 127.0.0.1: hookspool has no file " +
		"descriptor left"; out.Code != 1 || !strings.Contains(out.Stderr, words) {
		t.Errorf("sample: exit %d\n%s", out.Code, out.Stderr)
	}
	j.Send(Post{ID: "last", Type: "message", Body: []byte("x")})
	if s := j.Status(); !s.Ready {
		t.Errorf("unready: %v", s.Unready)
	}
	most := 1 + int(time.Since(began)/time.Minute) // it is said once a minute
	if n := j.LogCount("attempts are withheld", "no file descriptor left"); n < 1 || n > most {
		t.Errorf("the log says it %d times", n)
	}
	close(gate)
	j.Ledger.AwaitDelivered()
	j.wantUncharged(j.Metrics(), append(others, "greedy"))
}

// TestP3StarvedByIdleConnections asserts that targets which are asked all the time, and so never let
// go of a connection by themselves, leave descriptors to one that has none.
func TestP3StarvedByIdleConnections(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).underLimit(96)
	names := []string{"late"}
	j.Config.Target("late", j.RX.URL("late"), "events", []string{"late"})
	for i := range 100 {
		name := fmt.Sprintf("busy-%03d", i)
		names = append(names, name)
		j.Config.Target(name, j.RX.URL(name), "events", []string{"busy"}, "concurrency", 1)
	}
	j.Start()
	sent := 0
	ask := func() {
		j.Send(Post{ID: fmt.Sprint("busy-", sent), Type: "busy", Body: []byte("x")})
		sent++
	}
	Until(t, Patience, "the busy targets to have every connection", func() bool {
		ask()
		return j.LogCount("attempts are withheld") > 0
	})
	j.Send(Post{ID: "late", Type: "late", Body: []byte("x")})
	Until(t, Patience, "the late target's turn", func() bool {
		ask()
		return j.RX.Count("late") > 0
	})
	j.Ledger.AwaitDelivered()
	j.wantUncharged(j.Metrics(), names)
}
