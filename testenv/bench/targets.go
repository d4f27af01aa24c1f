package main

import (
	"fmt"
	"time"
)

const (
	// deliveriesWanted is what all targets together get while all want all events.
	deliveriesWanted = 2000
	restLength       = 10 * time.Second
)

// targets measures what targets cost that have nothing to do, and what an event costs as targets
// that want it, or do not, grow in number.
func (b *bench) targets(r *report) ([]sheet, error) {
	numbers := []int{1, 100, 1000}
	rest := sheet{Title: "at rest, nothing spooled", Columns: []string{"targets", "RSS MiB",
		"RssAnon MiB", "RssAnon KiB per further target", "CPU % of a core", "ready after s"}}
	first := 0.0
	for _, n := range numbers {
		progress("%d targets at rest", n)
		c := withTargets(n)
		m, percent, ready, err := b.atRest(c)
		if err != nil {
			return nil, err
		}
		var each any
		if n == 1 {
			first = m.Anon
		} else {
			each = (m.Anon - first) * 1024 / float64(n-1)
		}
		rest.add(float64(n), m.Resident, m.Anon, each, percent, ready.Seconds())
	}
	fan, err := b.fanOut(r, numbers)
	return []sheet{rest, fan}, err
}

// atRest lets a relay be and returns its memory, its CPU in percent of a core, and how long it took
// to start.
func (b *bench) atRest(c cell) (m memory, percent float64, ready time.Duration, err error) {
	rx, s, err := b.start(c)
	if err != nil {
		return m, 0, 0, err
	}
	defer rx.stop()
	defer s.stop()
	s.kill() // a spool exists now: the start that is timed is the usual one
	if ready, err = s.launch(); err != nil {
		return m, 0, 0, err
	}
	time.Sleep(b.restFor() / 4)
	before, began := usageOf(s.pid()), time.Now()
	time.Sleep(b.restFor())
	used := usageOf(s.pid()).since(before).cpu
	return memoryOf(s.pid()), 100 * used.Seconds() / time.Since(began).Seconds(), ready, nil
}

func (b *bench) restFor() time.Duration {
	if b.o.quick {
		return 2 * time.Second
	}
	return restLength
}

// fanOutCells are events that nobody, one and all of the targets want. Those that want something
// else name it exactly; a row each is about patterns, which have to be compared one by one.
func fanOutCells(numbers []int) (cells []cell) {
	for want := range 2 {
		c := withTargets(want)
		for _, n := range numbers {
			c.others = n - want
			cells = append(cells, c)
		}
		c.pattern = true
		cells = append(cells, c)
	}
	for _, n := range append([]int{10}, numbers...) {
		c := withTargets(n)
		c.rate = deliveriesWanted / n
		c.conns = min(c.conns, c.rate)
		cells = append(cells, c)
	}
	return cells
}

// fanOut measures them.
func (b *bench) fanOut(r *report, numbers []int) (sheet, error) {
	t := sheet{Title: "the cost of an event", Columns: []string{"load", "wanted by", "of targets",
		"the others'", "accepted/s", "accept p50 ms", "p99 ms", "delivered/s", "CPU µs/event",
		"CPU µs/delivery", "RSS MiB", "RssAnon MiB"}}
	cells := fanOutCells(numbers)
	results, err := b.rounds(cells)
	if err != nil {
		return t, err
	}
	alone, worst := 0.0, 0.0
	for i, c := range cells {
		f := median(results[i])
		load, events := "64 connections", "names"
		if c.rate > 0 {
			load = fmt.Sprintf("%d/s", c.rate)
		}
		if c.pattern {
			events = "patterns"
		}
		var each any
		switch {
		case c.targets > 0:
			each = f.CPU / float64(c.targets)
		case c.others == 1:
			alone = f.CPU
		default:
			worst = max(worst, f.CPU)
		}
		t.add(load, float64(c.targets), float64(c.targets+c.others), events, f.Accepted, f.P50,
			f.P99, f.Delivered, f.CPU, each, f.Resident, f.Anon)
	}
	r.score(goalUnwantedCost, over(worst, alone))
	return t, nil
}
