package line

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// bench is a spool that a test sees into. What is settled is written at the next Barrier.
type bench struct {
	t       *testing.T
	beside  map[uint64]uint64 // order of each sequence that stands beside the log
	written map[uint64]uint64
	log     int // deliveries in the log
}

func (b *bench) Stands(order uint64) bool { return len(b.seqs(order)) > 0 }

func (b *bench) seqs(order uint64) (seqs []uint64) {
	for seq, o := range b.written {
		if o == order {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

func (b *bench) First(order, _, except uint64) (*spool.Delivery, error) {
	for _, seq := range b.seqs(order) {
		if seq != except {
			return &spool.Delivery{Event: &spool.Event{Seq: seq}, Order: order}, nil
		}
	}
	return nil, nil
}

func (b *bench) Counts() spool.Counts {
	return spool.Counts{Pending: uint64(len(b.beside) + b.log), Fresh: uint64(b.log)}
}

func (b *bench) Barrier() {
	b.written = map[uint64]uint64{}
	for seq, order := range b.beside {
		b.written[seq] = order
	}
}

func (b *bench) Settle(st spool.Settlement) {
	if st.Fresh {
		b.log--
	}
	if st.Verdict.Pending() {
		b.beside[st.Seq] = st.Order
	} else {
		delete(b.beside, st.Seq)
	}
}

// TestModel lets deliveries of a few orders come, succeed, fail and be tried again as chance has it.
// Of each order one is tried at a time, in the order of their coming, and in the end all are.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { model(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// flight is an attempt under way.
type flight struct {
	seq   uint64
	order uint64
	fresh bool
}

type play struct {
	*bench
	q      *Lines
	rng    *rand.Rand
	flying []flight
	done   map[uint64][]uint64
	next   uint64
}

func model(t *testing.T, rng *rand.Rand) {
	b := &bench{t: t, beside: map[uint64]uint64{}, written: map[uint64]uint64{}}
	p := &play{bench: b, rng: rng, done: map[uint64][]uint64{}, q: New(Options{Lane: b, Now: time.Now,
		Tick: func() uint64 { return 0 }, Log: slog.Default()})}
	const events = 60
	for p.next < events || len(p.flying) > 0 || len(b.beside) > 0 {
		switch what := rng.IntN(10); {
		case what < 4 && p.next < events:
			p.come()
		case what < 8 && len(p.flying) > 0:
			p.land(p.next == events || rng.IntN(3) > 0)
		case what == 8:
			b.Barrier()
		default:
			p.job()
		}
		if t.Failed() {
			return
		}
	}
	for order, seqs := range p.done {
		if order != 0 && !slices.IsSorted(seqs) {
			t.Errorf("order %d was delivered as %v", order, seqs)
		}
	}
	if n := len(p.done[0]) + len(p.done[2]) + len(p.done[3]) + len(p.done[4]); n != events {
		t.Errorf("%d were delivered", n)
	}
}

func orderOf(e *spool.Event) uint64 {
	if o := e.Seq * 7 % 5; o > 1 {
		return o
	}
	return 0
}

// come is one fresh delivery.
func (p *play) come() {
	p.next++
	p.log++
	given := false
	e, order := p.q.Take(1, func() *spool.Event {
		if given {
			return nil
		}
		given = true
		return &spool.Event{Seq: p.next}
	}, orderOf)
	if e != nil {
		p.fly(flight{e.Seq, order, true})
	}
}

func (p *play) fly(f flight) {
	for _, other := range p.flying {
		if f.order != 0 && f.order == other.order {
			p.t.Errorf("%d and %d of order %d are tried at once", f.seq, other.seq, f.order)
		}
	}
	for seq, order := range p.beside {
		if f.order != 0 && order == f.order && seq < f.seq {
			p.t.Errorf("%d is tried while %d of its order is pending", f.seq, seq)
		}
	}
	p.flying = append(p.flying, f)
}

// land ends an attempt.
func (p *play) land(good bool) {
	i := p.rng.IntN(len(p.flying))
	f := p.flying[i]
	p.flying = slices.Delete(p.flying, i, i+1)
	st := spool.Settlement{Seq: f.seq, Fresh: f.fresh, Order: f.order, Verdict: spool.Retry}
	if good {
		st.Verdict = spool.Delivered
		p.done[f.order] = append(p.done[f.order], f.seq)
	}
	p.Settle(st)
	place := Place{Order: f.order, Tenure: 1}
	if f.order == 0 {
		return
	}
	if !good {
		p.q.Hold(place)
		return
	}
	goes := func() bool { return p.rng.IntN(4) > 0 }
	if next := p.q.GoOn(place, 0, goes, goes); next != nil {
		p.fly(flight{next.Event.Seq, f.order, next.Fresh})
	}
}

// job tries what stands beside the log.
func (p *play) job() {
	p.Barrier()
	seen := map[uint64]bool{}
	var seqs []uint64
	for seq := range p.written {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		order := p.written[seq]
		flying := slices.ContainsFunc(p.flying, func(f flight) bool { return f.seq == seq })
		if flying || seen[order] && order != 0 {
			continue
		}
		seen[order] = true
		if order == 0 {
			p.fly(flight{seq, 0, false})
		} else if d := p.q.Head(Place{Order: order, Tenure: 1}, 0); d != nil {
			p.fly(flight{d.Event.Seq, order, false})
		}
	}
}
