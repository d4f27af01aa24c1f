package jetstream_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

var rounds = flag.Int("rounds", 2, "faults of TestChaos")

// faults are what happens to a cluster, or to the relay. Each ends with all of it running.
func faults() []fault {
	return []fault{
		{"all nodes die", func(c *chaos) { c.restart(0, 1, 2) }},
		{"the leader and the relay die", func(c *chaos) {
			leader := c.leader()
			c.cluster.Node(leader).Kill()
			c.crash()
			c.cluster.Node(leader).Start()
		}},
		{"the leader dies", func(c *chaos) { c.restart(c.leader()) }},
		{"a follower dies", func(c *chaos) { c.restart((c.leader() + 1) % 3) }},
		{"the leader stands still", func(c *chaos) { c.freeze(c.leader()) }},
		{"the relay dies", (*chaos).crash},
	}
}

type fault struct {
	name string
	hits func(*chaos)
}

// Whatever happens to the servers and the relay, what was acknowledged is there once, and the spool
// goes on by itself.
func TestChaos(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	c := &chaos{t: t, cluster: nats.Start(t, nats.Options{}), answered: make(map[string]uint64),
		delivered: make(map[string]int)}
	c.bed = newBed(t, c.cluster.URL())
	c.open()
	all := faults()
	for n := range *rounds {
		f := all[n%len(all)]
		c.work(time.Second)
		f.hits(c)
		c.cluster.WaitReady()
		resumed := time.Now()
		answered, delivered := c.count()
		for more, done := c.count(); more <= answered+callersOfChaos || done <= delivered; {
			if time.Since(resumed) > time.Minute {
				t.Fatalf("after %q nothing is accepted or delivered for a minute", f.name)
			}
			c.work(10 * time.Millisecond)
			more, done = c.count()
		}
		t.Logf("%s: %d events are answered, %d deliveries repeated; it goes on after %v", f.name,
			answered, c.repeated(), time.Since(resumed).Round(time.Millisecond))
	}
	c.stop()
	c.check()
}

const callersOfChaos = 16

// chaos is a spool under load on a cluster.
type chaos struct {
	t       *testing.T
	cluster *nats.Cluster
	bed     *bed
	spool   *spool.Spool
	ended   chan struct{} // closed to end the load
	load    sync.WaitGroup
	next    atomic.Int64

	mu        sync.Mutex // guards below
	answered  map[string]uint64
	delivered map[string]int
}

func (c *chaos) open() {
	c.t.Helper()
	o := spool.Options{Log: slog.New(slog.DiscardHandler), Limits: spool.Limits{
		KeepDelivered: time.Hour, DedupeWindow: time.Hour}}
	var lane atomic.Uint32
	o.Decide = func(_ *spool.View, d *spool.Draft) { d.Owe(spool.LaneID(lane.Load())) }
	c.bed.Prepare(&o)
	o.Dir = filepath.Join(c.bed.root, "spool")
	s, err := spool.Open(o)
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	l, err := s.Lane("a")
	if err != nil {
		c.t.Fatal(err)
	}
	lane.Store(uint32(l.ID()))
	l.Open(true)
	c.spool, c.ended = s, make(chan struct{})
	ended := c.ended
	for range callersOfChaos {
		c.load.Go(func() { c.append(s, ended) })
	}
	c.load.Go(func() { c.deliver(s, l, ended) })
}

// append appends one event after the other until the spool is closed or the load is to end.
func (c *chaos) append(s *spool.Spool, ended chan struct{}) {
	for {
		select {
		case <-ended:
			return
		default:
		}
		text := fmt.Sprintf("event %d", c.next.Add(1))
		d := &spool.Draft{At: time.Now(), Type: "t", Payload: []byte(text)}
		if rand.IntN(2) == 0 {
			d.Given, d.ID = true, text
		}
		err := s.Append(d)
		if errors.Is(err, engine.ErrUnavailable) {
			c.work(10 * time.Millisecond) // as whoever is told to come again does
			continue
		}
		if err != nil {
			if !errors.Is(err, spool.ErrClosed) && !errors.Is(err, spool.ErrFailed) {
				c.t.Errorf("cannot append: %v", err)
			}
			return
		}
		c.mu.Lock()
		c.answered[text] = d.Seq
		c.mu.Unlock()
	}
}

// deliver settles what comes.
func (c *chaos) deliver(s *spool.Spool, l *spool.Lane, ended chan struct{}) {
	for {
		events, err := l.Fetch(100)
		if err != nil {
			return
		}
		c.mu.Lock()
		for _, e := range events {
			c.delivered[string(e.Payload())]++
		}
		c.mu.Unlock()
		for _, e := range events {
			s.Settle(spool.Settlement{Lane: l.ID(), Seq: e.Seq, Fresh: true, Verdict: spool.Delivered,
				AcceptedAt: e.At, At: time.Now(), Attempts: 1})
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-ended:
			return
		case <-l.Ready():
		}
	}
}

func (c *chaos) work(d time.Duration) { <-time.After(d) }

// count is how many events were answered and delivered.
func (c *chaos) count() (answered, delivered int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answered), len(c.delivered)
}

func (c *chaos) repeated() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.delivered {
		n += times - 1
	}
	return n
}

func (c *chaos) leader() int { return c.cluster.Leader(c.bed.name) }

// restart kills nodes and starts them again a little later.
func (c *chaos) restart(nodes ...int) {
	for _, n := range nodes {
		c.cluster.Node(n).Kill()
	}
	c.work(500 * time.Millisecond)
	for _, n := range nodes {
		c.cluster.Node(n).Start()
	}
}

func (c *chaos) freeze(node int) {
	c.cluster.Node(node).Freeze()
	c.work(3 * time.Second)
	c.cluster.Node(node).Thaw()
}

// crash ends the relay as a kill would, and starts another in its place.
func (c *chaos) crash() {
	c.bed.open.Kill()
	close(c.ended)
	c.load.Wait() // nobody reads what is closed
	c.bed.Crash(c.spool)
	c.open()
}

// stop ends the load once everything is delivered.
func (c *chaos) stop() {
	c.t.Helper()
	s := c.spool
	close(c.ended)
	c.load.Wait()
	for end := time.Now().Add(time.Minute); ; {
		l := s.LaneByID(1)
		events, err := l.Fetch(100)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range events {
			c.delivered[string(e.Payload())]++
			s.Settle(spool.Settlement{Lane: l.ID(), Seq: e.Seq, Fresh: true, Verdict: spool.Delivered,
				AcceptedAt: e.At, At: time.Now(), Attempts: 1})
		}
		if len(events) == 0 && l.Counts().Pending == 0 {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("%d deliveries are pending", l.Counts().Pending)
		}
	}
}

// check compares the spool with what was answered.
func (c *chaos) check() {
	c.t.Helper()
	lost := 0
	for text, seq := range c.answered {
		e, err := look.Event(c.spool.Records(), seq)
		if err != nil || string(e.Payload()) != text || c.delivered[text] == 0 {
			if lost++; lost < 10 {
				c.t.Errorf("%s was answered as %d: %v; delivered %d times", text, seq, err, c.delivered[text])
			}
		}
	}
	r, err := care.VerifyLive(context.Background(), c.spool, nil)
	if err != nil || r.FaultCount > 0 {
		c.t.Errorf("it does not verify: %v, %q", err, r.Faults)
	}
	c.t.Logf("%d events were answered, %d are lost, %d deliveries repeated", len(c.answered), lost,
		c.repeated())
	if err := c.spool.Close(); err != nil {
		c.t.Error(err)
	}
}
