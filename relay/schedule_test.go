package relay

import (
	"testing"

	"github.com/hookspool/hookspool/relay/config"
)

// failedLive waits until a lane's only delivery has failed its live attempt.
func (f *fixture) failedLive(name string) {
	f.t.Helper()
	f.wait("the live attempt at "+name, func() bool {
		c := f.laneNamed(name).spool.Counts()
		return c.Pending == 1 && c.Fresh == 0
	})
}

// A target with a schedule of its own has a job at every n-th tick, also across a restart, whatever
// jobs are asked for between, and its own number of retries.
func TestScheduleOfATarget(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	own, usual := newReceiver(t, always(500)), newReceiver(t, always(500))
	f.target("own", own.URL, func(t *config.Target) { t.MaxAttempts, t.EveryTicks = 4, 3 })
	f.target("usual", usual.URL)
	f.cfg.Retry.MaxAttempts = 7
	f.start()
	f.post("/v1/events/message", `{}`)
	f.failedLive("own")
	f.failedLive("usual")
	var jobs []int
	for tick := range 14 {
		switch tick {
		case 4:
			f.restart()
		case 8:
			if _, err := f.Retry(order("own")); err != nil {
				t.Fatal(err)
			}
			f.wait("the job that was asked for", func() bool {
				return !f.laneNamed("own").jobRunning.Load()
			})
		}
		before := own.count()
		f.runTick()
		if own.count() != before {
			jobs = append(jobs, tick)
		}
	}
	for i := 1; i < len(jobs); i++ {
		if jobs[i]-jobs[i-1] != 3 {
			t.Errorf("jobs at ticks %v; want one at every third", jobs)
		}
	}
	if len(jobs) != 3 || own.count() != 5 || usual.count() != 8 {
		t.Errorf("%d jobs, %d and %d requests; want 3, 5 and 8", len(jobs), own.count(),
			usual.count())
	}
	got, _ := f.Target("own")
	if got.MaxAttempts != 4 || got.EveryTicks != 3 || got.Exhausted != 1 {
		t.Errorf("the target says %+v", got)
	}
}
