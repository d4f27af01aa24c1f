package jetstream_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	jet "github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/nats"
)

// wire stands between a relay and its server. On its first connection it passes on so many bytes of
// what the server says; the rest is lost with that connection.
type wire struct {
	t     *testing.T
	to    string // the server
	url   string
	bytes int64
	held  chan struct{} // is closed once nothing is passed on any more
	lose  chan struct{} // is to be closed, and ends that connection
	first atomic.Bool
	both  sync.WaitGroup
}

func newWire(t *testing.T, to string, bytes int64) *wire {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, to: to, url: "nats://" + listener.Addr().String(), bytes: bytes,
		held: make(chan struct{}), lose: make(chan struct{})}
	t.Cleanup(w.both.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	w.both.Go(func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.both.Go(func() { w.pass(conn) })
		}
	})
	return w
}

func (w *wire) pass(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer server.Close()
	w.both.Go(func() { // ends with the connections
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	})
	if w.first.Swap(true) {
		_, _ = io.Copy(conn, server)
		return
	}
	_, _ = io.CopyN(conn, server, w.bytes)
	close(w.held)
	<-w.lose
}

// write writes frames of one event each, and leaves.
func write(t *testing.T, o jetstream.Options, frames uint64, bytes int) {
	t.Helper()
	e, err := jetstream.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range frames {
		txn := e.Begin()
		err = errors.Join(err, txn.Append(seq+1, eventOf(seq+1, bytes), []record.LaneID{1}), txn.Commit())
		txn.Discard()
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
}

// A server cuts off a connection that it has 64 MiB for: a relay that reads slowly does not ask for
// as much.
func TestReadSlowly(t *testing.T) {
	t.Parallel()
	if all := readCut(t, 60); all {
		t.Error("all of the stream was asked for at once")
	}
}

// What was under way when the connection broke is read again, although nothing comes afterwards that
// would show the gap.
func TestReadCutAtTheEnd(t *testing.T) {
	t.Parallel()
	if all := readCut(t, 12); !all {
		t.Error("something of the stream was not asked for yet")
	}
}

// readCut opens an engine whose connection breaks when the server has sent what it was asked for. It
// reports whether that was all.
func readCut(t *testing.T, frames uint64) (all bool) {
	t.Helper()
	const bytes = 500_000
	cluster := nats.StartInProcess(t, nats.Options{Nodes: 1, Sync: nats.SyncDefault})
	b := newBed(t, cluster.URL())
	options := func(relay string) jetstream.Options {
		o := b.options(relay, nil)
		o.Replicas, o.AcceptUnsafe, o.OpenMax = 1, true, 10*time.Second
		return o
	}
	write(t, options("a"), frames, bytes)
	w := newWire(t, cluster.Node(0).Address(), 3<<20)
	b.url = w.url
	type result struct {
		*jetstream.Engine
		err error
	}
	opened := make(chan result, 1)
	o := options("b")
	go func() { // ends with the opening
		e, err := jetstream.Open(o)
		opened <- result{e, err}
	}()
	<-w.held
	conn := cluster.Connect()
	defer conn.Close()
	wait(t, "the server has not sent what it was asked for", func() bool {
		asked := consumer(t, conn, b.name)
		all = asked != nil && asked.NumPending == 0
		return all || asked != nil && asked.NumWaiting == 0
	})
	close(w.lose)
	e := <-opened
	if e.err != nil {
		t.Fatal(e.err)
	}
	defer e.Close()
	for seq := range frames {
		if _, err := e.Get(record.LogKey(seq + 1)); err != nil {
			t.Fatalf("event %d: %v", seq+1, err)
		}
	}
	return all
}

// consumer is whoever reads a stream; nil: nobody.
func consumer(t *testing.T, conn *natsgo.Conn, stream string) (info *jet.ConsumerInfo) {
	t.Helper()
	js, err := jet.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	list := s.ListConsumers(t.Context())
	for c := range list.Info() {
		if info == nil || c.Created.After(info.Created) {
			info = c // the other's is still kept for a while
		}
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	return info
}
