package testenv

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestP2TenKills kills the relay ten times under load, at random instants, with a target that is
// well, one that is flaky and one that is slow, and asserts that nothing accepted is lost, nothing
// is invented, no attempt is skipped, and everything arrives in the end.
func TestP2TenKills(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("good", "flaky", "slow")
	j.Config.Set("retry.interval", "100ms")
	j.RX.On("flaky", flaky(rng))
	j.RX.Always("slow", Slow(5*time.Millisecond, OK()))
	j.Start()
	load := j.StartLoad(rng, 4, "storm")
	for round := range 10 {
		want := j.Ledger.Accepted() + 20 + rng.IntN(150)
		Until(t, Patience, "more events", func() bool { return j.Ledger.Accepted() >= want })
		j.Kill()
		j.Start()
		if round == 4 {
			j.Ledger.CheckArrivals()
		}
	}
	load.Stop()
	j.Ledger.Check()
	j.Ledger.AwaitDelivered()
	for _, target := range []string{"good", "flaky", "slow"} {
		j.AwaitPending(target, 0)
		if n := j.Target(target).Exhausted; n != 0 {
			t.Errorf("target %q has %d exhausted deliveries", target, n)
		}
	}
	if s := j.Status(); s.Quarantined != 0 {
		t.Errorf("%d records were set aside", s.Quarantined)
	}
	t.Logf("%d accepted, %d answers lost, %d repeated deliveries in %d kills", j.Ledger.Accepted(),
		j.Ledger.Unknown(), j.Ledger.Duplicates(), j.Crashes())
}

// flaky answers well three times of five.
func flaky(rng *rand.Rand) Script {
	var mu sync.Mutex // guards own
	own := rand.New(rand.NewPCG(rng.Uint64(), 7))
	return func(*Request) Reply {
		mu.Lock()
		defer mu.Unlock()
		switch own.IntN(10) {
		case 0, 1:
			return Code(503)
		case 2:
			return Close()
		case 3:
			return Reset()
		}
		return OK()
	}
}

// TestP2KillKeepsBacklog kills the relay while a target is away and asserts that counts and lists
// of what is pending are the same after each start, and that the backlog arrives.
func TestP2KillKeepsBacklog(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("away", "good")
	j.Ledger.AllowGaps()
	away := NewReceiver(t)
	j.Config.Set("target.away.url", away.URL("away")).Set("retry.stop_job_after", 0)
	away.Down()
	j.Start()
	var lines [][]byte
	for range 700 {
		lines = append(lines, Payload(rng, "message", 200))
	}
	j.SendBatch(lines...)
	for range 2 {
		// A kill may come before the newest failures are on disk, which repeats them: at least once.
		Until(t, Patience, "700 pending", func() bool { return j.Target("away").Pending == 700 })
		if n := len(j.Deliveries("away", "pending")); n != 700 {
			t.Errorf("%d deliveries are listed as pending, want 700", n)
		}
		if n := j.Metrics().Get("deliveries_pending", "target", "away"); n != 700 {
			t.Errorf("deliveries_pending is %d, want 700", n)
		}
		j.Kill()
		j.Start()
	}
	// There is no tick in this scenario: what fails after the job has begun would wait for ever.
	j.AwaitFailed("away", 700)
	j.Config.Set("target.away.url", j.RX.URL("away"))
	j.Reload()
	j.Verb("enable", "away")
	j.Ledger.AwaitDelivered()
	j.AwaitPending("away", 0)
	if at := j.Target("away").OldestPending; at != nil {
		t.Errorf("nothing is pending, but the oldest is of %s", at)
	}
}

// TestP2SecondRelayKeepsOut asserts that two relays cannot share a spool: the second says so and
// leaves, the first is not disturbed.
func TestP2SecondRelayKeepsOut(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	second := NewRelay(t, j.Config.Clone())
	if err := second.Launch(); err != nil {
		t.Fatal(err)
	}
	if code := second.WaitExit(); code != 1 {
		t.Errorf("the second relay left with %d, want 1", code)
	}
	if second.LogCount("error: ") != 1 || second.LogCount("hint: ") == 0 {
		t.Errorf("the second relay said: %s", second.Log())
	}
	j.SendIDs("still", 3)
	j.Ledger.AwaitDelivered()
}
