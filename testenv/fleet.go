package testenv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookspool/hookspool/testenv/nats"
)

// Fleet is several relays of one spool, on a cluster of three nodes. The first is the journey's
// own; all have its targets, and the ledger is over all of them.
type Fleet struct {
	*Journey
	Cluster *nats.Cluster
	Relays  []*Relay
	next    atomic.Uint64
	ways    map[int]string
}

// NewFleet starts a cluster and readies so many relays; add targets to Config and call StartAll.
func NewFleet(t testing.TB, n int, cluster *nats.Cluster) *Fleet {
	t.Helper()
	j := NewJourney(t)
	f := &Fleet{Journey: j, Cluster: cluster, Relays: []*Relay{j.Relay}, ways: map[int]string{}}
	j.Config.Set("spool.engine", "jetstream").
		Set("spool.jetstream.urls", strings.Split(cluster.URL(), ",")).
		Set("spool.max_size", "512MiB").
		Set("spool.jetstream.name", fmt.Sprintf("fleet%d", rand.Uint32()))
	for i := 1; i < n; i++ {
		f.Relays = append(f.Relays, NewRelay(t, j.Config))
	}
	t.Cleanup(func() { f.Ledger.relay = f.Relays[0] }) // before the ledger is checked at the end
	return f
}

// Through lets one of the relays connect to that URL only.
func (f *Fleet) Through(i int, url string) { f.ways[i] = url }

// StartAll gives every relay the config of the first, with a name of its own, and starts it.
func (f *Fleet) StartAll() {
	f.t.Helper()
	for _, r := range f.Relays[1:] {
		r.Config = f.Relays[0].Config.Clone().Remove("server.admin_listen").Remove("spool.dir")
	}
	for i, r := range f.Relays {
		if way, is := f.ways[i]; is {
			r.Config.Set("spool.jetstream.urls", []string{way})
		}
		r.Config.Set("spool.jetstream.relay", fmt.Sprint("r", i))
		r.Start()
	}
	f.AwaitEven()
}

// PostTo posts to one of the relays, and enters it in the ledger.
func (f *Fleet) PostTo(i int, p Post) Answer {
	a := f.Relays[i].Post(p)
	f.Ledger.Note(p, a)
	return a
}

// StartFleetLoad posts events to all relays in turn from some clients at once, each with an id,
// until Stop.
func (f *Fleet) StartFleetLoad(rng *rand.Rand, clients int, prefix string) *Load {
	return startLoad(rng, clients, func(rng *rand.Rand, client, i int) Answer {
		return f.PostTo(int(f.next.Add(1))%len(f.Relays), Post{
			ID:   fmt.Sprintf("%s-%d-%d", prefix, client, i),
			Body: Payload(rng, "message", 50+rng.IntN(1500))})
	})
}

// Owners are the relays that serve the targets, as one of them says.
func (f *Fleet) Owners(asked *Relay) map[string]string {
	f.t.Helper()
	owners := map[string]string{}
	for name, t := range asked.Targets() {
		owners[name] = t.Relay
	}
	return owners
}

// OwnerOf is the relay that serves a target.
func (f *Fleet) OwnerOf(target string) (owner int) {
	f.t.Helper()
	Until(f.t, Patience, target+" to be served", func() bool {
		for i, r := range f.Relays {
			if r.Running() && r.Target(target).Relay == fmt.Sprint("r", i) {
				owner = i
				return true
			}
		}
		return false
	})
	return owner
}

// AwaitEven waits until the targets are shared out evenly among the relays that run, as each of
// them says.
func (f *Fleet) AwaitEven() {
	f.t.Helper()
	Until(f.t, 2*Patience, "the targets to be shared out", func() bool {
		running := 0
		for _, r := range f.Relays {
			if r.Running() {
				running++
			}
		}
		for _, r := range f.Relays {
			if r.Running() && !even(f.Owners(r), running) {
				return false
			}
		}
		return true
	})
}

func even(owners map[string]string, relays int) bool {
	n := map[string]int{}
	for _, owner := range owners {
		if owner == "" {
			return false
		}
		n[owner]++
	}
	least, most := len(owners)/relays, (len(owners)+relays-1)/relays
	for _, lanes := range n {
		if lanes < least || lanes > most {
			return false
		}
	}
	return len(n) == min(relays, len(owners))
}
