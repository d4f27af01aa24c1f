// Package copies compares what the nodes of a stream keep of it.
//
// A node may say that it is current while its copy lacks messages (see package jetstream). No
// client is told what a node has, but whoever makes a consumer is told how many messages there are
// for it, by the node that the consumer is put on: one of those that keep the stream, by chance, if
// it is to have no replicas. So consumers are made, and removed again, until each node has counted.
// That needs no right that a relay does not have, and no port of the servers' but that of clients.
//
// Nodes never count at the same moment, one applies what is stored later than another, and messages
// come and go. So what is compared is how many there are that were stored before an instant a while
// ago: all, less those since then, which are counted before and after, as more may come meanwhile.
// Of messages that never expire that number is the same at all nodes, but for a moment when some
// are removed. Those that expire each node removes by its own clock, so that of all messages some
// may be missing, and what only that number says is never clear.
//
// A node that catches up says all the while that it is current. It is not compared before it has
// the newest message. What round after round says is a verdict (judge.go).
package copies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// answerMax is how long the servers may take for one answer. To make a consumer they agree on it,
	// which each of them syncs to disk.
	answerMax = 5 * time.Second
	// age is how old the instant is: longer than a node is late that has the newest message.
	age = 3 * time.Second
)

// Options say what is compared.
type Options struct {
	// Stream is the stream; Steady are the subjects of its messages that never expire.
	Stream jetstream.Stream
	Steady []string
	// Expiring is how many messages at most one node may have removed, by its clock, that another one
	// has still; below 0: it is not known, and only what never expires is compared.
	Expiring int64
	// Gap is how long two rounds lie apart, on average.
	Gap time.Duration
}

// Comparison is what was found.
type Comparison struct {
	// Leader is the node that leads the stream, Members are all that keep it, of Replicas that there
	// are to be.
	Leader   string
	Members  []string
	Replicas int
	// Nodes are those that have the newest message and have counted in the last round, by name.
	Nodes []Node
	// Short are the copies that lack messages, by node.
	Short []Short
}

// Node is one that was compared.
type Node struct {
	Name string
	// AtMost is how many messages that never expire it lacks at most.
	AtMost uint64
	// Suspect: the first round has said that it has fewer messages than another one.
	Suspect bool
}

// Short is a copy that lacks messages.
type Short struct {
	Node string
	// Missing is how many another one has, at least.
	Missing uint64
	// Clear: it alone lacks messages, which never expire and all others have, which are as many as
	// there are to be. Otherwise it may be that others keep what was deleted, or that clocks differ.
	Clear bool
}

// node is what was found of one, if it was compared.
func (c *Comparison) node(name string) (n Node, ok bool) {
	i := slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return n, false
	}
	return c.Nodes[i], true
}

// Complete reports whether all copies were compared that there are to be.
func (c *Comparison) Complete() bool { return c.Replicas < 2 || len(c.Nodes) >= c.Replicas }

// Compare compares the copies. If none has fewer messages than another one, which is seen at once,
// it is done; otherwise it takes up to as many gaps as a verdict takes rounds.
func Compare(ctx context.Context, o Options) (c Comparison, err error) {
	steady := judge{of: func(n counted) span { return n.steady }}
	all := judge{of: func(n counted) span { return n.all }}
	var r round
	for n := 0; n == 0 || steady.goesOn() || all.goesOn(); n++ {
		if n > 0 {
			if err := pause(ctx, o.Gap); err != nil {
				return c, err
			}
		}
		if r, err = o.round(ctx, &c); err != nil {
			return c, err
		}
		steady.add(r)
		if o.Expiring >= 0 {
			all.add(r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		c.Nodes = append(c.Nodes, Node{name, r.missing(name), steady.suspect[name] || all.suspect[name]})
	}
	c.add(steady.verdict(), true)
	c.add(all.verdict(), false)
	slices.SortFunc(c.Short, func(a, b Short) int { return cmp.Compare(a.Node, b.Node) })
	return c, nil
}

// add adds a verdict. One that may be clear is added first.
func (c *Comparison) add(verdict map[pair]uint64, mayBeClear bool) {
	clear := mayBeClear && c.Replicas > 2 && c.Complete() && len(verdict) == len(c.Nodes)-1
	missing := make(map[string]uint64)
	for p, n := range verdict {
		missing[p.fewer] = max(missing[p.fewer], n)
	}
	for node, n := range missing {
		i := slices.IndexFunc(c.Short, func(s Short) bool { return s.Node == node })
		if i >= 0 {
			c.Short[i].Missing = max(c.Short[i].Missing, n)
			continue
		}
		c.Short = append(c.Short, Short{node, n, clear && len(missing) == 1})
	}
}

// round lets each node count once.
func (o *Options) round(ctx context.Context, c *Comparison) (round, error) {
	once, cancel := context.WithTimeout(ctx, answerMax)
	info, err := o.Stream.Info(once)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("cannot ask who keeps the stream: %w", err)
	}
	c.Replicas = info.Config.Replicas
	if info.Cluster == nil || c.Replicas < 2 {
		return nil, nil
	}
	p := &poll{stream: o.Stream, wanted: make(map[string]bool)}
	p.wanted[info.Cluster.Leader] = true
	c.Leader, c.Members = info.Cluster.Leader, []string{info.Cluster.Leader}
	for _, node := range info.Cluster.Replicas {
		c.Members = append(c.Members, node.Name)
		if !node.Offline {
			p.wanted[node.Name] = true
		}
	}
	at := info.State.LastTime.Add(-age) // by the clock that the messages have their time of
	if time.Since(info.State.LastTime) > age {
		at = info.State.LastTime.Add(1) // nothing was stored for a while
	}
	since := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy,
		OptStartTime: &at}
	lately, err := p.any(ctx, since)
	if err != nil {
		return nil, err
	}
	since.FilterSubjects = o.Steady
	before := p.pending(ctx, since, most)
	steady := p.pending(ctx, jetstream.ConsumerConfig{FilterSubjects: o.Steady}, least)
	after := p.pending(ctx, since, least)
	all := p.pending(ctx, jetstream.ConsumerConfig{}, least)
	last := p.last(ctx)
	if p.err != nil {
		return nil, p.err
	}
	spare := uint64(max(0, o.Expiring)) + lately
	r := make(round)
	for node := range p.wanted {
		if last[node] < info.State.LastSeq {
			continue // it catches up
		}
		if before[node] > after[node] || before[node] > steady[node] {
			continue // some were removed meanwhile
		}
		n := counted{all: span{all[node], all[node] + spare}}
		n.steady = span{steady[node] - min(steady[node], after[node]), steady[node] - before[node]}
		r[node] = n
	}
	return r, nil
}

// pause waits for half a gap to one and a half: what comes and goes in step with the rounds would
// look the same in each.
func pause(ctx context.Context, gap time.Duration) error {
	timer := time.NewTimer(gap/2 + rand.N(gap))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
