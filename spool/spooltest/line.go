package spooltest

import (
	"math"
	"slices"

	"github.com/hookspool/hookspool/spool"
)

// inLine: of the deliveries that have one order the oldest that is pending beside the log is found,
// whatever became of those before it, and however it came there.
func inLine(j *journey) {
	for range 9 {
		j.append(j.draft("a", "b"))
	}
	seqs := j.fetchAll("a")
	lane := j.ledger.lanes["a"]
	for i, seq := range seqs[:8] { // orders 1, 2, 0, in turn
		lane.deliveries[seq].order = uint64(i+1) % 3
	}
	j.settle("a", seqs[0], spool.Retry)
	j.settle("a", seqs[1], spool.Retry)
	for _, seq := range seqs[2:8] {
		j.settle("a", seq, spool.Held)
	}
	j.checkLines("a", 1, 2)
	j.crash()
	j.checkLines("a", 1, 2)

	j.leavesOut()

	j.settle("a", seqs[0], spool.Delivered)
	j.checkLines("a", 1, 2)
	j.settle("a", seqs[1], spool.Exhausted)
	j.checkLines("a", 1, 2)
	j.purge("a", spool.StatePending, seqs[3])
	j.checkLines("a", 1, 2)
	j.crash()
	j.checkLines("a", 1, 2)
	j.replayInOrder("a", seqs[1], 2)
	j.checkLines("a", 1, 2)
	j.crash()
	j.checkLines("a", 1, 2)
	// What is not due is first all the same.
	first, err := j.line("a", 2).First(0, 0)
	if err != nil || first == nil || first.Event.Seq != seqs[1] {
		j.Errorf("a replay is due at once: %+v, %v", first, err)
	}
	j.settle("a", seqs[1], spool.Retry)
	if first, err := j.line("a", 2).First(j.ledger.tick, 0); first != nil || err != nil {
		j.Errorf("the first is due later, and there is %+v, %v", first, err)
	}
	// One gets another order, while an attempt of before ends by its old one.
	moved := lane.in(func(d *delivery) bool { return d.isFailed() && d.order == 2 })
	lane.deliveries[moved[0]].order = 1
	j.settle("a", moved[0], spool.Held)
	j.checkLines("a", 1, 2)
	lane.deliveries[moved[0]].order = 2
	j.settle("a", moved[0], spool.Retry)
	lane.deliveries[moved[0]].order = 1
	j.checkLines("a", 1, 2)
	j.crash()
	j.checkLines("a", 1, 2)
	for _, seq := range seqs[1:8] {
		if lane.deliveries[seq].isFailed() {
			j.settle("a", seq, spool.Delivered)
			j.checkLines("a", 1, 2)
		}
	}
}

// leavesOut: a job that leaves out an order hears of no delivery of it.
func (j *journey) leavesOut() {
	j.Helper()
	lane := j.ledger.lanes["a"]
	due := j.lane("a").Due(j.beat())
	due.Skip = func(order uint64) bool { return order == 1 }
	var got []uint64
	for page, err := due.Next(3); len(page) > 0; page, err = due.Next(3) {
		if err != nil {
			j.Fatal(err)
		}
		for _, d := range page {
			got = append(got, d.Event.Seq)
			if want := lane.deliveries[d.Event.Seq].order; d.Order != want {
				j.Errorf("event %d has order %d; want %d", d.Event.Seq, d.Order, want)
			}
		}
	}
	if want := lane.in(func(d *delivery) bool { return d.isFailed() && d.order != 1 }); !slices.Equal(
		got, want) {
		j.Errorf("without order 1 there are due %v; want %v", got, want)
	}
}

func (j *journey) line(name string, order uint64) spool.Line {
	j.Helper()
	return spool.Line{Lane: j.lane(name), Order: order}
}

func (j *journey) replayInOrder(name string, seq, order uint64) {
	j.Helper()
	ref := spool.Ref{Lane: j.lane(name).ID(), Seq: seq}
	if n, err := j.ReplayInOrder([]spool.Ref{ref}, []uint64{order}); n != 1 || err != nil {
		j.Fatalf("replayed %d: %v", n, err)
	}
	d := j.ledger.lanes[name].deliveries[seq]
	*d = delivery{event: d.event, state: spool.StatePending, place: failed, replay: true, order: order}
}

// checkLines compares who is first of some orders, and who comes after, with the ledger.
func (j *journey) checkLines(name string, orders ...uint64) {
	j.Helper()
	for _, order := range orders {
		want := j.ledger.lanes[name].in(func(d *delivery) bool {
			return d.isFailed() && d.order == order
		})
		line := j.line(name, order)
		if got := line.Stands(); got != (len(want) > 0) {
			j.Errorf("order %d: somebody stands in line: %v; want %v", order, got, want)
		}
		want = append(want, 0, 0)
		for i, except := range []uint64{0, want[0]} {
			d, err := line.First(math.MaxUint64, except)
			if err != nil {
				j.Fatal(err)
			}
			if d == nil && want[i] != 0 || d != nil && d.Event.Seq != want[i] {
				j.Errorf("order %d: without %d the first is %+v; want %d", order, except, d, want[i])
			}
		}
	}
}
