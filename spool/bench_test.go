package spool

import (
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAppend measures what an accepted event costs, alone and among many: groups of 1 and of
// what 64 callers make, with events of 1 KiB.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name    string
		callers int
	}{{"alone", 1}, {"64", 64}} {
		b.Run(c.name, func(b *testing.B) { benchmarkAppend(b, c.callers) })
	}
}

func benchmarkAppend(b *testing.B, callers int) {
	var commits atomic.Int64
	var s *Spool
	s, err := Open(Options{Dir: b.TempDir() + "/spool", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Decide:   func(_ *View, d *Draft) { d.Owe(s.byName["a"].id) },
		OnCommit: func(int, time.Duration) { commits.Add(1) },
		Limits:   Limits{KeepDelivered: time.Hour, DedupeWindow: time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.Start()
	if _, err := s.Lane("a"); err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 1<<10)
	b.SetBytes(int64(len(payload)))
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	if callers == 1 {
		for b.Loop() {
			if err := s.Append(&Draft{Payload: payload, At: time.Now()}); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Append(&Draft{Payload: payload, At: time.Now()}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ReportMetric(float64(commits.Load())/float64(b.N), "commits/event")
}
