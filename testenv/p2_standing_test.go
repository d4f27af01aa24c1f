package testenv

import (
	"slices"
	"testing"
)

// frozen asserts that a target gets no request while ticks pass.
func frozen(j *Journey, target string) {
	j.t.Helper()
	Until(j.t, Patience, "what is in hand to be through", func() bool {
		return j.Target(target).InFlight == 0
	})
	n := j.RX.Count(target)
	j.AwaitTicks(10)
	if now := j.RX.Count(target); now != n {
		j.t.Errorf("target %q got %d requests while it should get none", target, now-n)
	}
}

// TestP2Disabled asserts that a Disabled target gets no new deliveries, that its spooled ones are
// frozen (no attempts, none charged), also across a restart, and that they go on when it is Enabled
// again.
func TestP2Disabled(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "other")
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 10_000)
	j.RX.Always("crm", Code(500))
	j.Start()
	j.SendIDs("kept", 3)
	j.RX.Await("crm", 9)
	j.Config.Set("target.crm.status", "disabled")
	j.Reload()
	if s := j.Target("crm").Status; s != "Disabled" {
		t.Errorf("the status is %s", s)
	}
	frozen(j, "crm")
	before := charged(j, "crm")
	if a := j.Send(Post{ID: "new", Body: []byte(`{}`)}); !slices.Equal(a.Targets, []string{"other"}) {
		t.Errorf("a new event is owed to %v", a.Targets)
	}
	j.Restart()
	frozen(j, "crm")
	if s := j.Target("crm"); s.Pending != 3 || s.Status != "Disabled" || charged(j, "crm") != before {
		t.Errorf("after a restart: %d pending, %s, %d charged, were %d", s.Pending, s.Status,
			charged(j, "crm"), before)
	}
	if n := j.Metrics().Get("target_status", "target", "crm"); n != 0 {
		t.Errorf("target_status is %d, want 0", n)
	}
	j.RX.Always("crm", OK())
	j.Config.Set("target.crm.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
	if n := j.RX.CountID("crm", "new"); n != 0 {
		t.Errorf("an event from when it was Disabled came %d times", n)
	}
}

// TestP2Paused asserts that a Paused target's deliveries are spooled and held, by the config and by
// the API, that both survive a restart and a kill, and that resuming releases everything in order.
func TestP2Paused(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 10_000)
	j.Config.Target("crm", j.RX.URL("crm"), "status", "paused", "concurrency", 1)
	j.Start()
	ids := j.SendIDs("by-config", 3)
	frozen(j, "crm")
	j.Verb("pause", "crm")
	j.Config.Set("target.crm.status", "enabled")
	j.Reload()
	ids = append(ids, j.SendIDs("by-verb", 3)...)
	frozen(j, "crm")
	j.Kill()
	j.Start()
	frozen(j, "crm")
	s := j.Target("crm")
	if s.Pending != 6 || s.Status != "Paused" || s.OldestPending == nil {
		t.Errorf("held: %d pending, %s, oldest %v", s.Pending, s.Status, s.OldestPending)
	}
	if n := j.Metrics().Get("target_status", "target", "crm"); n != 3 {
		t.Errorf("target_status is %d, want 3", n)
	}
	j.Verb("resume", "crm")
	j.AwaitStatus("crm", "Enabled")
	var order []string
	for _, r := range j.RX.Await("crm", 6) {
		order = append(order, r.ID)
	}
	if !slices.Equal(order, ids) {
		t.Errorf("released as %v", order)
	}
	j.AwaitPending("crm", 0)
	// While paused with a failed delivery: the job is held too, and no attempt is charged.
	j.RX.Always("crm", Code(500))
	j.SendIDs("failing", 1)
	j.RX.Await("crm", 8)
	j.Verb("pause", "crm")
	frozen(j, "crm")
	j.RX.Always("crm", OK())
	j.Verb("resume", "crm")
	j.Ledger.AwaitDelivered()
}

// TestP2Orphan asserts that the deliveries of a target that is removed from the config stay, in the
// API and the metrics, get no request, survive a restart, and go on when the name returns; and that
// it gets no new ones meanwhile.
func TestP2Orphan(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "other")
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 10_000)
	j.RX.Always("crm", Code(500))
	j.Start()
	j.SendIDs("kept", 4)
	j.RX.Await("crm", 8)
	j.Config.Remove("target.crm")
	j.Reload()
	frozen(j, "crm")
	if a := j.Send(Post{ID: "new", Body: []byte(`{}`)}); !slices.Equal(a.Targets, []string{"other"}) {
		t.Errorf("a new event is owed to %v", a.Targets)
	}
	for range 2 {
		orphan, ok := j.Targets()["crm"]
		if !ok || !orphan.Orphan || orphan.Pending != 4 || orphan.URL != "" {
			t.Errorf("the orphan is shown as %+v", orphan)
		}
		if n := j.Metrics().Get("deliveries_pending", "target", "crm"); n != 4 {
			t.Errorf("deliveries_pending of the orphan is %d, want 4", n)
		}
		if n := len(j.Deliveries("crm", "pending")); n != 4 {
			t.Errorf("%d deliveries of the orphan are listed, want 4", n)
		}
		j.Restart()
	}
	j.RX.Always("crm", OK())
	j.Aim("crm")
	j.Reload()
	j.Ledger.AwaitDelivered()
	if s := j.Target("crm"); s.Orphan || s.Status != "Enabled" {
		t.Errorf("the name returned, and is shown as %+v", s)
	}
}

// TestP2OrphanLeaves asserts that a removed target that owes nothing is not shown any more.
func TestP2OrphanLeaves(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm", "other")
	j.Start()
	j.SendIDs("x", 2)
	j.Ledger.AwaitDelivered()
	j.AwaitPending("crm", 0)
	j.Config.Remove("target.crm")
	j.Reload()
	if s, ok := j.Targets()["crm"]; ok && s.Pending == 0 {
		t.Errorf("a removed target without deliveries is shown as %+v", s)
	}
}

// TestP2URLIsEdited asserts that what is pending goes to the new URL when it is edited in place,
// with the secrets and headers of then, as the next attempt of the same delivery.
func TestP2URLIsEdited(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "100ms")
	j.RX.Always("crm", Code(500))
	j.Start()
	id := j.SendIDs("moved", 1)[0]
	j.RX.Await("crm", 2)
	j.Config.Target("crm", j.RX.URL("crm/v2"), "headers", map[string]string{"X-New": "yes"})
	j.Reload()
	j.RX.On("crm", func(req *Request) Reply {
		if req.Path == "/crm/v2" {
			return OK()
		}
		return Code(500)
	})
	j.Ledger.AwaitDelivered()
	requests := j.RX.Requests("crm")
	last := requests[len(requests)-1]
	if last.ID != id || last.Path != "/crm/v2" || last.Header.Get("X-New") != "yes" {
		t.Errorf("delivered to %s with X-New %q", last.Path, last.Header.Get("X-New"))
	}
	if got := j.RX.Attempts("crm", id); !slices.Equal(got, upTo(len(got)-1)) {
		t.Errorf("attempts %v", got)
	}
}
