package main

import (
	"time"
)

const sliceLength = 5 * time.Second

// sustained presses one relay for long and watches whether it stays as fast, and whether what it
// accepts is delivered as fast as it comes.
func (b *bench) sustained(r *report) ([]sheet, error) {
	c := withTargets(b.o.targets)
	pairs := pairsOf(c.on(bare), c.on(floor))
	if err := b.measureBefore(pairs); err != nil {
		return nil, err
	}
	rx, s, err := b.start(c)
	if err != nil {
		return nil, err
	}
	defer rx.stop()
	defer s.stop()
	p := &probe{rx: rx, s: s, load: startLoad(s.address, c)}
	time.Sleep(warmUp)
	p.load.measured.Store(true)
	peak := startSampler(s.pid())
	before := usageOf(s.pid())
	n := max(int(b.o.long/sliceLength), 1)
	slices, err := p.slices(n, min(sliceLength, b.o.long), nil)
	used := usageOf(s.pid()).since(before)
	p.load.end()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	drained, err := s.drained(drainWithin)
	if err != nil {
		return nil, err
	}
	left := time.Since(began)
	sums := newFacts("one relay, pressed for " + b.o.long.String())
	most := peak.end()
	sums.addMemory("", most)
	s.stop()
	if err := b.measureAfter(pairs); err != nil {
		return nil, err
	}
	accepted := meanOf(slices, acceptedOf)
	delivered := meanOf(slices, deliveredOf)
	carried := min(accepted, delivered/float64(c.targets))
	events := max(accepted*slices[len(slices)-1].Until, 1)
	of1 := over(carried, pairs[0].mean(acceptRate))
	growing := growth(slices)
	sums.add("accepted", accepted, "/s")
	sums.add("delivered", delivered, "/s")
	sums.add("accepted and delivered, of F1", of1, "")
	sums.add("accepted and delivered, of F2", over(carried, pairs[1].mean(acceptRate)), "")
	sums.add("slowest slice, accepted, of the mean", slowest(slices)/max(accepted, 1), "")
	sums.add("growth of the backlog, of what is accepted", growing, "")
	sums.add("time to deliver the rest", seconds(left, drained), "s")
	sums.add("CPU per event", float64(used.cpu.Microseconds())/events, "µs")
	sums.add("bytes written per payload byte", float64(used.written)/events/float64(c.size), "")
	if c.targets == 1 {
		r.score(goalSustained, of1)
		r.score(goalGrowth, growing)
		r.score(goalSlowest, slowest(slices)/max(accepted, 1))
		r.score(goalLongWritten, float64(used.written)/events/float64(c.size))
		r.score(goalLongMemory, most.Anon)
	}
	return []sheet{pairSheet(pairs), sliceSheet("slices", slices), sums}, nil
}

// growth is the slope of the backlog between the first and the last third, as a share of what was
// accepted meanwhile. The first third alone may fill pipes that stay full.
func growth(slices []slice) float64 {
	third := len(slices) / 3
	if third == 0 {
		return 0
	}
	first, last := slices[:third], slices[len(slices)-third:]
	lasted := meanOf(last, untilOf) - meanOf(first, untilOf)
	grown := meanOf(last, pendingOf) - meanOf(first, pendingOf)
	return max(grown/max(lasted*meanOf(slices, acceptedOf), 1), 0)
}

func untilOf(s slice) float64 { return s.Until }

func slowest(slices []slice) float64 {
	low := slices[0].Accepted
	for _, s := range slices {
		low = min(low, s.Accepted)
	}
	return low
}

// seconds of something that ended, or nothing.
func seconds(d time.Duration, ended bool) any {
	if !ended {
		return nil
	}
	return d.Seconds()
}

func (t *sheet) addMemory(when string, m memory) {
	t.add("RSS"+when, m.Resident, "MiB")
	t.add("RssAnon"+when, m.Anon, "MiB")
	t.add("RssFile"+when, m.File, "MiB")
	t.add("VmHWM"+when, m.Peak, "MiB")
}
