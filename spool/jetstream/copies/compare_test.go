package copies

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := nats.RemoveBinary(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot remove the binary:", err)
	}
	os.Exit(code)
}

// newStream makes a stream of a cluster, and what is compared of it.
func newStream(t *testing.T, c *nats.Cluster, replicas int) (jetstream.JetStream, *Options) {
	t.Helper()
	conn := c.Connect()
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	var s jetstream.Stream
	for deadline := time.Now().Add(time.Minute); ; {
		s, err = js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S",
			Replicas: replicas, Subjects: []string{"s.>"}, Storage: jetstream.FileStorage})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return js, &Options{Stream: s, Steady: []string{"s.steady"}, Gap: 100 * time.Millisecond}
}

// publish stores so many messages.
func publish(t *testing.T, js jetstream.JetStream, subject string, n, size int) {
	t.Helper()
	payload := make([]byte, size)
	for sent := range n {
		if _, err := js.PublishAsync(subject, payload); err != nil {
			t.Fatal(err)
		}
		if sent%100 == 99 || sent == n-1 {
			select {
			case <-js.PublishAsyncComplete():
			case <-time.After(time.Minute):
				t.Fatal("what was published is not stored within a minute")
			}
		}
	}
}

// compared compares until somebody answers; there may be no leader for a moment.
func compared(t *testing.T, o *Options) Comparison {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := Compare(ctx, *o)
		if err == nil {
			return c
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestCompare asserts what is said of whole copies, of one with a hole in what never expires, and of
// one with a hole in the rest, while all are there and while one is not.
func TestCompare(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	c := nats.StartInProcess(t, nats.Options{})
	js, o := newStream(t, c, 3)
	publish(t, js, "s.steady", 200, 100)
	publish(t, js, "s.other", 200, 100)
	time.Sleep(age + time.Second)
	f := func(what string, nodes int, short ...Short) {
		t.Helper()
		got := compared(t, o)
		if !slices.Equal(got.Short, short) || len(got.Nodes) != nodes || len(got.Members) != 3 ||
			got.Replicas != 3 || got.Complete() != (nodes == 3) {
			t.Errorf("%s: %+v", what, got)
		}
		for _, n := range got.Nodes {
			if n.Suspect != (len(short) > 0 && n.Name == short[0].Node) {
				t.Errorf("%s: %+v", what, n)
			}
		}
	}
	f("whole", 3)
	victim := (c.Leader("S") + 1) % 3
	node, third := c.Node(victim), c.Node(3-victim-c.Leader("S"))
	hole := func(from, to uint64) {
		t.Helper()
		node.Stop()
		if gone := node.Puncture("S", from, to); len(gone) != int(to-from+1) {
			t.Fatalf("%d messages are gone", len(gone))
		}
		node.Start()
		c.WaitReady()
	}
	hole(250, 259)
	f("a hole beside", 3, Short{node.Name(), 10, false})
	o.Expiring = 10
	f("as many may have expired", 3)
	o.Expiring = -1
	f("only what never expires", 3)
	hole(50, 54)
	f("a hole in that", 3, Short{node.Name(), 5, true})
	o.Expiring = 0
	f("both", 3, Short{node.Name(), 15, true})
	third.Stop()
	f("one is away", 2, Short{node.Name(), 15, false})
	third.Start()
	c.WaitReady()
	f("all are back", 3, Short{node.Name(), 15, true})
}

// TestCompareOne asserts that a stream without replicas is compared with nothing.
func TestCompareOne(t *testing.T) {
	t.Parallel()
	js, o := newStream(t, nats.StartInProcess(t, nats.Options{}), 1)
	publish(t, js, "s.steady", 1, 1)
	if got := compared(t, o); len(got.Short) > 0 || !got.Complete() || len(got.Nodes) > 0 {
		t.Errorf("%+v", got)
	}
}

// TestCompareWhileOneCatchesUp asserts that a node which catches up is not compared, though it says
// that it is current, before it has everything.
func TestCompareWhileOneCatchesUp(t *testing.T) {
	if os.Getenv("HOOKSPOOL_LONG") == "" {
		t.Skip("HOOKSPOOL_LONG is not set: it writes 5 GiB")
	}
	t.Parallel()
	const n, size = 25_000, 64 << 10 // less comes by way of the servers' own log, in which it lags
	c := nats.Start(t, nats.Options{})
	js, o := newStream(t, c, 3)
	publish(t, js, "s.steady", 100, size)
	victim := (c.Leader("S") + 1) % 3
	name := c.Node(victim).Name()
	c.Node(victim).Kill()
	publish(t, js, "s.steady", n, size)
	time.Sleep(age)
	c.Node(victim).Start()
	fewer := 0
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if time.Now().After(deadline) {
			t.Fatal("it does not catch up within two minutes")
		}
		got := compared(t, o)
		if len(got.Short) > 0 {
			t.Fatalf("of one that catches up it is said: %+v", got)
		}
		if _, ok := got.node(name); ok {
			break // it has the newest message
		}
		info, err := o.Stream.Info(t.Context())
		if err != nil {
			continue // nobody leads for a moment
		}
		for _, node := range info.Cluster.Replicas {
			if node.Name == name && node.Current && !node.Offline {
				fewer++
			}
		}
	}
	p := &poll{stream: o.Stream, wanted: map[string]bool{name: true,
		c.Node((victim + 1) % 3).Name(): true}}
	if has := p.pending(t.Context(), jetstream.ConsumerConfig{}, least); has[name] != n+100 {
		t.Errorf("it was compared with %d messages of %d", has[name], n+100)
	}
	if fewer == 0 {
		t.Error("it did not say that it was current while it caught up: more must be written")
	}
	t.Logf("%d times it said that it was current while it caught up", fewer)
}
