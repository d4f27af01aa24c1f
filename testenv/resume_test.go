package testenv

import (
	"slices"
	"testing"
)

// TestHeldIsSent asserts that what was replayed to a target while it was held is sent once it is no
// longer, however far the next tick is, and that what had failed waits for that. The target is
// resumed, enabled by the config, or back in it.
func TestHeldIsSent(t *testing.T) {
	t.Parallel()
	names := []string{"paused", "disabled", "orphan"}
	j := NewJourney(t).Aim(names...)
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 1)
	for _, name := range names {
		j.RX.Always(name, Code(500))
	}
	j.Start()
	again := j.SendIDs("again", 1)[0]
	for _, name := range names {
		Until(t, Patience, name, func() bool { return j.Target(name).Exhausted == 1 })
	}
	j.Config.Set("retry.interval", "1h").Set("retry.max_attempts", 144)
	j.Reload()
	waits := j.SendIDs("waits", 1)[0]
	for _, name := range names {
		j.AwaitFailed(name, 1)
	}
	j.Verb("pause", "paused")
	j.Config.Set("target.disabled.status", "disabled")
	orphan := j.Config.Text("target.orphan.url")
	j.Config.Remove("target.orphan")
	j.Reload()
	for _, name := range names {
		j.tells(0, []string{"queued 1 exhausted delivery"}, "replay", "--target", name, "--yes")
		j.RX.Always(name, OK())
	}
	sent := func(name string) {
		t.Helper()
		Until(t, Patience, name+" to get what was held", func() bool {
			return slices.Equal(j.RX.Attempts(name, again), []int{0, 1, 0})
		})
		j.AwaitPending(name, 1)
		if got := j.RX.Attempts(name, waits); !slices.Equal(got, []int{0}) {
			t.Errorf("%s: attempts %v of what is due at the next tick", name, got)
		}
	}
	j.Verb("resume", "paused")
	sent("paused")
	j.Config.Set("target.disabled.status", "enabled")
	j.Config.Target("orphan", orphan)
	j.Reload()
	sent("disabled")
	sent("orphan")
	for _, name := range names {
		j.Verb("retry", name)
	}
	j.Ledger.AwaitDelivered()
}
