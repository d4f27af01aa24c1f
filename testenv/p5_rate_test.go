package testenv

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestP5Rate asserts that a target with a rate gets so many requests a second and no more, live,
// jobs and replays together; that a backlog and what is new share them; that another target is not
// held up; that a kill loses nothing; and that a reload takes effect at once.
func TestP5Rate(t *testing.T) {
	t.Parallel()
	const n, rate = 60, 20
	j := NewJourney(t)
	j.Config.Target("slow", j.RX.URL("slow"), "rate", fmt.Sprintf("%d/s", rate))
	j.Config.Target("free", j.RX.URL("free"))
	j.Config.Set("retry.interval", "300ms")
	j.RX.On("slow", FailFirst(1, 500))
	j.Start()
	j.SendIDs("a", n)
	j.RX.Await("free", n)
	j.RX.Await("slow", n)
	j.SendIDs("b", n)
	j.RX.Await("free", 2*n)
	j.RX.Await("slow", 2*n)
	j.Kill()
	j.Start()
	killed := j.RX.Count("slow")
	j.RX.Await("slow", killed+rate+rate/2)
	requests := j.RX.Requests("slow")
	for i := range requests {
		last := requests[i].At.Add(time.Second)
		in := slices.IndexFunc(requests[i:], func(r Request) bool { return r.At.After(last) })
		// A second's worth at once, as much in the second after, and what the network delays; twice
		// after a kill.
		if in > 4*rate+rate/2 {
			t.Fatalf("%d requests within a second, from the %dth on", in, i)
		}
	}
	live, jobs := 0, 0
	for _, r := range requests[n:min(len(requests), 2*n)] {
		if r.Attempt == 0 {
			live++
		} else {
			jobs++
		}
	}
	if live < n/5 || jobs < n/5 {
		t.Errorf("of %d requests %d were live and %d of jobs", n, live, jobs)
	}
	j.Config.Set("target.slow.rate", "")
	j.Reload()
	j.AwaitPending("slow", 0)
	if out := j.CLI("check").Stdout; j.Target("slow").Delivered != 2*n {
		t.Errorf("%d delivered, want %d; check says\n%s", j.Target("slow").Delivered, 2*n, out)
	}
}
