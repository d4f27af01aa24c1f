package testenv

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// readyFleet has relays and targets that want everything.
func readyFleet(t *testing.T, relays int, targets ...string) *Fleet {
	t.Helper()
	f := NewFleet(t, relays, nats.StartInProcess(t, nats.Options{}))
	f.Aim(targets...)
	return f
}

// TestFleetTakeOver kills the relay that serves a target under load. What it had accepted is
// delivered by the other, which goes on accepting all the while.
func TestFleetTakeOver(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	f := readyFleet(t, 2, "a", "b", "c", "d")
	f.StartAll()
	load := f.StartFleetLoad(rng, 4, "load")
	Until(t, Patience, "events", func() bool { return f.Ledger.Accepted() > 100 })
	dead := f.OwnerOf("a")
	other := f.Relays[1-dead]
	f.Relays[dead].Kill()
	f.crashes++
	began := time.Now()
	before := f.RX.Count("a")
	Until(t, 2*Patience, "the other relay to serve the target", func() bool {
		return other.Target("a").Relay == fmt.Sprint("r", 1-dead) && f.RX.Count("a") > before
	})
	t.Logf("a request %v after the kill", time.Since(began).Round(time.Millisecond))
	load.Stop()
	f.Ledger.relay = other
	f.Ledger.AwaitDelivered()
	f.Relays[dead].Start()
	f.AwaitEven()
	for i := range f.Relays {
		f.PostTo(i, Post{ID: fmt.Sprint("after-", i), Body: []byte(`{"eventType":"message"}`)})
	}
	f.Ledger.AwaitDelivered()
	t.Logf("%d accepted, %d deliveries repeated", f.Ledger.Accepted(), f.Ledger.Duplicates())
	f.Ledger.Check()
}

// TestFleetDrain stops a relay in order: its targets are served on without a pause, and what it
// had in flight has landed before, so that no more than that can be delivered twice.
func TestFleetDrain(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	rng := Seed(t)
	f := readyFleet(t, 2, "a", "b", "c", "d")
	f.StartAll()
	load := f.StartFleetLoad(rng, 4, "load")
	Until(t, Patience, "events", func() bool { return f.Ledger.Accepted() > 100 })
	leaves := f.OwnerOf("a")
	other := f.Relays[1-leaves]
	ended := make(chan int, 1)
	f.Relays[leaves].Signal(syscall.SIGTERM)
	go func() { ended <- f.Relays[leaves].WaitExit() }()
	began := time.Now()
	Until(t, Patience, "the other relay to serve everything", func() bool {
		owners := f.Owners(other)
		for _, owner := range owners {
			if owner != fmt.Sprint("r", 1-leaves) {
				return false
			}
		}
		return len(owners) == 4
	})
	t.Logf("the other relay serves everything %v after SIGTERM",
		time.Since(began).Round(time.Millisecond))
	if code := <-ended; code != 0 {
		t.Errorf("it left with code %d", code)
	}
	load.Stop()
	f.Ledger.relay = other
	f.Ledger.AwaitDelivered()
	// What lands late on a busy machine counts for nothing, and is attempted again.
	inFlight := 0
	for name := range other.Targets() {
		inFlight += f.RX.Peak(name)
	}
	n := f.Ledger.Duplicates()
	if n > inFlight {
		t.Errorf("%d deliveries were repeated; %d were in flight at most", n, inFlight)
	}
	t.Logf("%d deliveries were repeated, of at most %d in flight", n, inFlight)
	f.Ledger.Check()
	f.Relays[leaves].Start()
	f.AwaitEven()
}

// TestFleetOrders gives every order to a relay that does not serve the target.
func TestFleetOrders(t *testing.T) {
	t.Parallel()
	f := readyFleet(t, 2, "a", "b")
	f.Ledger.AllowGaps()
	f.StartAll()
	owner := f.OwnerOf("a")
	serves, asked := f.Relays[owner], f.Relays[1-owner]

	asked.Verb("pause", "a")
	if s := serves.Target("a").Status; s != "Paused" {
		t.Errorf("after pause the target is %s", s)
	}
	f.Ledger.AllowForeign()
	f.Relay.Post(Post{ID: "purged", Body: []byte(`{"eventType":"message","purged":true}`)})
	ids := f.SendIDs("held", 4)
	Until(t, Patience, "both to count what is held", func() bool {
		return serves.Target("a").Pending == 5 && asked.Target("a").Pending == 5 &&
			asked.Target("a").Status == "Paused"
	})
	if n := f.RX.Count("a"); n > 0 {
		t.Errorf("%d requests at a paused target", n)
	}
	out := asked.CLI("purge", "--target", "a", "--where", "purged=true", "--yes")
	if out.Code != 0 || serves.Target("a").Pending != 4 {
		t.Errorf("purge: %+v; %d are pending", out, serves.Target("a").Pending)
	}
	f.RX.Always("a", Code(500))
	asked.Verb("resume", "a")
	f.RX.Await("a", 4)
	Until(t, Patience, "the failures to be settled", func() bool {
		return len(asked.Deliveries("a", "pending")) == 4 && asked.Target("a").LastError != nil
	})
	f.RX.Always("a", OK())
	asked.tells(0, []string{"a: 4 tried, 4 acknowledged; Enabled"}, "retry", "a")
	Until(t, Patience, "both to tell who did what", func() bool {
		here, there := asked.Actions("--target", "a"), serves.Actions("--target", "a")
		return len(here) >= 4 && fmt.Sprint(here) == fmt.Sprint(there) && here[0].Verb == "retry" &&
			here[0].Count == 4 && strings.HasPrefix(here[0].Result, "4 tried, 4 acknowledged")
	})
	Until(t, Patience, "the retry", func() bool { return serves.Target("a").Delivered == 4 })
	before := f.RX.CountID("a", ids[1])
	out = asked.CLI("replay", "--target", "a", "--id", ids[1], "--state", "delivered")
	if out.Code != 0 {
		t.Errorf("replay: %+v", out)
	}
	Until(t, Patience, "the replay", func() bool { return f.RX.CountID("a", ids[1]) == before+1 })
	all := f.RX.Count("a")
	out = asked.CLI("replay", "--target", "a", "--where", "n=1", "--state", "delivered", "--yes")
	if out.Code != 0 || !strings.Contains(out.Stdout, " 1 delivered delivery") {
		t.Errorf("replay by what is in it: %+v", out)
	}
	Until(t, Patience, "the replay", func() bool { return f.RX.CountID("a", ids[1]) == before+2 })
	if n := f.RX.Count("a"); n != all+1 {
		t.Errorf("%d were replayed, want 1", n-all)
	}
	asked.Verb("enable", "a")
	for _, r := range f.Relays {
		code, body := r.Admin("POST", "/v1/targets/nobody/pause")
		if code != 404 || !strings.Contains(string(body), "not_found") {
			t.Errorf("an order to no target: %d %s", code, body)
		}
	}
}

// TestFleetIDs sends the same ids to both relays at once: one of two is the duplicate, and another
// payload is refused by either.
func TestFleetIDs(t *testing.T) {
	t.Parallel()
	f := readyFleet(t, 2, "a")
	f.StartAll()
	for n := range 50 {
		p := Post{ID: fmt.Sprint("id-", n), Body: fmt.Appendf(nil, `{"eventType":"message","n":%d}`, n)}
		answers := make([]Answer, 2)
		var both sync.WaitGroup
		for i := range answers {
			both.Go(func() { answers[i] = f.PostTo(i, p) })
		}
		both.Wait()
		fresh := 0
		for _, a := range answers {
			if a.Err != nil || a.Status != 200 {
				t.Fatalf("%d %v %s", a.Status, a.Err, a.Body)
			}
			if !a.Duplicate {
				fresh++
			}
		}
		if fresh != 1 {
			t.Errorf("id %d is new %d times", n, fresh)
		}
		p.Body = []byte(`{"eventType":"message","other":true}`)
		if a := f.Relays[n%2].Post(p); a.Status != 409 {
			t.Errorf("another payload: %d %s", a.Status, a.Body)
		}
	}
	f.Ledger.AwaitDelivered()
}

// TestFleetDefect lets a target fail for good while the relays that serve it die in turn: attempts
// and failed jobs are counted exactly, one mail goes out, and a dead target sees 145 requests.
func TestFleetDefect(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := readyFleet(t, 2, "good")
	box := NewMailbox(t)
	box.Configure(f.Config)
	f.Config.Set("retry.interval", "50ms")
	f.Config.Target("dead", f.RX.URL("dead"), "timeout", "60s")
	held := make(map[int]chan struct{})
	for _, attempt := range []int{20, 50, 90} {
		held[attempt] = make(chan struct{})
	}
	f.RX.On("dead", func(req *Request) Reply {
		if gate := held[req.Attempt]; gate != nil {
			return Held(gate, Code(500))
		}
		return Code(500)
	})
	f.StartAll()
	id := f.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	// By its number: after a repeat there are more requests than attempts.
	seen := func(attempt int) (times int) {
		for _, n := range f.RX.Attempts("dead", id) {
			if n == attempt {
				times++
			}
		}
		return times
	}
	for _, attempt := range []int{20, 50, 90} {
		Until(t, 2*Patience, fmt.Sprint("attempt ", attempt), func() bool { return seen(attempt) > 0 })
		owner := f.OwnerOf("dead")
		f.Relays[owner].Kill() // the attempt was made and is not settled: it is made again
		close(held[attempt])
		f.Ledger.relay = f.Relays[1-owner]
		Until(t, 2*Patience, "the attempt to be made again", func() bool { return seen(attempt) > 1 })
		f.Relays[owner].Start()
		f.AwaitEven()
	}
	Until(t, 4*Patience, "the delivery to be exhausted", func() bool {
		return f.Relays[0].Target("dead").Exhausted == 1
	})
	numbers := map[int]int{}
	for _, n := range f.RX.Attempts("dead", id) {
		numbers[n]++
	}
	if len(numbers) != 145 {
		t.Errorf("%d attempts; want 145", len(numbers))
	}
	// A target that changes hands may see again what was in flight, here one attempt. On a busy machine
	// a relay may be taken for dead that is only late.
	repeated, takenOver := 0, 0
	for _, times := range numbers {
		repeated += times - 1
	}
	for _, r := range f.Relays {
		takenOver += r.LogCount("served by this relay from now on", "dead")
	}
	if repeated < len(held) || repeated > takenOver {
		t.Errorf("%d attempts were repeated; want the %d at which a relay was killed, and no more than "+
			"the target was taken over, %d times", repeated, len(held), takenOver)
	}
	box.Await(1)
	for _, r := range f.Relays {
		if target := r.Target("dead"); target.FailedJobs != 144 || target.Status != "Defective" {
			t.Errorf("%d failed jobs, %s", target.FailedJobs, target.Status)
		}
	}
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestFleetFrozen lets the relay that serves a target stand still until another has taken it over.
// When it goes on, it settles nothing any more, and gets its share back.
func TestFleetFrozen(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	rng := Seed(t)
	f := readyFleet(t, 2, "a", "b")
	f.StartAll()
	load := f.StartFleetLoad(rng, 4, "load")
	Until(t, Patience, "events", func() bool { return f.Ledger.Accepted() > 100 })
	frozen := f.OwnerOf("a")
	other := f.Relays[1-frozen]
	f.Relays[frozen].Signal(syscall.SIGSTOP)
	Until(t, 2*Patience, "the other relay to serve the target", func() bool {
		return other.Target("a").Relay == fmt.Sprint("r", 1-frozen)
	})
	f.Relays[frozen].Signal(syscall.SIGCONT)
	f.AwaitEven()
	load.Stop()
	f.Ledger.AwaitDelivered()
	t.Logf("%d accepted, %d deliveries repeated", f.Ledger.Accepted(), f.Ledger.Duplicates())
	f.Ledger.Check()
}

// TestFleetNoQuorum takes a majority of the nodes away: callers hear 503 and when to come again,
// nothing stops, and all of it goes on by itself.
func TestFleetNoQuorum(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := readyFleet(t, 2, "a", "b")
	f.StartAll()
	f.SendIDs("before", 20)
	f.Cluster.Node(1).Stop()
	f.Cluster.Node(2).Stop()
	Until(t, 2*Patience, "503", func() bool {
		a := f.PostTo(0, Post{ID: "in-between", Body: []byte(`{"eventType":"message"}`)})
		return a.Err == nil && a.Status == 503 && a.Header.Get("Retry-After") != ""
	})
	for _, r := range f.Relays {
		Until(t, Patience, "/readyz to say why", func() bool {
			code, _ := r.Admin("GET", "/readyz")
			return code == 503
		})
	}
	f.Cluster.Node(1).Start()
	f.Cluster.Node(2).Start()
	f.Cluster.WaitReady()
	began := time.Now()
	Until(t, 2*Patience, "events to be accepted again", func() bool {
		a := f.PostTo(1, Post{ID: "again", Body: []byte(`{"eventType":"message"}`)})
		return a.Err == nil && a.Status == 200
	})
	t.Logf("accepted %v after the cluster was ready", time.Since(began).Round(time.Millisecond))
	for _, r := range f.Relays {
		Until(t, Patience, "/readyz", func() bool {
			code, _ := r.Admin("GET", "/readyz")
			return code == 200
		})
	}
	f.AwaitEven()
	f.Ledger.AwaitDelivered()

	f.Cluster.Node(1).Stop()
	f.Cluster.Node(2).Stop()
	began = time.Now()
	f.Relays[1].Signal(syscall.SIGTERM)
	f.Relays[1].WaitExit()
	t.Logf("a relay leaves %v after SIGTERM without a majority",
		time.Since(began).Round(time.Millisecond))
	f.Cluster.Node(1).Start()
	f.Cluster.Node(2).Start()
	f.Cluster.WaitReady()
	f.Relays[1].Start()
	f.AwaitEven()
}

// TestFleetCut cuts off the node that one of the relays is connected to. It runs and has its clients;
// the relay asks another one, accepts, and serves targets again while it is still cut off.
func TestFleetCut(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := NewFleet(t, 2, nats.Start(t, nats.Options{Wall: true}))
	f.Aim("a", "b")
	// It asks the first one first.
	f.Relays[0].Config.Set("spool.jetstream.urls", []string{f.Cluster.Node(0).URL()})
	f.StartAll()
	f.SendIDs("before", 20)
	f.Cluster.Cut(0)
	accept := func(id string) bool {
		a := f.PostTo(0, Post{ID: id, Body: []byte(`{"eventType":"message"}`)})
		return a.Err == nil && a.Status == 200
	}
	Until(t, 2*Patience, "the relay to accept with its node cut off", func() bool {
		return accept("cut-off") && f.PostTo(1, Post{ID: "other",
			Body: []byte(`{"eventType":"message"}`)}).Status == 200
	})
	f.AwaitEven()
	f.Ledger.AwaitDelivered()
	log := f.Relays[0].Log()
	if !strings.Contains(log, "another one is asked") {
		t.Errorf("it does not say that it left its server:\n%s", log)
	}
	f.Cluster.Cut(-1)
	f.Cluster.WaitReady()
	// The node that comes back may have the others elect once more.
	Until(t, 2*Patience, "the relay to accept with all nodes together", func() bool {
		return accept("joined")
	})
}

// TestFleetDiffers gives the relays different targets: each says so, by name.
func TestFleetDiffers(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := readyFleet(t, 2, "a")
	f.StartAll()
	status := func(r *Relay) (differ []string) {
		_, body := r.Admin("GET", "/v1/status")
		var s struct {
			Relays []struct {
				Name          string `json:"name"`
				ConfigDiffers bool   `json:"config_differs"`
			} `json:"relays"`
		}
		if err := json.Unmarshal(body, &s); err != nil || len(s.Relays) != 2 {
			t.Fatalf("%v in %s", err, body)
		}
		for _, r := range s.Relays {
			if r.ConfigDiffers {
				differ = append(differ, r.Name)
			}
		}
		return differ
	}
	if d := status(f.Relays[0]); len(d) > 0 {
		t.Errorf("%v differ", d)
	}
	f.Relays[1].Config.Target("b", f.RX.URL("b"))
	f.Relays[1].Reload()
	Until(t, Patience, "the difference to be told", func() bool {
		return len(status(f.Relays[0])) == 1 && f.Relays[0].Metrics().Get("config_differs") == 1 &&
			strings.Contains(f.Relays[0].Log(), "r1")
	})
	f.Relays[0].Config.Target("b", f.RX.URL("b"))
	f.Relays[0].Reload()
	Until(t, Patience, "the difference to be over", func() bool {
		return len(status(f.Relays[0])) == 0 && f.Relays[0].Metrics().Get("config_differs") == 0
	})
	f.AwaitEven()
}
