package nats_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/testenv/effort"
	cluster "github.com/hookspool/hookspool/testenv/nats"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := cluster.RemoveBinary(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot remove the binary:", err)
	}
	os.Exit(code)
}

// TestProcesses asserts that a stream outlives the death of any node, of all of them, and a freeze.
func TestProcesses(t *testing.T) {
	effort.OnlyLong(t, "nodes that are processes")
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	js := publish(t, c, 1)
	c.Node(c.Leader("S")).Kill()
	publishTo(t, js, 2)
	for i := range c.Nodes() {
		c.Node(i).Kill()
		c.Node(i).Start()
	}
	c.WaitReady()
	publishTo(t, js, 3)
	for i := range c.Nodes() { // the leader and the client's own are among them
		c.Node(i).Freeze()
		publishTo(t, js, 4+uint64(i))
		c.Node(i).Thaw()
		c.WaitReady()
	}
	c.Node(c.Leader("S")).Stop()
	publishTo(t, js, 7)
}

// TestInProcess asserts the same of a cluster inside the test's process, and that it is ready soon.
func TestInProcess(t *testing.T) {
	effort.OnlyLong(t, "nodes that restart")
	t.Parallel()
	began := time.Now()
	c := cluster.StartInProcess(t, cluster.Options{})
	js := publish(t, c, 1)
	t.Logf("ready after %s", time.Since(began))
	c.Node(c.Leader("S")).Kill()
	publishTo(t, js, 2)
	for i := range c.Nodes() {
		c.Node(i).Stop()
		c.Node(i).Start()
	}
	c.WaitReady()
	publishTo(t, js, 3)
}

// TestWall asserts that a node that is cut off neither hears the others nor is heard, also if it led,
// and has all of it soon after.
func TestWall(t *testing.T) {
	effort.OnlyLong(t, "nodes that are processes")
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Wall: true})
	publish(t, c, 1)
	apart := c.Leader("S")
	c.Cut(apart)
	publishTo(t, clientOf(t, c.Node((apart+1)%3)), 2)
	alone := clientOf(t, c.Node(apart))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if ack, err := alone.Publish(ctx, "s.a", nil); err == nil {
		t.Errorf("the node that is cut off has acknowledged %d", ack.Sequence)
	}
	c.Cut(-1)
	c.WaitReady()
}

// TestGate asserts that a gate is shut at the write that it was told, on either side of it, and at
// nothing else.
func TestGate(t *testing.T) {
	t.Parallel()
	c := cluster.StartInProcess(t, cluster.Options{Nodes: 1})
	beside := publish(t, c, 1)
	counted := func(subject string) bool { return subject == "s.a" }
	for _, side := range []cluster.Side{cluster.Before, cluster.After} {
		g := cluster.NewGate(t, c.Node(0))
		js := clientAt(t, g.URL())
		stored := newest(t, beside)
		shut := make(chan uint64, 1)
		g.Set(cluster.Stop{Nth: 3, Side: side, Counts: counted,
			Shut: func() { shut <- newest(t, beside) }})
		publishTo(t, js, stored+1)
		if _, err := js.Publish(t.Context(), "s.b", []byte("PUB s.a r 1\r\n")); err != nil {
			t.Fatal(err)
		}
		publishTo(t, js, stored+3)
		if g.Writes() != 2 {
			t.Errorf("%s: %d writes are counted; there were 2", side, g.Writes())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if ack, err := js.Publish(ctx, "s.a", nil); err == nil {
			t.Errorf("%s: the client hears that %d is stored", side, ack.Sequence)
		}
		cancel()
		want := stored + 3
		if side == cluster.After {
			want++
		}
		if got := <-shut; got != want {
			t.Errorf("%s: when the gate was shut %d was stored; want %d", side, got, want)
		}
		publishTo(t, js, want+1) // by another connection, and nothing counts any more
		if g.Lift() {
			t.Errorf("%s: the gate is to be shut again", side)
		}
	}
}

// newest is the last sequence of the stream.
func newest(t *testing.T, js jetstream.JetStream) uint64 {
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Error(err)
		return 0
	}
	return s.CachedInfo().State.LastSeq
}

// clientOf is a client of one node, which stays with it.
func clientOf(t *testing.T, n *cluster.Node) jetstream.JetStream {
	t.Helper()
	return clientAt(t, n.URL())
}

// clientAt is a client that stays with one address.
func clientAt(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish makes a stream on all nodes and publishes once.
func publish(t *testing.T, c *cluster.Cluster, want uint64) jetstream.JetStream {
	t.Helper()
	conn := c.Connect()
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: c.Nodes()}
	// A cluster may be ready before each node knows that every other is there.
	for _, err = js.CreateStream(ctx, stream); err != nil; _, err = js.CreateStream(ctx, stream) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	publishTo(t, js, want)
	return js
}

// publishTo publishes until it is acknowledged, and asserts that everything before is still there.
func publishTo(t *testing.T, js jetstream.JetStream, want uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		ack, err := js.Publish(try, "s.a", nil, jetstream.WithMsgID(fmt.Sprint(want)))
		done()
		switch {
		case err == nil && ack.Sequence != want:
			t.Fatalf("message %d has sequence %d", want, ack.Sequence)
		case err == nil:
			return
		case ctx.Err() != nil:
			t.Fatal(err)
		}
	}
}
