package spooltest

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// receipts: whatever succeeded at once tells when, with which status and how long it took, after a
// crash at any time, while another delivery does not end, and for as long as the event is kept;
// then nothing of it is left.
func receipts(j *journey) {
	const many = 300
	batch := func(n int, names ...string) {
		drafts := make([]*spool.Draft, n)
		for i := range drafts {
			drafts[i] = j.draft(names...)
		}
		j.append(drafts...)
	}
	// What does not end stands before all that succeeds.
	batch(1, "a", "b")
	batch(many, "a")
	seqs := j.fetchAll("a")
	for i, seq := range seqs[1:] {
		j.nanos.Add(int64(3 * time.Millisecond))
		if i == many-10 { // which has the lane's record written
			j.settle("a", seq, spool.Retry)
			continue
		}
		j.settle("a", seq, spool.Delivered)
	}
	j.check()
	j.reopen()
	j.check()
	j.fetchAll("a")
	j.settle("a", seqs[0], spool.Delivered)
	batch(many/3, "a", "c")
	for i, seq := range j.fetchAll("a") {
		j.settle("a", seq, []spool.Verdict{spool.Delivered, spool.Delivered, spool.Retry}[i%3])
	}
	if j.left() == 0 {
		j.Error("no receipt has left the record of its lane")
	}
	j.crash()
	j.check()
	j.job("a", always(spool.Delivered))
	for _, seq := range j.fetchAll("a") {
		j.settle("a", seq, spool.Delivered)
	}
	j.reopen()
	// Lane b holds the first event, and lane c the last ones.
	j.pass(keepDelivered + time.Minute)
	j.check()
	held := j.ledger.lanes["c"].in((*delivery).isFresh)
	j.drain()
	j.reopen()
	j.pass(2*keepDelivered + time.Minute)
	j.pass(11 * time.Minute)
	j.gone(j.ledger.events[seqs[0]], j.ledger.events[seqs[1]], j.ledger.events[held[0]])
	if n := j.left(); n > 0 {
		j.Errorf("%d records are left of deliveries whose events are gone", n)
	}
}

// receiptsCutOff: wherever a crash cuts off a run of deliveries, each of them is delivered and has
// its receipt, or comes again and has none.
func receiptsCutOff(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	for k := 1; deliverUntil(begin(tb, newBed(tb), "a"), k, false); k++ {
		deliverUntil(begin(tb, newBed(tb), "a"), k, true)
	}
}

// deliverUntil delivers, and lets the k-th commit fail; false: there were not so many.
func deliverUntil(j *journey, k int, kept bool) (cut bool) {
	j.Helper()
	const many, failing = 120, 30
	drafts := make([]*spool.Draft, many)
	for i := range drafts {
		drafts[i] = j.draft("a")
	}
	j.append(drafts...)
	j.bed.FailCommit(k, kept)
	for i, seq := range j.fetchAll("a") {
		j.nanos.Add(int64(time.Millisecond))
		if i%failing != failing-1 {
			j.settle("a", seq, spool.Delivered)
			continue
		}
		st := j.outcome("a", seq, spool.Retry)
		err := j.Apply(spool.Change{Settle: []spool.Settlement{st}})
		if err == nil {
			j.ledger.lanes["a"].deliveries[seq].settle(&st)
			continue
		}
		cut = true
		j.kill()
		j.restart()
		if e, err := look.Event(j.Records(), seq); err != nil {
			j.Fatal(err)
		} else if j.places(e)["a"].Attempts > 0 { // it was written
			j.ledger.lanes["a"].deliveries[seq].settle(&st)
		}
		break
	}
	if !cut { // or what failed was a checkpoint
		j.kill()
		j.restart()
	}
	j.recall()
	j.check()
	j.reopen()
	j.check()
	j.drain()
	return cut
}

// left counts what is kept of attempts and successes beside the records of lanes.
func (j *journey) left() (n int) {
	j.Helper()
	look := j.Records().Look()
	defer look.Close()
	for _, prefix := range []byte{record.PrefixHistory, record.PrefixReceipts} {
		err := engine.Scan(look, []byte{prefix}, nil, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
		if err != nil {
			j.Fatal(err)
		}
	}
	return n
}
