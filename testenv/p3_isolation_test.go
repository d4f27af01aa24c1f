package testenv

import (
	"testing"
	"time"
)

// TestP3HangingTargetCostsNothing asserts that while every slot of one target hangs in its first
// requests, all events arrive at the others: an event, a batch, and again after a restart.
func TestP3HangingTargetCostsNothing(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good", "fine")
	j.Config.Target("hung", j.RX.URL("hung"), "timeout", "5m", "concurrency", 4)
	j.Config.Set("server.drain_timeout", "1s")
	j.RX.Always("hung", Hang())
	j.Start()
	for round, prefix := range []string{"before", "after"} {
		j.SendIDs(prefix, 50)
		var lines [][]byte
		for range 500 {
			lines = append(lines, []byte(`{"eventType":"message"}`))
		}
		j.SendBatch(lines...)
		j.RX.Await("good", 550*(round+1))
		j.RX.Await("fine", 550*(round+1))
		// Nothing has timed out: the slots still hold their first four deliveries.
		if n := len(j.RX.Await("hung", 4*(round+1))); n != 4*(round+1) {
			t.Errorf("the hanging target got %d requests, want %d", n, 4*(round+1))
		}
		if round == 0 {
			j.Ledger.Check()
			j.Restart() // cuts the hanging attempts off, which spends none
		}
	}
	if n := j.RX.Peak("hung"); n != 4 {
		t.Errorf("%d requests at once to the hanging target, want 4", n)
	}
	j.RX.Always("hung", OK())
	j.Restart()
	j.Ledger.AwaitDelivered()
}

// TestP3Concurrency asserts that attempts in flight never exceed a target's concurrency, live
// attempts and jobs together, and that the concurrency is used.
func TestP3Concurrency(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t)
	j.Config.Set("retry.interval", "50ms")
	for name, limit := range map[string]int{"one": 1, "three": 3} {
		j.Config.Target(name, j.RX.URL(name), "concurrency", limit)
		j.RX.On(name, func(req *Request) Reply {
			return Slow(3*time.Millisecond, FailFirst(1, 500)(req))
		})
	}
	j.Start()
	load := j.StartLoad(rng, 8, "busy")
	Until(t, Patience, "events", func() bool { return j.Ledger.Accepted() >= 200 })
	load.Stop()
	j.Ledger.AwaitDelivered()
	if one, three := j.RX.Peak("one"), j.RX.Peak("three"); one != 1 || three != 3 {
		t.Errorf("peaks are %d and %d, want 1 and 3", one, three)
	}
}

// TestP3SlowAnswerIsNotShared asserts that a receiver which drips its bodies without an end holds
// neither its own deliveries nor those of others.
func TestP3SlowAnswerIsNotShared(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Config.Target("endless", j.RX.URL("endless"), "timeout", "2m", "concurrency", 2)
	j.RX.Always("endless", HeadThen("HTTP/1.1 200 OK\r\n\r\n", Endless{}))
	j.Start()
	j.SendIDs("x", 20)
	j.Ledger.AwaitDelivered()
	j.AwaitPending("endless", 0)
}
