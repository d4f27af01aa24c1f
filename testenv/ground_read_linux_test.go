package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// groundLag is how long a node may take to have what the leader has, once it says that it does.
const groundLag = 10 * time.Second

// groundAlive is how often a node says to a reader that it has nothing more. Who asked in vain hears
// nothing, and must not take it for a copy that ends.
const groundAlive = 2 * time.Second

// readCopy reads one node's copy: a consumer of one copy reads what its node has. The cluster
// places it on any node, so it may be one that was read already.
func readCopy(js jetstream.JetStream, copies map[string][]groundMsg) error {
	ctx, cancel := context.WithTimeout(context.Background(), groundPatience)
	defer cancel()
	stream, err := askGround(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return js.Stream(ctx, groundStream)
	})
	if err != nil {
		return err
	}
	consumer, err := askGround(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return stream.CreateConsumer(ctx, groundReader())
	})
	if err != nil {
		return fmt.Errorf("cannot make a consumer: %w", err)
	}
	info := consumer.CachedInfo()
	if node := info.Cluster.Leader; node != "" && copies[node] == nil {
		var msgs []groundMsg
		if msgs, err = readGround(ctx, consumer, stream.CachedInfo().State.LastSeq); err != nil {
			err = fmt.Errorf("cannot read the copy of %s: %w", node, err)
		} else {
			copies[node] = msgs
		}
	}
	return cmp.Or(err, stream.DeleteConsumer(ctx, info.Name))
}

// groundReader is a consumer that reads a copy once, from its beginning.
func groundReader() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Replicas: 1, MemoryStorage: true,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute}
}

// askGround bounds one request.
func askGround[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, groundWait)
	defer cancel()
	return f(ctx)
}

// errReadLoss: what the reader was sent did not all come. The server does not send it again, so
// that it would look like a hole in the copy.
var errReadLoss = errors.New("messages were lost on the way to the reader")

// readGround reads what a consumer has up to a sequence. A node that lags gets some time. What
// comes of it is the node's copy as it is: the consumer counts what it sends, and a count that does
// not go up by one says that the way lost something, not the node.
func readGround(ctx context.Context, c jetstream.Consumer, last uint64) (msgs []groundMsg,
	err error) {
	const atOnce = 1000
	if last == 0 {
		return nil, nil
	}
	all, err := c.Messages(jetstream.PullMaxMessages(atOnce), jetstream.PullExpiry(2*groundAlive),
		jetstream.PullHeartbeat(groundAlive))
	if err != nil {
		return nil, err
	}
	defer all.Stop()
	for ctx.Err() == nil {
		m, err := all.Next(jetstream.NextMaxWait(groundLag))
		if errors.Is(err, nats.ErrTimeout) {
			return msgs, askReadLoss(ctx, c, len(msgs))
		}
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		if meta.Sequence.Consumer != uint64(len(msgs)+1) {
			return nil, errReadLoss
		}
		g := groundMsg{seq: meta.Sequence.Stream, subject: m.Subject()}
		g.head, g.err = readHead(m.Data())
		if msgs = append(msgs, g); g.seq >= last {
			return msgs, nil
		}
	}
	return nil, ctx.Err()
}

// askReadLoss looks whether a reader to whom nothing comes any more was sent more than came.
func askReadLoss(ctx context.Context, c jetstream.Consumer, came int) error {
	info, err := askGround(ctx, c.Info)
	if err == nil && info.Delivered.Consumer != uint64(came) {
		err = errReadLoss
	}
	return err
}
