package testenv

import (
	"slices"
	"testing"
)

// TestP5ScheduleOfATarget asserts that a target with max_attempts and every_ticks of its own sees
// as many requests as these say, at one of so many ticks, across a kill and a reload, while another
// target has the schedule of [retry].
func TestP5ScheduleOfATarget(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 30)
	j.Config.Target("own", j.RX.URL("own"), "max_attempts", 5, "every_ticks", 4)
	j.Config.Target("usual", j.RX.URL("usual"))
	j.RX.Always("own", Code(500))
	j.RX.Always("usual", Code(500))
	j.Start()
	id := j.Send(Post{ID: "doomed", Body: []byte(`{"eventType":"message"}`)}).ID
	Until(t, Patience, "a job", func() bool { return j.RX.CountID("own", id) >= 2 })
	j.Kill()
	j.Start()
	Until(t, Patience, "exhaustion", func() bool {
		return j.Target("own").Exhausted == 1 && j.Target("usual").Exhausted == 1
	})
	once := slices.Compact(j.RX.Attempts("own", id))
	if n := j.RX.CountID("own", id); !slices.Equal(once, upTo(5)) || n > 6+j.Crashes() {
		t.Errorf("the target of six saw attempts %v", j.RX.Attempts("own", id))
	}
	if once := slices.Compact(j.RX.Attempts("usual", id)); !slices.Equal(once, upTo(30)) {
		t.Errorf("the other target saw attempts %v", once)
	}
	j.Config.Set("target.own.max_attempts", 1).Set("target.own.every_ticks", 1)
	j.Reload()
	id = j.Send(Post{ID: "two", Body: []byte(`{"eventType":"message"}`)}).ID
	Until(t, Patience, "exhaustion", func() bool { return j.Target("own").Exhausted == 2 })
	if got := j.RX.Attempts("own", id); !slices.Equal(got, upTo(1)) {
		t.Errorf("after the reload the target saw attempts %v", got)
	}
}
