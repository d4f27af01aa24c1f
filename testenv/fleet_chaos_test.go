package testenv

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

var chaosRounds = flag.Int("chaos", 2, "faults of TestFleetChaos")

// TestFleetChaos lets nodes and relays die, stand still, leave and be cut off under load, one after the other
// and two at once. What was accepted by any relay is delivered; no attempt number is left out; a
// target that is dead all the while is asked 145 times, and one mail goes out about it. The long
// run:
//
//	go test ./testenv -run TestFleetChaos -v -chaos 100 -timeout 2h
func TestFleetChaos(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	rng := Seed(t)
	f := NewFleet(t, 3, nats.Start(t, nats.Options{Wall: true}))
	f.Aim("a", "b", "c", "flaky")
	box := NewMailbox(t)
	box.Configure(f.Config)
	f.Config.Set("spool.jetstream.compare_every", "1s") // no copy lacks anything, whatever happens
	f.Config.Set("retry.interval", "300ms").Target("dead", f.RX.URL("dead"), "events",
		[]string{"doomed"})
	f.RX.Always("dead", Code(500))
	f.RX.On("flaky", func(req *Request) Reply {
		if len(req.Body)%3 > req.Attempt {
			return Code(503)
		}
		return OK()
	})
	f.StartAll()
	doomed := f.PostTo(0, Post{Type: "doomed", Body: []byte(`{"doomed":true}`)})
	if doomed.Status != 200 {
		t.Fatalf("%d %s", doomed.Status, doomed.Body)
	}
	all := f.faults()
	for n := range *chaosRounds {
		load := f.StartFleetLoad(rng, 4, fmt.Sprint("load-", n))
		f.moreAccepted(50)
		fault := all[n%len(all)]
		began := time.Now()
		fault.hits(rng)
		f.Cluster.WaitReady()
		f.AwaitEven()
		f.moreAccepted(50)
		load.Stop()
		f.Ledger.CheckArrivals()
		t.Logf("round %d, %s: whole again after %v; %d accepted, %d unknown, %d deliveries repeated", n,
			fault.name, time.Since(began).Round(time.Millisecond), f.Ledger.Accepted(),
			f.Ledger.Unknown(), f.Ledger.Duplicates())
		if t.Failed() {
			return
		}
	}
	f.Ledger.AwaitDeliveredBut("dead")
	Until(t, 10*time.Minute, "the dead target's delivery to be exhausted", func() bool {
		return f.Relays[0].Target("dead").Exhausted == 1
	})
	numbers := map[int]bool{}
	for _, n := range f.RX.Attempts("dead", doomed.ID) {
		numbers[n] = true
	}
	if len(numbers) != 145 || !numbers[144] {
		t.Errorf("a dead target saw %d different attempts; want 145", len(numbers))
	}
	mails := 0
	for _, mail := range box.Await(1) {
		if strings.Contains(mail.Subject, "dead") {
			mails++
		}
	}
	if mails != 1 {
		t.Errorf("%d mails about the dead target", mails)
	}
	compared := false
	for _, r := range f.Relays {
		if n := r.LogCount("a server's copy of the spool's stream lacks messages", ""); n > 0 {
			t.Errorf("of whole copies it is said %d times that one lacks messages", n)
		}
		compared = compared || r.Metrics().Get("spool_copies_compared_timestamp_seconds") > 0
	}
	if !compared {
		t.Error("the copies were never compared")
	}
	f.Ledger.Check()
}

func (f *Fleet) moreAccepted(n int) {
	f.t.Helper()
	want := f.Ledger.Accepted() + n
	Until(f.t, 4*Patience, "events to be accepted", func() bool { return f.Ledger.Accepted() >= want })
}

type fleetFault struct {
	name string
	hits func(rng *rand.Rand)
}

// faults are what happens, each with everything running at its end.
func (f *Fleet) faults() []fleetFault {
	const stream = "spool.jetstream.name"
	leader := func() int { return f.Cluster.Leader(f.Config.Text(stream)) }
	nodes := func(ids ...int) {
		for _, i := range ids {
			f.Cluster.Node(i).Kill()
		}
		for _, i := range ids {
			f.Cluster.Node(i).Start()
		}
	}
	kill := func(i int) {
		f.Relays[i].Kill()
		f.crashes++
		f.Relays[i].Start()
	}
	freeze := func(i int) {
		r := f.Relays[i]
		r.Signal(syscall.SIGSTOP)
		Until(f.t, 2*Patience, "another relay to serve everything", func() bool {
			for _, owner := range f.Owners(f.Relays[(i+1)%len(f.Relays)]) {
				if owner == "" || owner == fmt.Sprint("r", i) {
					return false
				}
			}
			return true
		})
		r.Signal(syscall.SIGCONT)
	}
	return []fleetFault{
		{"the relay that serves a is killed", func(*rand.Rand) { kill(f.OwnerOf("a")) }},
		{"the leader of the stream is killed", func(*rand.Rand) { nodes(leader()) }},
		{"a follower is killed", func(*rand.Rand) { nodes((leader() + 1) % 3) }},
		{"all nodes are killed", func(*rand.Rand) { nodes(0, 1, 2) }},
		{"a relay stands still", func(rng *rand.Rand) { freeze(rng.IntN(len(f.Relays))) }},
		{"the relay that serves the dead target is killed", func(*rand.Rand) {
			kill(f.OwnerOf("dead"))
		}},
		{"a relay leaves", func(rng *rand.Rand) {
			f.Relays[rng.IntN(len(f.Relays))].Restart()
		}},
		{"the leader stands still", func(*rand.Rand) {
			n := f.Cluster.Node(leader())
			n.Freeze()
			<-time.After(3 * time.Second)
			n.Thaw()
		}},
		{"the leader is cut off from the other nodes", func(*rand.Rand) {
			f.Cluster.Cut(leader())
			<-time.After(8 * time.Second)
			f.Cluster.Cut(-1)
		}},
		{"the leader and the relay that serves a are killed", func(*rand.Rand) {
			i := leader()
			f.Cluster.Node(i).Kill()
			kill(f.OwnerOf("a"))
			f.Cluster.Node(i).Start()
		}},
		{"two relays are killed", func(rng *rand.Rand) {
			i := rng.IntN(len(f.Relays))
			j := (i + 1) % len(f.Relays)
			f.Relays[i].Kill()
			f.Relays[j].Kill()
			f.Relays[i].Start()
			f.Relays[j].Start()
		}},
	}
}
