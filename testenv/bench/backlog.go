package main

import (
	"fmt"
	"time"
)

const (
	pauseLength = 3 * time.Second // after which a process that started has come to rest
	drainSlice  = 5 * time.Second
)

// backlog lets many events wait for a paused target, kills the relay, and looks what the backlog
// costs: memory, time until ready, accepting, and draining it.
func (b *bench) backlog(r *report) ([]sheet, error) {
	live := usual()
	live.sweep = true
	held := live.pausedTarget()
	pairs := pairsOf(held, live)
	if err := b.measureBefore(pairs); err != nil {
		return nil, err
	}
	rx, s, err := b.start(held)
	if err != nil {
		return nil, err
	}
	defer rx.stop()
	defer s.stop()
	facts := newFacts(fmt.Sprintf("a backlog of %d events of %d bytes", b.o.pending, held.size))
	h := &hold{b: b, c: held, rx: rx, s: s, facts: &facts, r: r}
	if err := h.fill(); err != nil {
		return nil, err
	}
	if err := h.restart(); err != nil {
		return nil, err
	}
	accepted, err := h.accept()
	if err != nil {
		return nil, err
	}
	slices, drain, err := h.drain()
	if err != nil {
		return nil, err
	}
	s.stop()
	if err := b.measureAfter(pairs); err != nil {
		return nil, err
	}
	ofEmpty := over(accepted, pairs[0].mean(acceptRate))
	ofLive := over(drain, pairs[1].mean(liveRate))
	facts.add("accepted/s with the backlog, of without", ofEmpty, "")
	facts.add("drain rate, of the live rate", ofLive, "")
	r.score(goalAccept, ofEmpty)
	r.score(goalDrain, ofLive)
	r.score(goalMemory, h.peak)
	return []sheet{pairSheet(pairs), facts, sliceSheet("the drain", slices)}, nil
}

// hold is a relay with a backlog.
type hold struct {
	b     *bench
	c     cell
	rx, s *server
	facts *sheet
	r     *report
	peak  float64 // MiB resident since the restart
}

func (h *hold) fill() error {
	began := time.Now()
	peak := startSampler(h.s.pid())
	err := fill(h.s.address, h.b.o.pending, h.c.size)
	h.facts.add("filled in batches", float64(h.b.o.pending)/time.Since(began).Seconds(), "/s")
	h.facts.addMemory(" peak while filling", peak.end())
	if err != nil {
		return err
	}
	sum, err := h.s.debts()
	if err == nil && sum.pending != float64(h.b.o.pending) {
		err = fmt.Errorf("%.0f events are pending, want %d", sum.pending, h.b.o.pending)
	}
	h.facts.add("spool, full", h.s.spoolMiB(), "MiB")
	return err
}

// restart is kill -9 in the middle of what the spool does after a fill.
func (h *hold) restart() error {
	h.s.kill()
	took, err := h.s.launch()
	if err != nil {
		return err
	}
	h.facts.add("ready after kill -9", took.Seconds(), "s")
	h.r.score(goalReady, took.Seconds())
	h.facts.addMemory(" once ready", memoryOf(h.s.pid()))
	time.Sleep(pauseLength)
	h.note(" at rest with the backlog", memoryOf(h.s.pid()))
	return nil
}

func (h *hold) note(when string, m memory) {
	h.facts.addMemory(when, m)
	h.peak = max(h.peak, m.Peak)
}

// accept measures accepting as the cells do.
func (h *hold) accept() (float64, error) {
	peak := startSampler(h.s.pid())
	load := startLoad(h.s.address, h.c)
	time.Sleep(warmUp)
	load.measured.Store(true)
	began := time.Now()
	time.Sleep(h.b.o.window)
	load.measured.Store(false)
	accepted := float64(load.latency.Count.Load()) / time.Since(began).Seconds()
	load.end()
	h.facts.add("accepted with the backlog", accepted, "/s")
	h.facts.add("accept p50 with the backlog", milliseconds(load.latency.quantile(0.5)), "ms")
	h.facts.add("accept p99 with the backlog", milliseconds(load.latency.quantile(0.99)), "ms")
	h.note(" peak while accepting", peak.end())
	if failed := load.failed.Load() + load.refused.Count.Load(); failed > 0 {
		return 0, fmt.Errorf("%d requests failed", failed)
	}
	return accepted, nil
}

// drain lets the target have its backlog, and returns the rate at which it went.
func (h *hold) drain() ([]slice, float64, error) {
	before, err := h.s.debts()
	if err != nil {
		return nil, 0, err
	}
	h.s.config.Set("target.t0.status", "enabled")
	if err := h.s.reload(); err != nil {
		return nil, 0, err
	}
	peak := startSampler(h.s.pid())
	p := &probe{rx: h.rx, s: h.s}
	began := time.Now()
	watched := make(chan error, 1) // the watcher below sends once
	var slices []slice
	go func() {
		var err error
		slices, err = p.slices(int(h.b.o.drain/drainSlice), drainSlice,
			func(s slice) bool { return s.Pending == 0 })
		watched <- err
	}()
	drained, err := h.s.drained(h.b.o.drain)
	took := time.Since(began)
	if other := <-watched; err == nil {
		err = other
	}
	h.note(" peak while draining", peak.end())
	if err != nil {
		return nil, 0, err
	}
	after, err := h.s.debts()
	drain := (before.pending - after.pending) / took.Seconds()
	h.facts.add("drained", drain, "/s")
	h.facts.add("the whole drain", seconds(took, drained), "s")
	h.facts.add("still pending", after.pending, "")
	h.settle(before.pending, drained)
	return slices, drain, err
}

// settle looks what is left once all is delivered and swept.
func (h *hold) settle(owed float64, drained bool) {
	if !drained {
		return
	}
	if got, err := h.rx.received(); err == nil {
		h.facts.add("arrived at the target, of what was owed", float64(got.Total)/max(owed, 1), "")
	}
	began := time.Now()
	h.s.rest(2 * drainWithin)
	left := h.s.spoolMiB()
	h.facts.add("spool at rest after the drain", left, "MiB")
	h.facts.add("until it came to rest", time.Since(began).Seconds(), "s")
	h.facts.addMemory(" after the drain", memoryOf(h.s.pid()))
	h.r.score(goalBacklogLeft, left)
}
