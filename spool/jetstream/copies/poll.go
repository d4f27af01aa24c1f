package copies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// triesANode is how many consumers are made for each node until it counts as out of reach: with
	// three nodes one is never chosen in a millionth of all polls.
	triesANode = 12
	// failuresMax ends the polls of a round in which nodes do not answer; each of them takes long.
	failuresMax = 3
	// consumerLife ends a consumer that could not be removed.
	consumerLife = 5 * time.Second
)

// poll asks nodes one thing after the other. Those that leave one unanswered are asked no more.
type poll struct {
	stream   jetstream.Stream
	wanted   map[string]bool
	failures int
	err      error // that ended it
}

// least and most join what a node has said several times.
func least(a, b uint64) uint64 { return min(a, b) }
func most(a, b uint64) uint64  { return max(a, b) }

// pending lets each node say how many messages there are for a consumer.
func (p *poll) pending(ctx context.Context, k jetstream.ConsumerConfig,
	join func(a, b uint64) uint64) map[string]uint64 {
	return p.each(ctx, k, join, func(info *jetstream.ConsumerInfo) uint64 { return info.NumPending })
}

// last lets each node say which message is its newest: a consumer for new ones comes after it.
func (p *poll) last(ctx context.Context) map[string]uint64 {
	return p.each(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}, most,
		func(info *jetstream.ConsumerInfo) uint64 { return info.Delivered.Stream })
}

// any is how many messages one of the nodes has for a consumer.
func (p *poll) any(ctx context.Context, k jetstream.ConsumerConfig) (n uint64, err error) {
	var info *jetstream.ConsumerInfo
	for range failuresMax {
		if info, err = p.make(ctx, k); err == nil {
			p.remove(ctx, info.Name)
			return info.NumPending, nil
		}
	}
	return 0, err
}

// each lets each node say a number, when a consumer is put on it.
func (p *poll) each(ctx context.Context, k jetstream.ConsumerConfig,
	join func(a, b uint64) uint64, number func(*jetstream.ConsumerInfo) uint64) map[string]uint64 {
	n, spent := make(map[string]uint64), []string(nil)
	if p.err != nil || len(p.wanted) < 2 {
		return n
	}
	for tries := len(p.wanted) * triesANode; tries > 0 && len(n) < len(p.wanted); tries-- {
		info, err := p.make(ctx, k)
		if err != nil {
			if p.failures++; p.failures >= failuresMax || ctx.Err() != nil {
				p.err = err
				break
			}
			continue
		}
		spent = append(spent, info.Name)
		node := info.Cluster.Leader
		if was, again := n[node]; again {
			n[node] = join(was, number(info))
		} else if p.wanted[node] {
			n[node] = number(info)
		}
	}
	maps.DeleteFunc(p.wanted, func(node string, _ bool) bool {
		_, ok := n[node]
		return !ok
	})
	for _, name := range spent {
		p.remove(ctx, name)
	}
	return n
}

// make makes a consumer, on whichever node the servers choose.
func (p *poll) make(ctx context.Context, k jetstream.ConsumerConfig) (*jetstream.ConsumerInfo,
	error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	k.Description, k.AckPolicy, k.Replicas = "hookspool counts", jetstream.AckNonePolicy, 1
	k.MemoryStorage, k.InactiveThreshold = true, consumerLife
	made, err := p.stream.CreateConsumer(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("cannot let a server count: %w", err)
	}
	info := made.CachedInfo()
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return nil, errors.New("cannot let a server count: nobody says which one it was")
	}
	return info, nil
}

// remove removes a consumer, which would end by itself.
func (p *poll) remove(ctx context.Context, name string) {
	if ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, answerMax)
		defer cancel()
		_ = p.stream.DeleteConsumer(ctx, name)
	}
}
