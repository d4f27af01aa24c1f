package main

import (
	"time"
)

const (
	fullSpeed     = 0.9 // of the rate before
	recoverySlice = 250 * time.Millisecond
	recoverWithin = 20 * time.Second
	beforeSlices  = 6
)

// overload presses a relay with far more than it can take, and looks whether it refuses quickly,
// keeps its memory, loses nothing, and is itself again soon afterwards. Its senders ask again at
// once when they are refused, so that the mean latency is the number of connections divided by the
// rate of answers, whoever answers: how quick a refusal is shows in how far it is below that.
func (b *bench) overload(r *report) ([]sheet, error) {
	c := withTargets(b.o.targets)
	rx, s, err := b.start(c)
	if err != nil {
		return nil, err
	}
	defer rx.stop()
	defer s.stop()
	o := &press{b: b, p: &probe{rx: rx, s: s}, c: c, facts: newFacts("overload")}
	before, err := o.before()
	if err != nil {
		return nil, err
	}
	during, err := o.press()
	if err != nil {
		return nil, err
	}
	after, err := o.after(r, before)
	if err != nil {
		return nil, err
	}
	if err := o.settle(r); err != nil {
		return nil, err
	}
	return []sheet{sliceSheet("before, 64 connections", before), sliceSheet("overload", during),
		sliceSheet("after, 64 connections", after), o.facts}, nil
}

// press is a relay under overload.
type press struct {
	b     *bench
	p     *probe
	c     cell
	facts sheet
	sent  uint64 // answers 200 of all loads so far
}

func (o *press) start(c cell) {
	o.p.load = startLoad(o.p.s.address, c)
	o.p.load.measured.Store(true)
}

func (o *press) end() {
	o.p.load.end()
	o.sent += o.p.load.accepted.Load()
}

// before is the relay's usual speed: long enough for its engine to have begun what it does all the
// time, as a young spool is faster.
func (o *press) before() ([]slice, error) {
	o.start(o.c)
	defer o.end()
	time.Sleep(warmUp)
	return o.p.slices(beforeSlices, max(o.b.o.window, time.Second), nil)
}

func (o *press) press() ([]slice, error) {
	c := o.c
	c.conns = o.b.o.conns
	peak := startSampler(o.p.s.pid())
	o.start(c)
	n := max(int(o.b.o.long/sliceLength), 1)
	slices, err := o.p.slices(n, min(sliceLength, o.b.o.long), nil)
	o.end()
	load := o.p.load
	o.facts.add("connections", float64(c.conns), "")
	o.facts.addMemory(" peak under overload", peak.end())
	refused, accepted := float64(load.refused.Count.Load()), float64(load.accepted.Load())
	o.facts.add("refused by 503, of all answers", over(refused, refused+accepted), "")
	o.facts.add("of these without Retry-After", float64(load.bare503.Load()), "")
	o.facts.add("503 p50", milliseconds(load.refused.quantile(0.5)), "ms")
	o.facts.add("503 p99", milliseconds(load.refused.quantile(0.99)), "ms")
	o.facts.add("other failures", float64(load.failed.Load()), "")
	return slices, err
}

// after measures how long it takes until events are accepted and delivered as fast as before.
func (o *press) after(r *report, before []slice) ([]slice, error) {
	wanted := fullSpeed * min(meanOf(before, acceptedOf), meanOf(before, deliveredOf))
	o.start(o.c)
	defer o.end()
	at := -1.0
	slices, err := o.p.slices(int(recoverWithin/recoverySlice), recoverySlice, func(s slice) bool {
		if at < 0 && min(s.Accepted, s.Delivered/float64(o.c.targets)) >= wanted {
			at = s.Until
		}
		return at >= 0 && s.Until > at+2
	})
	if at >= 0 {
		o.facts.add("until 0.9 of the speed before", at, "s")
		r.score(goalRecovery, at)
	} else {
		o.facts.add("until 0.9 of the speed before", nil, "s")
		r.score(goalRecovery, recoverWithin.Seconds())
	}
	return slices, err
}

// settle waits for the rest and compares the books.
func (o *press) settle(r *report) error {
	began := time.Now()
	drained, err := o.p.s.drained(2 * drainWithin)
	if err != nil {
		return err
	}
	o.facts.add("time to deliver the rest after that", seconds(time.Since(began), drained), "s")
	accepted, err := o.p.s.accepted()
	if err != nil {
		return err
	}
	sum, err := o.p.s.debts()
	if err != nil {
		return err
	}
	got, err := o.p.rx.received()
	if err != nil {
		return err
	}
	owed := accepted * float64(o.c.targets)
	o.facts.add("answered 200, as the senders counted", float64(o.sent), "")
	o.facts.add("accepted, as the relay counted", accepted, "")
	o.facts.add("deliveries owed", owed, "")
	o.facts.add("delivered, as the relay counted", sum.delivered, "")
	o.facts.add("arrived, as the targets counted", float64(got.Total), "")
	r.score(goalLost, max(owed-min(sum.delivered, float64(got.Total)), float64(o.sent)-accepted, 0))
	return nil
}
