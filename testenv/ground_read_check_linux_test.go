package testenv

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// TestGroundRead asserts that what TestFaultGround reads of a copy is that copy, or an error: a
// reader that waits, one whose connection breaks and one whose question is lost find no holes that
// the copy has not.
func TestGroundRead(t *testing.T) {
	effort.OnlyLong(t, "it cuts the power of a cluster")
	t.Parallel()
	c := nats.StartInProcess(t, nats.Options{})
	stream, last := groundReadExample(t, c)
	read := func(d *disturbedDialer) ([]groundMsg, error) {
		t.Helper()
		d.left.Store(1 << 20) // half of what is asked for at once
		conn, err := natsgo.Connect(c.URL(), natsgo.MaxReconnects(-1), natsgo.SetCustomDialer(d),
			natsgo.ReconnectWait(pollMost))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		consumer, err := js.CreateConsumer(ctx, stream, groundReader())
		if err != nil {
			t.Fatal(err)
		}
		return readGround(ctx, consumer, last)
	}
	f := func(what string, mustRead bool, d *disturbedDialer) {
		t.Helper()
		msgs, err := read(d)
		for try := 1; try < 5 && err != nil && !d.done.Load(); try++ {
			// The node is too busy to be heard, as is possible at any time: it is asked again.
			t.Logf("%s: before anything happened: %v", what, err)
			msgs, err = read(d)
		}
		switch {
		case !d.done.Load():
			t.Errorf("%s: nothing happened to the reader", what)
		case err != nil && mustRead:
			t.Errorf("%s: %v", what, err)
		case err == nil && len(msgs) != int(last):
			t.Errorf("%s: %d of %d messages were read", what, len(msgs), last)
		}
		t.Logf("%s: %d messages, %v", what, len(msgs), err)
	}
	f("waits", true, &disturbedDialer{read: func(net.Conn) { <-time.After(2 * time.Second) }})
	f("breaks", false, &disturbedDialer{read: func(conn net.Conn) { _ = conn.Close() }})
	f("is not heard", false, &disturbedDialer{swallow: []byte("CONSUMER.MSG.NEXT")})
}

// groundReadExample is a stream with more than a reader asks for at once.
func groundReadExample(t *testing.T, c *nats.Cluster) (name string, last uint64) {
	t.Helper()
	conn := c.Connect()
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: groundStream,
		Subjects: []string{"g.>"}, Storage: jetstream.MemoryStorage, AllowAtomicPublish: true})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 2<<10)
	for range 3 {
		var batch []*natsgo.Msg
		for i := range 1000 {
			batch = append(batch, &natsgo.Msg{Subject: groundEvents + strconv.Itoa(i%9), Data: body,
				Header: natsgo.Header{}})
		}
		if last, err = publishBatch(conn, batch); err != nil {
			t.Fatal(err)
		}
	}
	return groundStream, last
}

// disturbedDialer lets something happen to a connection, once: read is called when as many bytes were
// read as were left, or what is written with swallow in it never comes anywhere.
type disturbedDialer struct {
	left    atomic.Int64
	read    func(net.Conn)
	swallow []byte
	done    atomic.Bool
}

func (d *disturbedDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, Patience)
	if err != nil {
		return nil, err
	}
	return &disturbedConn{conn, d}, nil
}

type disturbedConn struct {
	net.Conn
	dialer *disturbedDialer
}

func (c *disturbedConn) Read(b []byte) (int, error) {
	d := c.dialer
	if d.read != nil && d.left.Load() <= 0 && d.done.CompareAndSwap(false, true) {
		d.read(c.Conn)
	}
	n, err := c.Conn.Read(b)
	d.left.Add(-int64(n))
	return n, err
}

func (c *disturbedConn) Write(b []byte) (int, error) {
	d := c.dialer
	if d.swallow != nil && bytes.Contains(b, d.swallow) && d.done.CompareAndSwap(false, true) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
