package spooltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// The cases about events: from the draft into the log and out of it.

// acknowledged: what was answered is there after a crash and after a clean end, byte for byte, and
// goes to whom it was owed; what was settled in a write stays settled.
func acknowledged(j *journey) {
	for i := range 4 {
		j.append(j.draft("a", "b"))
		j.append(j.draft("b"), j.draft("a", "c"), j.draft("c"))
		j.append(j.draft()) // nobody wants it
		j.check()
		for n, seq := range j.fetchAll("a") {
			j.settle("a", seq, []spool.Verdict{spool.Delivered, spool.Retry, spool.Exhausted}[n%3])
			j.check()
		}
		j.fetch("b", 2)
		if i%2 == 0 {
			j.crash()
		} else {
			j.reopen()
		}
		j.check()
	}
}

// given gives a draft an id of its app.
func given(d *spool.Draft, id string) *spool.Draft {
	d.ID, d.Given = id, true
	return d
}

// again is the same draft, sent once more.
func (j *journey) again(d *spool.Draft) *spool.Draft {
	return &spool.Draft{ID: d.ID, Given: true, Type: d.Type, ContentType: d.ContentType,
		Payload: d.Payload, Hash: sha256.Sum256(d.Payload), At: j.now(),
		Note: &note{owe: d.Note.(*note).owe}}
}

// repeats sends a draft again: it is a duplicate of what was spooled before.
func (j *journey) repeats(d *spool.Draft) {
	j.Helper()
	twice := j.again(d)
	j.append(twice)
	if !twice.Duplicate || twice.Seq != d.Seq {
		j.Errorf("event %d was sent again and became %d, duplicate %v", d.Seq, twice.Seq,
			twice.Duplicate)
	}
}

// conflicts sends other payloads under ids that were accepted: nothing of that is spooled.
func (j *journey) conflicts(drafts []*spool.Draft, want ...int) {
	j.Helper()
	head := j.Head()
	var conflict *spool.ConflictError
	err := j.Append(drafts...)
	if !errors.As(err, &conflict) || fmt.Sprint(conflict.Indexes) != fmt.Sprint(want) {
		j.Errorf("got error %v; want a conflict at %v", err, want)
	}
	if j.Head() != head {
		j.Errorf("a refused append left events up to %d; the newest was %d", j.Head(), head)
	}
}

// dedupe: an id is accepted once within its window, over crashes and restarts.
func dedupe(j *journey) {
	first := given(j.draft("a", "b"), "id-1")
	unwanted := given(j.draft(), "id-2")
	j.append(first)
	j.append(unwanted)
	for _, restart := range []func(){func() {}, j.crash, j.reopen} {
		restart()
		j.repeats(first)
		j.repeats(unwanted)
		j.conflicts([]*spool.Draft{j.draft("a"), given(j.draft("a"), "id-1")}, 1)
		j.check()
	}
	j.pass(dedupeWindow - time.Minute)
	j.repeats(first)
	j.check()
	j.pass(2 * time.Minute)
	fresh := j.again(first)
	j.append(fresh)
	if fresh.Duplicate || fresh.Seq == first.Seq {
		j.Errorf("an id is remembered after its window")
	}
	j.crash()
	j.repeats(fresh)
}

// idsOfKept: an event is found by the id that its app gave as long as it is kept, however long ago
// others could have been a duplicate of it; over crashes and restarts. What nobody needs is not
// remembered for ever, and of two events with one id the newest is found.
func idsOfKept(j *journey) {
	failed, waiting := given(j.draft("a"), "id-failed"), given(j.draft("b"), "id-waiting")
	twice, gone := given(j.draft("b"), "id-twice"), given(j.draft("c"), "id-gone")
	j.append(gone)
	j.append(failed, waiting)
	j.append(twice)
	j.settle("a", j.fetch("a", 1)[0].Seq, spool.Retry)
	j.settle("c", j.fetch("c", 1)[0].Seq, spool.Delivered)
	j.reopen()
	find := func(d *spool.Draft) {
		j.Helper()
		if e, err := look.EventByID(j, d.ID); err != nil || e.Seq != d.Seq {
			j.Fatalf("event %d is not found by its id %q after %s: %v", d.Seq, d.ID, j.now().Sub(d.At), err)
		}
	}
	const steps, step, days = 30, 20 * time.Minute, 8
	for i := range steps + 2*days {
		if i < steps {
			j.pass(step)
		} else {
			j.pass(12 * time.Hour)
		}
		find(failed)
		find(waiting)
		find(twice)
		switch i {
		case steps / 2, steps + 3:
			j.crash()
		case steps, steps + 6:
			j.reopen()
		case steps - 1:
			twice = j.again(twice)
			j.append(twice)
		}
	}
	if ownClock := j.bed.Pass(0) == 0; !ownClock {
		return
	}
	if _, err := look.EventByID(j, "id-gone"); !errors.Is(err, spool.ErrNotFound) {
		j.Errorf("an event that nobody needs is found: %v", err)
	}
	if _, err := j.Records().Get(record.IDKey("id-gone")); !errors.Is(err, spool.ErrNotFound) {
		j.Errorf("the id of an event that nobody needs is remembered: %v", err)
	}
}

// dedupeInBatch: a batch is decided as if its events came one after the other.
func dedupeInBatch(j *journey) {
	one, two := given(j.draft("a"), "id-1"), given(j.draft("b"), "id-2")
	j.append(one, two)
	three := given(j.draft("a", "c"), "id-3")
	twice, before := j.again(three), j.again(one)
	j.append(three, twice, before, j.draft("b"))
	if !twice.Duplicate || twice.Seq != three.Seq || !before.Duplicate || before.Seq != one.Seq {
		j.Errorf("in a batch: %d again is %d, %d again is %d", three.Seq, twice.Seq, one.Seq, before.Seq)
	}
	j.conflicts([]*spool.Draft{given(j.draft("a"), "id-4"), given(j.draft("a"), "id-2"),
		given(j.draft("a"), "id-4")}, 1, 2)
	if _, err := look.EventByID(j, "id-4"); !errors.Is(err, spool.ErrNotFound) {
		j.Errorf("an event of a refused batch is there: %v", err)
	}
	j.crash()
	for _, d := range []*spool.Draft{one, two, three} {
		j.repeats(d)
	}
}

// madeID: the id of our answer names its event, also when its sender gives it as its own.
func madeID(j *journey) {
	d := j.draft("a", "b")
	j.append(d, j.draft("b"))
	for _, restart := range []func(){func() {}, j.crash, j.reopen} {
		restart()
		j.repeats(d)
		j.conflicts([]*spool.Draft{given(j.draft("a"), d.ID)}, 0)
		j.check()
	}
}

// wholes is a bed whose engine takes what is larger than a transaction in one all the same.
type wholes interface{ Whole() bool }

// batches: one that is larger than a transaction is there whole or not at all, whichever commit was
// the last, and a sender who repeats it gets each event once. So is a start that was cut off while
// it removed what was not answered.
func batches(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	for k := 1; ; k++ {
		if batchCutOff(tb, newBed(tb), k, k%2 == 0) && batchCutOff(tb, newBed(tb), k, k%2 == 1) {
			least := 3
			if w, ok := newBed(tb).(wholes); ok && w.Whole() {
				least = 1
			}
			if k < least {
				tb.Errorf("the batch was written in less than %d commits", least)
			}
			return
		}
	}
}

// large is a draft of so many bytes.
func (j *journey) large(bytesEach int, names ...string) *spool.Draft {
	d := j.draft(names...)
	d.Payload = append(bytes.Repeat([]byte{byte('a' + j.total%26)}, bytesEach), d.Payload...)
	d.Hash = sha256.Sum256(d.Payload)
	return given(d, fmt.Sprint("large-", j.total))
}

// batchCutOff lets the k-th commit fail; true: none did.
func batchCutOff(tb testing.TB, bed Bed, k int, kept bool) bool {
	tb.Helper()
	j := begin(tb, bed, "a", "b")
	j.append(j.draft("a", "b"))
	for _, seq := range j.fetchAll("a") {
		j.settle("a", seq, spool.Retry)
	}
	var batch []*spool.Draft
	for range 7 {
		batch = append(batch, j.large(bed.TxnBytes()*4/9, "a", "b"))
	}
	j.bed.FailCommit(k, kept)
	err := j.Append(batch...)
	if err == nil {
		for _, d := range batch {
			j.enter(d)
		}
		j.bed.FailCommit(0, false)
		j.crash()
	} else {
		j.kill()
		if k%2 == 0 {
			// The next start is cut off as well.
			j.bed.FailCommit(1+k/2, k%4 == 0)
			_ = j.tryOpen()
			j.kill()
		}
		j.restart()
		j.recall()
		j.resolve(batch)
	}
	for _, d := range batch {
		j.repeats(d)
	}
	j.drain()
	return err == nil
}

// resolve looks what became of a batch that was not answered, and sends it again if it is not
// there.
func (j *journey) resolve(batch []*spool.Draft) {
	j.Helper()
	found := 0
	for _, d := range batch {
		if _, err := look.EventByID(j, d.ID); err == nil {
			found++
		}
	}
	switch found {
	case 0:
		for i, d := range batch {
			batch[i] = j.again(d)
		}
		j.append(batch...)
	case len(batch):
		for _, d := range batch {
			j.enter(d)
		}
	default:
		j.Errorf("%d events of an unanswered batch of %d are there", found, len(batch))
	}
}

// singles: the same of one event with its id and its turn of a conversation.
func singles(tb testing.TB, newBed func(testing.TB) Bed) {
	tb.Helper()
	for i := range 4 {
		j := begin(tb, newBed(tb), "a", "b")
		j.append(j.turn("conv", "a"))
		d := given(j.turn("conv", "a", "b"), "id")
		j.bed.FailCommit(1+i/2, i%2 == 0)
		err := j.Append(d)
		if err == nil {
			j.enter(d)
		}
		j.kill()
		j.restart()
		if err != nil {
			j.resolve([]*spool.Draft{d})
		}
		j.check()
		j.drain()
	}
}

// turn is a draft of a conversation.
func (j *journey) turn(conv string, names ...string) *spool.Draft {
	j.Helper()
	d := j.draft(names...)
	d.Note.(*note).conv = conv
	return d
}

// conversations: what Decide reads is what it wrote for the events before, over crashes, within a
// batch and from one commit to the next; the state of an event is frozen with it.
func conversations(j *journey) {
	for i, restart := range []func(){func() {}, j.crash, j.reopen, j.crash} {
		restart()
		j.append(j.turn("x", "a"))
		j.append(j.turn("y", "a", "b"), j.turn("x", "b"), j.turn("x", "c"), j.draft("a"))
		if i > 1 {
			j.append(j.turn("z", "b"))
		}
		j.check()
	}
	d := j.turn("x")
	j.append(d) // nobody wants it, but it was said
	j.ledger.turns["x"]++
	j.check()
	j.crash()
}

// oneInstant: what looks at the whole spool sees it between two commits, whatever is written while
// it looks.
func oneInstant(j *journey) {
	for range 6 {
		j.append(j.draft("a", "b"), j.draft("b", "c"))
	}
	for n, seq := range j.fetchAll("a") {
		j.settle("a", seq, []spool.Verdict{spool.Delivered, spool.Retry, spool.Exhausted}[n%3])
	}
	told := 0
	rep, err := care.VerifyLive(context.Background(), j.Spool, func(int64, int64) {
		if told++; told > 20 {
			return
		}
		j.meddle()
	})
	if err != nil || rep.FaultCount > 0 {
		j.Errorf("a spool that runs does not verify: %v, %q", err, rep.Faults)
	}
	if told == 0 {
		j.Error("verify tells nothing of how far it is")
	}
}

// meddle changes what another is looking at: an event comes, one lane fails, another succeeds.
func (j *journey) meddle() {
	j.append(j.draft("a", "b", "c"))
	for _, e := range j.fetch("b", 1) {
		j.settle("b", e.Seq, spool.Retry)
	}
	for _, e := range j.fetch("c", 1) {
		j.settle("c", e.Seq, spool.Exhausted)
	}
	j.job("a", always(spool.Delivered))
	j.job("b", always(spool.Retry))
}

// exportInstant: an export says where every delivery was when it began.
func exportInstant(j *journey) {
	for range 6 {
		j.append(j.draft("a", "b"))
	}
	for _, name := range []string{"a", "b"} {
		for n, seq := range j.fetchAll(name) {
			j.settle(name, seq, []spool.Verdict{spool.Retry, spool.Exhausted}[n%2])
		}
	}
	want := make(map[string]string)
	for _, e := range j.ledger.events {
		want[e.id] = e.owed["a"].state.String() + e.owed["b"].state.String()
	}
	var out bytes.Buffer
	changed := false
	count, err := care.Export(context.Background(), j.Spool, &out, care.Selection{All: true,
		Progress: func(int64, int64) {
			if !changed {
				changed = true
				j.job("a", always(spool.Exhausted))
				j.purge("b", spool.StateExhausted, 0)
				j.append(j.draft("a"))
			}
		}})
	if err != nil || count.Events != int64(len(want)) || count.Unreadable > 0 {
		j.Errorf("exported %+v, %v; want %d events", count, err, len(want))
	}
	for _, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte{'\n'}) {
		x, err := care.ParseExported(line)
		if err != nil {
			j.Fatal(err)
		}
		if len(x.Targets) != 2 || x.Targets[0].State+x.Targets[1].State != want[x.ID] {
			j.Errorf("event %s is exported as %+v; it was %s", x.ID, x.Targets, want[x.ID])
		}
	}
}

// expiry: small state is there for its time, and may be forgotten after it.
func expiry(j *journey) {
	const ttl = 2 * time.Second
	var seen string
	told := func(put bool) string {
		d := j.draft()
		d.Note.(*note).visit = func(v *spool.View) {
			seen = string(v.Get([]byte("short")))
			if put {
				v.Put([]byte("short"), []byte("known"), ttl)
				v.Put([]byte("long"), []byte("known"), turnTTL)
			}
		}
		j.append(d)
		return seen
	}
	told(true)
	if ownClock := j.bed.Pass(0) == 0; ownClock && told(false) != "known" {
		j.Fatalf("state is forgotten before its time")
	}
	end := time.Now().Add(j.bed.Pass(ttl + time.Second))
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for ; told(false) != ""; <-ticker.C {
		if time.Now().After(end) {
			j.Fatalf("state is not forgotten after its time")
		}
	}
	state := func(key string) string { return string(look.SmallState(j.Records(), []byte(key))) }
	for range 2 {
		if state("short") != "" || state("long") != "known" {
			j.Error("other state is forgotten than what has expired")
		}
		j.crash()
	}
}
