package copies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// fakeNode is a node of a stream as clients see it.
type fakeNode struct {
	name            string
	steady, all     uint64 // messages
	lately, last    uint64 // of all those that were stored lately; the newest
	offline, silent bool
}

// fakeStream is a stream of which a test says what each node tells, a round after the other.
type fakeStream struct {
	jetstream.Stream
	nodes   func(round int) []fakeNode
	tip     uint64
	round   int // from 0, once it has begun
	made    int
	removed map[string]bool
}

var errSilent = errors.New("a server does not answer")

func (f *fakeStream) Info(context.Context, ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo,
	error) {
	f.round++
	nodes := f.nodes(f.round)
	info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: len(nodes)},
		State:   jetstream.StreamState{LastSeq: f.tip, LastTime: time.Now()},
		Cluster: &jetstream.ClusterInfo{Leader: nodes[0].name}}
	for _, n := range nodes[1:] {
		info.Cluster.Replicas = append(info.Cluster.Replicas, &jetstream.PeerInfo{Name: n.name,
			Current: true, Offline: n.offline})
	}
	return info, nil
}

type fakeConsumer struct {
	jetstream.Consumer
	info jetstream.ConsumerInfo
}

func (f *fakeConsumer) CachedInfo() *jetstream.ConsumerInfo { return &f.info }

// CreateConsumer puts it on the nodes that are there in turn.
func (f *fakeStream) CreateConsumer(_ context.Context,
	k jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	nodes := slices.DeleteFunc(f.nodes(f.round), func(n fakeNode) bool { return n.offline })
	n := nodes[f.made%len(nodes)]
	f.made++
	if n.silent {
		return nil, errSilent
	}
	info := jetstream.ConsumerInfo{Name: fmt.Sprint(f.made), Cluster: &jetstream.ClusterInfo{
		Leader: n.name}}
	switch {
	case k.DeliverPolicy == jetstream.DeliverNewPolicy:
		info.Delivered.Stream = n.last
	case k.DeliverPolicy == jetstream.DeliverByStartTimePolicy:
		info.NumPending = n.lately
	case len(k.FilterSubjects) > 0:
		info.NumPending = n.steady + n.lately
	default:
		info.NumPending = n.all
	}
	return &fakeConsumer{info: info}, nil
}

func (f *fakeStream) DeleteConsumer(_ context.Context, name string) error {
	if f.removed == nil {
		f.removed = make(map[string]bool)
	}
	f.removed[name] = true
	return nil
}

// TestCompareNodes asserts who is compared and what is said, of nodes that tell the same in each
// round and of one that catches up; and that no consumer is left.
func TestCompareNodes(t *testing.T) {
	f := func(what string, expiring int64, nodes func(round int) []fakeNode, want string) {
		t.Helper()
		s := &fakeStream{nodes: nodes, tip: 1000}
		c, err := Compare(t.Context(), Options{Stream: s, Steady: []string{"s"}, Expiring: expiring,
			Gap: time.Millisecond})
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(c.Nodes, " ", c.Short, " ", c.Complete())
		}
		if got != want {
			t.Errorf("%s:\n%s; want\n%s", what, got, want)
		}
		if err == nil && len(s.removed) != s.made {
			t.Errorf("%s: of %d consumers %d were removed", what, s.made, len(s.removed))
		}
	}
	const whole = "[{a 0 false} {b 0 false} {c 0 false}] [] true"
	of := func(change func(b *fakeNode, round int)) func(int) []fakeNode {
		return func(round int) []fakeNode {
			nodes := []fakeNode{{name: "a", steady: 500, all: 900, last: 1000},
				{name: "b", steady: 500, all: 900, last: 1000}, {name: "c", steady: 500, all: 900, last: 1001}}
			change(&nodes[1], round)
			return nodes
		}
	}
	f("whole", 0, of(func(*fakeNode, int) {}), whole)
	f("a hole", 0, of(func(b *fakeNode, _ int) { b.steady -= 9 }),
		"[{a 0 false} {b 9 true} {c 0 false}] [{b 9 true}] true")
	f("a hole in what expires", 0, of(func(b *fakeNode, _ int) { b.all -= 9 }),
		"[{a 0 false} {b 0 true} {c 0 false}] [{b 9 false}] true")
	f("which is less than may expire", 9, of(func(b *fakeNode, _ int) { b.all -= 9 }), whole)
	f("or is not known", -1, of(func(b *fakeNode, _ int) { b.all -= 9 }), whole)
	f("or than was stored lately", 0, func(int) (nodes []fakeNode) {
		for i, name := range []string{"a", "b", "c"} {
			nodes = append(nodes, fakeNode{name: name, steady: 500, all: 900 + 9*uint64(i), lately: 20,
				last: 1000})
		}
		return nodes
	}, whole)
	f("it catches up", 0, of(func(b *fakeNode, round int) {
		b.steady, b.all, b.last = 300+uint64(round), 500, 700
	}), "[{a 0 false} {c 0 false}] [] false")
	f("it stands and has not the newest", 0, of(func(b *fakeNode, _ int) {
		b.steady, b.last = 300, 999
	}), "[{a 0 false} {c 0 false}] [] false")
	f("offline", 0, of(func(b *fakeNode, _ int) { b.offline = true }),
		"[{a 0 false} {c 0 false}] [] false")
	f("silent", 0, of(func(b *fakeNode, _ int) { b.silent = true }),
		"cannot let a server count: "+errSilent.Error())
	f("a hole for some rounds", 0, of(func(b *fakeNode, round int) {
		if round < rounds {
			b.steady--
		}
	}), "[{a 0 false} {b 0 true} {c 0 false}] [] true")
}
