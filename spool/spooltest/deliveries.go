package spooltest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// The cases about deliveries: what becomes of an event for each target.

// failAll lets a lane fail n new events; the sequences are returned.
func (j *journey) failAll(name string, n int) []uint64 {
	j.Helper()
	for range n {
		j.append(j.draft(name))
	}
	seqs := j.fetchAll(name)
	for _, seq := range seqs {
		j.settle(name, seq, spool.Retry)
	}
	return seqs
}

// tickSnapshot: a tick takes what failed before it began. What fails while it is read, fresh or
// again, is due at a later one, and what is settled or purged meanwhile is not handed out.
func tickSnapshot(j *journey) {
	seqs := j.failAll("a", 9)
	j.append(j.draft("a"), j.draft("a"))
	j.fetchAll("a")
	flying := j.ledger.lanes["a"].in((*delivery).isFlying)
	n := 0
	j.job("a", func(x spool.Delivery) (spool.Verdict, bool) {
		if n++; n == 3 {
			j.settle("a", flying[0], spool.Retry)
			j.settle("a", flying[1], spool.Withheld)
		}
		return spool.Retry, x.Event.Seq != seqs[4]
	})
	j.check()
	tick := j.beat()
	if got := j.dueAt("a", tick); len(got) != len(seqs)+2 {
		j.Errorf("%v are due at the next tick; want %v and %v", got, seqs, flying)
	}
	j.crash()
	due := j.lane("a").Due(tick)
	first, err := due.Next(2)
	if err != nil || len(first) != 2 {
		j.Fatalf("%d are due, %v; want 2", len(first), err)
	}
	j.settle("a", seqs[2], spool.Delivered)
	j.purge("a", spool.StatePending, seqs[3])
	for page := first; len(page) > 0; page, err = due.Next(2) {
		for _, x := range page {
			if x.Event.Seq == seqs[2] || x.Event.Seq == seqs[3] {
				j.Errorf("event %d is due after it was settled", x.Event.Seq)
			}
		}
	}
	if err != nil {
		j.Fatal(err)
	}
}

// dueAt is what a tick may take.
func (j *journey) dueAt(name string, tick uint64) (seqs []uint64) {
	j.Helper()
	due := j.lane(name).Due(tick)
	for {
		page, err := due.Next(4)
		if err != nil {
			j.Fatal(err)
		}
		if len(page) == 0 {
			return seqs
		}
		for _, x := range page {
			seqs = append(seqs, x.Event.Seq)
		}
	}
}

// attempts: the number of an attempt is one more than those that were made, whatever came between.
func attempts(j *journey) {
	j.append(j.draft("a", "b"), j.draft("a"), j.draft("a"))
	seqs := j.fetchAll("a")
	j.settle("a", seqs[0], spool.Retry)
	j.settle("a", seqs[1], spool.Withheld)
	j.settle("a", seqs[2], spool.Exhausted)
	for i := range 6 {
		j.check()
		if i%2 == 0 {
			j.crash()
		} else {
			j.reopen()
		}
		j.check()
		j.job("a", func(x spool.Delivery) (spool.Verdict, bool) {
			if i == 3 {
				return spool.Withheld, true
			}
			return spool.Retry, x.Event.Seq != seqs[1] || i > 1
		})
	}
	j.job("a", always(spool.Exhausted))
	j.crash()
}

// failureOrder: what failed comes oldest event first, in whatever order it failed, and after it
// failed again.
func failureOrder(j *journey) {
	for range 5 {
		j.append(j.draft("a", "b"), j.draft("b"))
	}
	seqs := j.fetchAll("a")
	for _, i := range []int{3, 0, 4, 2, 1} {
		j.settle("a", seqs[i], spool.Retry)
		j.failAll("b", 2)
	}
	for range 3 {
		j.job("a", func(x spool.Delivery) (spool.Verdict, bool) {
			return spool.Retry, x.Event.Seq%3 > 0
		})
		j.job("b", always(spool.Withheld))
		j.crash()
		j.check()
	}
	if p, ok := j.lane("a").OldestPending(); !ok || p.Seq != seqs[0] {
		j.Errorf("the oldest pending delivery is %d, %v; want %d", p.Seq, ok, seqs[0])
	}
}

// jobEnds: the last outcome of a job, the standing it led to, the notice that is owed for it and
// the memo are there after a crash all together or not at all.
func jobEnds(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	for i := range 4 {
		j := begin(tb, newBed(tb), "a", "b")
		seq := j.failAll("a", 3)[1]
		j.job("a", func(spool.Delivery) (spool.Verdict, bool) { return 0, false })
		j.bed.FailCommit(1+i/2, i%2 == 0)
		standing := spool.Standing{FailedJobs: 101 + i, DefectiveSince: j.now(), Held: i > 1}
		id, st := j.lane("a").ID(), j.outcome("a", seq, spool.Exhausted)
		err := j.Apply(spool.Change{Settle: []spool.Settlement{st}, Standing: &standing,
			StandingOf: id, Owe: []spool.Notice{{Lane: id, Episode: 7, Way: 1, Body: []byte("owed")}},
			Memos: []spool.Memo{{Lane: id, Body: []byte("warned")}}})
		j.kill()
		j.restart()
		if written := j.lane("a").Standing() == standing; err == nil || written {
			j.ledger.lanes["a"].deliveries[seq].settle(&st)
			j.ledger.lanes["a"].standing = standing
			j.ledger.notices[noticeKey{id, 7, 1}] = "owed"
			j.ledger.memos[id] = "warned"
		}
		j.check()
		j.reopen()
		j.check()
		j.drain()
	}
}

// groups: changes that are written together, more than one transaction holds, are each there after
// a crash as a whole, and none without those before it.
func groups(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	for k := 1; groupCutOff(begin(tb, newBed(tb), "a"), k, false) < groupChanges; k++ {
		groupCutOff(begin(tb, newBed(tb), "a"), k, true)
	}
}

const groupChanges = 30

// groupCutOff lets the k-th commit of a group fail, and counts the changes that were answered.
func groupCutOff(j *journey, k int, kept bool) (written int) {
	j.Helper()
	id := j.lane("a").ID()
	var waits []func() error
	d := j.draft("a")
	d.Note.(*note).visit = func(*spool.View) { // the committer is busy, so they wait
		body := make([]byte, j.bed.TxnBytes()/20)
		for i := range uint64(groupChanges) {
			waits = append(waits, j.Begin(spool.Change{StandingOf: id,
				Standing: &spool.Standing{FailedJobs: int(i) + 1},
				Owe:      []spool.Notice{{Lane: id, Episode: i, Body: body}},
				Memos:    []spool.Memo{{Lane: id, Body: []byte(fmt.Sprint(i + 1))}}}))
		}
	}
	j.bed.FailCommit(1+k, kept) // after the one of the event
	j.append(d)
	for _, wait := range waits {
		if wait() == nil {
			written++
		}
	}
	j.kill()
	j.restart()
	n := j.lane("a").Standing().FailedJobs
	notices, err := j.Notices()
	memo, merr := j.Memo(id)
	if err != nil || merr != nil || n < written || len(notices) != n ||
		n > 0 && string(memo) != fmt.Sprint(n) {
		j.Fatalf("cut off at commit %d: %d of %d changes were answered; %d are in the standing, %d "+
			"notices are owed, the memo is %q; %v, %v", k, written, groupChanges, n, len(notices), memo,
			err, merr)
	}
	return written
}

// owe changes what is owed to the operator and noted.
func (j *journey) owe(c spool.Change) {
	j.Helper()
	if err := j.Apply(c); err != nil {
		j.Fatal(err)
	}
	for _, n := range c.Owe {
		j.ledger.notices[noticeKey{n.Lane, n.Episode, n.Way}] = string(n.Body)
	}
	for _, n := range c.Paid {
		delete(j.ledger.notices, noticeKey{n.Lane, n.Episode, n.Way})
	}
	for _, m := range c.Memos {
		j.ledger.memos[m.Lane] = string(m.Body)
	}
	if c.Standing != nil {
		j.ledger.lanes[j.NameOf(c.StandingOf)].standing = *c.Standing
	}
	j.check()
}

// notices: what is owed is owed until it is paid, each way by itself; memos and standings are what
// was written last.
func notices(j *journey) {
	a, b := j.lane("a").ID(), j.lane("b").ID()
	notice := func(id spool.LaneID, episode uint64, way uint8) spool.Notice {
		return spool.Notice{Lane: id, Episode: episode, Way: way,
			Body: []byte(fmt.Sprint(id, episode, way))}
	}
	j.owe(spool.Change{Owe: []spool.Notice{notice(b, 1, 0), notice(a, 2, 1), notice(a, 2, 0)},
		Standing: &spool.Standing{FailedJobs: 3, Held: true}, StandingOf: b,
		Memos: []spool.Memo{{Lane: a, Body: []byte("one")}, {Lane: b, Body: []byte("two")}}})
	j.crash()
	j.check()
	j.owe(spool.Change{Owe: []spool.Notice{notice(spool.SpoolItself, 9, 0)},
		Paid:  []spool.Notice{notice(a, 2, 0)},
		Memos: []spool.Memo{{Lane: spool.SpoolItself, Body: []byte("three")}}})
	j.crash()
	j.check()
	j.owe(spool.Change{Paid: []spool.Notice{notice(a, 2, 1), notice(b, 1, 0)},
		Memos: []spool.Memo{{Lane: a}}, Standing: &spool.Standing{}, StandingOf: b})
	j.reopen()
	j.check()
	j.crash()
}

// replays: an exhausted delivery, or one that is done, is pending again with attempts of its own;
// it is due at once, over a crash as well.
func replays(j *journey) {
	j.append(j.draft("a", "b"), j.draft("a"), j.draft("a", "c"))
	seqs := j.fetchAll("a")
	j.settle("a", seqs[0], spool.Exhausted)
	j.settle("a", seqs[1], spool.Delivered)
	j.settle("a", seqs[2], spool.Retry)
	j.replay("b", seqs[0]) // still on its way
	for _, seq := range seqs {
		j.replay("a", seq)
		j.check()
		j.crash()
		j.check()
		j.replay("a", seq)
	}
	j.job("a", always(spool.Retry))
	j.job("a", always(spool.Exhausted))
	j.replay("a", seqs[0])
	j.pass(keepDelivered + time.Minute)
	j.check()
	j.job("a", always(spool.Delivered))
	if _, err := j.Replay(spool.Ref{Lane: j.lane("c").ID(), Seq: seqs[0]}); !errors.Is(err,
		spool.ErrNotFound) {
		j.Errorf("a delivery that was never owed was replayed: %v", err)
	}
}

// purges: a delivery that was deleted by hand never comes again, wherever it was: on its way,
// handed out, failed or exhausted.
func purges(j *journey) {
	for range 8 {
		j.append(j.draft("a", "b"))
	}
	var seqs []uint64
	for _, e := range j.fetch("a", 6) {
		seqs = append(seqs, e.Seq)
	}
	j.settle("a", seqs[0], spool.Retry)
	j.settle("a", seqs[1], spool.Retry)
	j.settle("a", seqs[2], spool.Exhausted)
	j.settle("a", seqs[3], spool.Exhausted)
	j.purge("a", spool.StatePending, seqs[1])
	j.purge("a", spool.StateExhausted, seqs[2])
	j.purge("a", spool.StatePending, seqs[5]) // handed out
	j.purge("a", spool.StatePending, seqs[5]+2)
	j.check()
	for _, restart := range []func(){j.crash, j.reopen} {
		restart()
		j.check()
		j.replay("a", seqs[2])
	}
	j.purge("b", spool.StatePending, 0)
	j.crash()
	j.check()
	for _, name := range []string{"a", "b"} {
		for _, seq := range j.fetchAll(name) {
			j.settle(name, seq, spool.Delivered)
		}
	}
	j.purge("a", spool.StatePending, 0)
	j.purge("a", spool.StateExhausted, 0)
	j.reopen()
	j.pass(keepDelivered + time.Minute)
	j.check()
	j.gone(j.ledger.events[seqs[0]], j.ledger.events[seqs[4]])
}

// gone wants events to be swept.
func (j *journey) gone(events ...*event) {
	j.Helper()
	for _, e := range events {
		if _, err := look.Event(j.Records(), e.seq); !errors.Is(err, spool.ErrNotFound) {
			j.Errorf("event %d is still there after a sweep: %v", e.seq, err)
		}
	}
}

// handOver: a lane that another one takes over hands out again what was fetched and not settled,
// and nothing else.
func handOver(j *journey) {
	for i := range 12 {
		j.append(j.draft("a", "b"))
		if i == 6 {
			j.lane("a").Open(false)
		}
	}
	for i, restart := range []func(){func() {}, j.reopen, j.crash, j.reopen} {
		restart()
		j.lane("a").Open(true)
		var seqs []uint64
		for _, e := range j.fetch("a", 5) {
			seqs = append(seqs, e.Seq)
		}
		if len(seqs) < 2 {
			break
		}
		j.settle("a", seqs[0], spool.Delivered)
		j.settle("a", seqs[len(seqs)-1], spool.Retry)
		j.release("a", seqs[1])
		j.check()
		j.lane("a").Open(i%2 == 0)
		j.append(j.draft("a"))
		j.check()
	}
	// What succeeded above one that is still in flight.
	events := j.fetch("b", 6)
	for _, e := range events[2:5] {
		j.settle("b", e.Seq, spool.Delivered)
	}
	j.settle("b", events[5].Seq, spool.Exhausted)
	j.reopen()
	j.check()
	if got := j.fetch("b", 2); len(got) < 1 || got[0].Seq != events[0].Seq {
		j.Errorf("lane b goes on with %d deliveries; want event %d again", len(got), events[0].Seq)
	}
}

// retention: a sweep at any time deletes nothing that is owed; what was exhausted stays for its
// time, and what nobody needs any more goes.
func retention(j *journey) {
	var last uint64
	for range 10 {
		j.append(j.draft("a", "b"), j.draft("a"))
		last = j.Head()
	}
	for n, seq := range j.fetchAll("a") {
		j.settle("a", seq, []spool.Verdict{spool.Delivered, spool.Retry, spool.Exhausted,
			spool.Delivered}[n%4])
	}
	j.pass(10 * keepDelivered / 24)
	j.check()
	j.reopen() // everything is in the records of the lanes
	j.pass(keepDelivered)
	j.check()
	for _, seq := range j.fetchAll("b") {
		j.settle("b", seq, spool.Delivered)
	}
	j.reopen()
	j.pass(time.Minute)
	j.check()
	j.job("a", always(spool.Delivered)) // events that the sweep has passed are released
	j.reopen()
	j.pass(keepDelivered + time.Minute)
	j.check()
	j.crash()
	j.pass(keepExhausted)
	j.check()
	j.pass(time.Minute)
	j.check()
	for _, e := range j.ledger.events {
		if e.seq <= last {
			j.gone(e)
		}
	}
	j.append(j.draft("a", "b"))
	j.crash()
}

// history: the attempts that failed are told after a crash as they were, the first and the last.
func history(j *journey) {
	seq := j.failAll("a", 2)[0]
	want := []int{0}
	for i := range 3 {
		j.pass(time.Second)
		j.job("a", always(spool.Retry))
		want = append(want, i+1)
	}
	for _, restart := range []func(){func() {}, j.crash, j.reopen} {
		restart()
		recent, _ := j.lane("a").Recent(0)
		list, err := look.History(j.Records(), spool.Ref{Lane: j.lane("a").ID(), Seq: seq}, recent)
		if err != nil {
			j.Fatal(err)
		}
		var got []int
		for _, a := range list {
			got = append(got, a.Number)
			if a.Status != 500 || a.Error == "" || a.Seq != seq {
				j.Errorf("attempt %d of event %d is %+v", a.Number, seq, a)
			}
		}
		if !slices.Equal(got, want) {
			j.Errorf("the history of event %d has attempts %v; want %v", seq, got, want)
		}
	}
}

// forgets: a target that owes nothing is forgotten with what was known of it; one of its name is
// another, to which nothing old is owed.
func forgets(j *journey) {
	j.failAll("c", 3)
	if err := j.Forget(j.lane("c")); !errors.Is(err, spool.ErrOwing) {
		j.Errorf("a target that owes was forgotten: %v", err)
	}
	j.append(j.draft("a", "c"))
	j.fetchAll("c")
	j.purge("c", spool.StatePending, 0)
	id := j.lane("c").ID()
	j.owe(spool.Change{Memos: []spool.Memo{{Lane: id, Body: []byte("noted")}},
		Owe: []spool.Notice{{Lane: id, Episode: 1, Body: []byte("owed")}}})
	j.lane("c").Open(false)
	if err := j.Forget(j.lane("c")); err != nil {
		j.Fatal(err)
	}
	if memo, err := j.Memo(id); err != nil || memo != nil {
		j.Errorf("the memo of a forgotten target is %q, %v", memo, err)
	}
	j.dropLane("c", id)
	j.check()
	j.crash()
	j.check()
	j.addLane("c")
	if now := j.lane("c").ID(); now == id {
		j.Errorf("lane number %d was given again", id)
	}
	j.append(j.draft("c", "b"))
	j.check()
	j.reopen()
	j.check()
}

// dropLane takes a forgotten lane out of the ledger.
func (j *journey) dropLane(name string, id spool.LaneID) {
	j.names = slices.DeleteFunc(j.names, func(n string) bool { return n == name })
	delete(j.ledger.lanes, name)
	delete(j.ledger.memos, id)
	for key := range j.ledger.notices {
		if key.lane == id {
			delete(j.ledger.notices, key)
		}
	}
	for seq, e := range j.ledger.events {
		delete(e.owed, name)
		if len(e.owed) == 0 {
			delete(j.ledger.events, seq)
		}
	}
}
