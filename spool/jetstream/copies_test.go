package jetstream_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// copyBed are two relays, of which the first leads and writes on.
type copyBed struct {
	*bed
	cluster      *nats.Cluster
	kept         js.Stream
	leads, other *jetstream.Engine
	stop         chan struct{}
	writing      sync.WaitGroup
}

func newCopyBed(t *testing.T, nodes int) *copyBed {
	t.Helper()
	c := &copyBed{cluster: nats.StartInProcess(t, nats.Options{Nodes: nodes}), stop: make(chan struct{})}
	c.bed = newBed(t, c.cluster.URL())
	c.compare = 200 * time.Millisecond
	c.leads, c.other = c.engine("a", nil), c.engine("b", nil)
	if _, err := c.leads.Own(record.SpoolItself); err != nil {
		t.Fatal(err)
	}
	c.kept, _ = c.stream()
	c.writing.Go(func() { // ends with stop
		id := []byte{record.PrefixID, 0}
		for seq := uint64(1); ; seq++ {
			txn := c.leads.Begin()
			id[1] = byte(seq)
			err := txn.Append(seq, eventOf(seq, 700), []record.LaneID{1})
			if err == nil {
				err = txn.Put(id, []byte("x"), time.Second) // it expires at each node for itself
			}
			if err == nil {
				err = txn.Commit()
			}
			txn.Discard()
			if err != nil {
				t.Errorf("event %d: %v", seq, err)
				return
			}
			select {
			case <-c.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		close(c.stop)
		c.writing.Wait()
		_ = c.other.Close()
		_ = c.leads.Close()
	})
	return c
}

// puncture takes messages out of the copy of a node that does not lead, while it is away.
func (c *copyBed) puncture() (victim int) {
	c.tb.Helper()
	victim = (c.cluster.Leader(c.name) + 1) % c.cluster.Nodes()
	for !slices.Contains(c.members(), c.cluster.Node(victim).Name()) ||
		victim == c.cluster.Leader(c.name) {
		victim = (victim + 1) % c.cluster.Nodes()
	}
	c.soon("messages", func() bool { return c.info().State.LastSeq > 500 })
	c.cluster.Node(victim).Stop()
	if gone := c.cluster.Node(victim).Puncture(c.name, 60, 200); len(gone) < 20 {
		c.tb.Fatalf("only %d messages are gone", len(gone))
	}
	c.cluster.Node(victim).Start()
	c.cluster.WaitReady()
	return victim
}

// info asks about the stream until somebody answers.
func (c *copyBed) info() (info *js.StreamInfo) {
	c.tb.Helper()
	c.soon("an answer about the stream", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		info, err = c.kept.Info(ctx)
		return err == nil
	})
	return info
}

// members are the nodes that keep the stream.
func (c *copyBed) members() []string {
	c.tb.Helper()
	info := c.info()
	names := []string{info.Cluster.Leader}
	for _, r := range info.Cluster.Replicas {
		names = append(names, r.Name)
	}
	return names
}

// soon waits for something that takes comparisons, or a copy of the stream.
func (c *copyBed) soon(what string, condition func() bool) {
	c.tb.Helper()
	const patience = 4 * time.Minute // with the race detector, on a busy machine
	for end := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.tb.Fatalf("not within %s: %s; the relay that leads tells %+v", patience, what,
				c.leads.Copies())
		}
	}
}

// told waits until both relays say that the copies of these nodes, and no others, lack messages.
func (c *copyBed) told(nodes ...string) {
	c.tb.Helper()
	for _, e := range []*jetstream.Engine{c.leads, c.other} {
		c.soon("the copies that lack messages are told of", func() bool {
			now := e.Copies()
			if now.Compared.IsZero() || len(now.Short) != len(nodes) {
				return false
			}
			for _, s := range now.Short {
				if !slices.Contains(nodes, s.Node) || s.Missing < 10 || s.Doubtful || s.Since.IsZero() {
					return false
				}
			}
			return true
		})
	}
}

// TestCopies asserts that a copy which lacks messages is found and told of by both relays, while
// they write; that its server does not lead; and that nothing is told of once it began with nothing.
func TestCopies(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	c := newCopyBed(t, 3)
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if now := c.leads.Copies(); len(now.Short) > 0 {
			t.Fatalf("of whole copies it is said: %+v", now)
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.told()
	victim := c.puncture()
	name := c.cluster.Node(victim).Name()
	c.told(name)
	for range 3 {
		c.cluster.StepDown(c.name, victim)
		c.soon("another one leads", func() bool { return c.cluster.Leader(c.name) != victim })
	}
	c.cluster.Node(victim).Stop()
	if err := os.RemoveAll(c.cluster.Node(victim).Store()); err != nil {
		t.Fatal(err)
	}
	c.told(name) // it is away, and not whole
	c.cluster.Node(victim).Start()
	c.cluster.WaitReady()
	c.told()
}

// TestCopyIsReplaced asserts that a server without the stream takes the place of one whose copy
// lacks messages.
func TestCopyIsReplaced(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	c := newCopyBed(t, 4)
	c.told()
	victim := c.puncture()
	name := c.cluster.Node(victim).Name()
	c.soon("another one has its place", func() bool {
		now := c.members()
		return len(now) == 3 && !slices.Contains(now, name)
	})
	c.told()
}

// TestCopyIsReplacedLater asserts that relays write on while the server that takes the place of one
// whose copy lacks messages is away, and that it has everything once it is back.
func TestCopyIsReplacedLater(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	c := newCopyBed(t, 4)
	spare := 0
	for slices.Contains(c.members(), c.cluster.Node(spare).Name()) {
		spare++
	}
	c.cluster.Node(spare).Stop()
	victim := c.puncture()
	name := c.cluster.Node(victim).Name()
	c.soon("its place to be given away", func() bool { return !slices.Contains(c.members(), name) })
	before := c.info().State.LastSeq
	c.soon("more to be stored", func() bool { return c.info().State.LastSeq > before+100 })
	c.cluster.Node(spare).Start()
	c.soon("another one to have its place", func() bool {
		now := c.members()
		return len(now) == 3 && !slices.Contains(now, name) &&
			slices.Contains(now, c.cluster.Node(spare).Name()) &&
			time.Since(c.leads.Copies().Compared) < time.Second
	})
	c.told()
}

// What a relay knows is gone when it leads no more, and the next one finds it anew.
func TestCopiesOfTheNextLeader(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	c := newCopyBed(t, 3)
	name := c.cluster.Node(c.puncture()).Name()
	c.told(name)
	if err := c.other.Take(record.SpoolItself); err != nil {
		t.Fatal(err)
	}
	c.soon("the relay that leads no more knows of none", func() bool {
		return c.leads.Copies().Compared.IsZero() || c.other.Copies().Compared.After(time.Time{})
	})
	c.told(name)
}

var _ engine.Shared = (*jetstream.Engine)(nil)
