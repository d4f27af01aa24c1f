package testenv

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestP1DrainUnderLoad terminates the relay under load, several times, and asserts: it turns
// unready first, still accepts after that, refuses with 503 draining in the end or closes, leaves
// with 0 within its time, and has lost nothing of what it answered.
func TestP1DrainUnderLoad(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("good", "flaky")
	j.Config.Set("retry.interval", "100ms").Set("server.drain_timeout", "6s")
	j.RX.On("flaky", flaky(rng))
	j.Start()
	for round := range effort.Rounds(3, 2) {
		load := j.StartLoad(rng, 6, fmt.Sprint("drain-", round))
		want := j.Ledger.Accepted() + 50
		Until(t, Patience, "load", func() bool { return j.Ledger.Accepted() >= want })
		began := time.Now()
		j.Signal(syscall.SIGTERM)
		Until(t, Patience, "readyz to say 503", func() bool {
			code, _, err := j.client.call("GET", "/readyz")
			return err == nil && code == 503
		})
		// It accepts until no request came for a second, so a slower machine may have missed that.
		a := j.Post(Post{ID: fmt.Sprint("unready-", round), Body: []byte(`{}`)})
		if a.Status != 200 && time.Since(began) < time.Second {
			t.Errorf("unready, but within the drain: answered %d %v %s", a.Status, a.Err, a.Body)
		}
		if code := j.WaitExit(); code != 0 {
			t.Errorf("the relay left with %d", code)
		}
		if d := time.Since(began); d > 6*time.Second+Patience {
			t.Errorf("the drain took %s; drain_timeout is 6s", d)
		}
		load.Stop()
		j.Start()
		j.Ledger.Check()
	}
	j.Ledger.AwaitDelivered()
}

// TestP1DrainWhenQuiet asserts that a relay without traffic leaves soon, not after the whole
// drain_timeout, and delivers what is in hand before.
func TestP1DrainWhenQuiet(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("server.drain_timeout", "1h") // nobody waits that long for the process to end
	j.Config.Target("crm", j.RX.URL("crm"), "timeout", "10m")
	gate := make(chan struct{})
	j.RX.Always("crm", Held(gate, OK()))
	j.Start()
	id := j.SendIDs("in-hand", 1)[0]
	j.RX.Await("crm", 1)
	j.Signal(syscall.SIGTERM)
	Until(t, Patience, "readyz to say 503", func() bool {
		code, _, err := j.client.call("GET", "/readyz")
		return err == nil && code == 503
	})
	close(gate)
	if code := j.WaitExit(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	j.Start()
	j.AwaitPending("crm", 0)
	if n := j.RX.CountID("crm", id); n != 1 {
		t.Errorf("what was in hand at the stop was sent %d times, want once", n)
	}
}

// TestP1DrainIsBounded asserts that a hanging target does not hold the relay longer than
// drain_timeout, and that the attempt which was cut off is not charged: it is repeated with its
// number.
func TestP1DrainIsBounded(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("server.drain_timeout", "2s")
	j.Config.Target("hung", j.RX.URL("hung"), "timeout", "5m")
	j.RX.Always("hung", Hang())
	j.Start()
	id := j.SendIDs("x", 1)[0]
	j.RX.Await("hung", 1)
	began := time.Now()
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	if d := time.Since(began); d > 2*time.Second+Patience {
		t.Errorf("the stop took %s; drain_timeout is 2s", d)
	}
	j.RX.Always("hung", OK())
	j.Start()
	j.Ledger.AwaitDelivered()
	if got := j.RX.Attempts("hung", id); len(got) != 2 || got[1] != 0 {
		t.Errorf("attempts %v, want 0 again after the one that was cut off", got)
	}
}
