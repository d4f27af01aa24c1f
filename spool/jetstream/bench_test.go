package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	jet "github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	cluster "github.com/hookspool/hookspool/testenv/nats"
)

// callers wait for their answers, each for one at a time.
const callers = 256

// together calls do b.N times in all, callers of them at once.
func together(b *testing.B, do func() error) {
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAppend spools events of 1 KiB: -bench Append -benchtime 3s.
func BenchmarkAppend(b *testing.B) {
	bed := newBed(b, cluster.StartInProcess(b, cluster.Options{}).URL())
	o := spool.Options{Log: slog.New(slog.DiscardHandler), Limits: spool.Limits{KeepDelivered: time.Hour}}
	var lane spool.LaneID
	o.Decide = func(_ *spool.View, d *spool.Draft) { d.Owe(lane) }
	bed.Prepare(&o)
	o.Dir = filepath.Join(b.TempDir(), "spool")
	s, err := spool.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	defer s.Close()
	l, err := s.Lane("a")
	if err != nil {
		b.Fatal(err)
	}
	lane = l.ID()
	payload := bytes.Repeat([]byte("x"), 1<<10)
	together(b, func() error {
		return s.Append(&spool.Draft{At: time.Now(), Type: "t", Payload: payload})
	})
}

// BenchmarkPublish publishes as much into such a stream, each with an answer of its own.
func BenchmarkPublish(b *testing.B) {
	nc, err := nats.Connect(cluster.StartInProcess(b, cluster.Options{}).URL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jet.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	name := newBed(b, "").name
	_, err = js.CreateStream(context.Background(), jet.StreamConfig{Name: name,
		Subjects: []string{name + ".>"}, Replicas: 3, Storage: jet.FileStorage})
	if err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte("x"), 1<<10)
	together(b, func() error {
		_, err := js.Publish(context.Background(), name+".e", payload)
		return err
	})
}

// BenchmarkRelays lets two relays write one transaction after the other: -bench Relays -benchtime
// 1000x. share is that of the one which wrote less, conflicts are those of one that is written.
func BenchmarkRelays(b *testing.B) {
	bed := newBed(b, cluster.StartInProcess(b, cluster.Options{}).URL())
	engines := []*jetstream.Engine{bed.engine("a", nil), bed.engine("b", nil)}
	for _, e := range engines {
		defer e.Close()
	}
	f := func(name string, planning ...time.Duration) {
		b.Run(name, func(b *testing.B) {
			var wrote [2]int
			var conflicts, left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for i, e := range engines {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						conflicts.Add(appendOne(b, e, planning[i]))
						wrote[i]++
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(min(wrote[0], wrote[1]))/float64(b.N), "share")
			b.ReportMetric(float64(conflicts.Load())/float64(b.N), "conflicts")
		})
	}
	f("even", time.Millisecond, time.Millisecond)
	f("uneven", 3*time.Millisecond, 9*time.Millisecond)
}

// appendOne appends an event in a transaction of its own, which takes a while to plan.
func appendOne(tb testing.TB, e *jetstream.Engine, planning time.Duration) (conflicts int64) {
	tb.Helper()
	txn := e.Begin().(engine.SharedTxn)
	defer txn.Discard()
	for ; ; conflicts++ {
		seq := e.News().Newest + 1
		<-time.After(planning)
		if err := txn.Append(seq, eventRecord(seq), nil); err != nil {
			tb.Error(err)
		}
		err := txn.Commit()
		if errors.Is(err, engine.ErrConflict) {
			txn.Again()
			continue
		}
		if err != nil {
			tb.Error(err)
		}
		return conflicts
	}
}

// BenchmarkLeaderDies is how long nothing is written after the leader of the stream was killed:
// -bench LeaderDies -benchtime 5x. raw is the same for one who publishes and asks again every 50 ms.
func BenchmarkLeaderDies(b *testing.B) {
	c := cluster.Start(b, cluster.Options{})
	bed := newBed(b, c.URL())
	e := bed.engine("a", nil)
	defer e.Close()
	nc := c.Connect()
	defer nc.Close()
	js, err := jet.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	var raw time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		c.WaitReady()
		appendOne(b, e, 0)
		leader := c.Leader(bed.name)
		b.StartTimer()
		began := time.Now()
		c.Node(leader).Kill()
		var other sync.WaitGroup
		other.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
				_, err := js.Publish(ctx, bed.name+".g", nil)
				cancel()
				if err == nil {
					raw += time.Since(began)
					return
				}
				<-time.After(50 * time.Millisecond)
			}
		})
		appendOne(b, e, 0)
		b.Logf("written after %v", time.Since(began).Round(time.Millisecond))
		other.Wait()
		b.StopTimer()
		b.Logf("raw, in all: %v", raw.Round(time.Millisecond))
		c.Node(leader).Start()
	}
	b.ReportMetric(raw.Seconds()/float64(b.N), "raw-s/op")
}
