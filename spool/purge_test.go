package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// purge is a step of TestModel: what a purge counts is what the model loses.
func (m *model) purge(t *rapid.T) {
	l, ml := m.lane(t)
	odd := rapid.Bool().Draw(t, "only odd")
	chosen := func(seq uint64) bool { return !odd || seq%2 == 1 }
	p := Purge{State: StatePending}
	if odd {
		p.Match = func(e *record.Event) bool { return chosen(e.Seq) }
	}
	want := 0
	drop := func(from map[uint64]bool) {
		for seq := range from {
			if chosen(seq) {
				delete(from, seq)
				want++
			}
		}
	}
	if rapid.Bool().Draw(t, "exhausted") {
		p.State = StateExhausted
		drop(ml.exhausted)
	} else {
		drop(ml.fresh)
		drop(ml.flying)
		for seq := range ml.failed {
			if chosen(seq) {
				delete(ml.failed, seq)
				want++
			}
		}
	}
	dry := p
	dry.DryRun = true
	for _, p := range []Purge{dry, p} {
		n, err := l.Purge(context.Background(), p)
		if err != nil || n != uint64(want) {
			t.Fatalf("lane %s: purged %d, %v; want %d", l.name, n, err, want)
		}
	}
}

// A purged delivery is neither pending nor delivered, cannot be replayed, and its event leaves the
// log with everything else that is over; the mark goes with it.
func TestPurged(t *testing.T) {
	f := open(t)
	crm := f.lane("crm")
	f.lane("erp")
	crm.Open(true)
	d := f.append("one", "crm")
	f.append("two", "crm", "erp")
	f.append("three", "crm")
	for i, e := range f.fetch(crm, 2) {
		st := Settlement{Lane: crm.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1}
		if i == 0 {
			st.Verdict = Exhausted
		}
		f.settle(st)
	}
	f.counts(crm, 2, 1)
	ctx := context.Background()
	for _, p := range []Purge{{State: StateExhausted}, {State: StatePending, Seq: 2},
		{State: StatePending}} {
		if n, err := crm.Purge(ctx, p); n != 1 || err != nil {
			t.Fatalf("purged %d, %v; want 1", n, err)
		}
	}
	for range 2 {
		crm = f.lane("crm")
		erp := f.lane("erp")
		f.counts(crm, 0, 0)
		f.counts(erp, 1, 0)
		if got := crm.Counts().Purged; got != 3 {
			t.Errorf("purged %d; want 3", got)
		}
		for seq := range uint64(3) {
			e, err := f.Event(seq + 1)
			if err != nil {
				t.Fatal(err)
			}
			if state := stateOf(t, crm, e); state != StatePurged {
				t.Errorf("event %d is %s; want purged", e.Seq, state)
			}
			if _, err := f.Replay(record.Ref{Lane: crm.id, Seq: e.Seq}); !errors.Is(err, ErrNotFound) {
				t.Errorf("a purged delivery was replayed: %v", err)
			}
		}
		f.reopen()
	}
	if _, err := look.EventByID(f, d.ID); err != nil {
		t.Fatal(err)
	}
	erp := f.lane("erp")
	for _, e := range f.fetch(erp, 1) {
		f.settle(Settlement{Lane: erp.id, Seq: e.Seq, Fresh: true})
	}
	f.commitCheckpoint()
	if err := f.Sweep(f.now.Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := look.EventByID(f, d.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the event is still there: %v", err)
	}
	err := f.scan([]byte{record.PrefixPurged}, nil, func(key, _ []byte) (bool, error) {
		t.Errorf("the mark %x outlives its event", key)
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A lane that is behind by several pages of other lanes' events, or of purged ones, finds what
// lies beyond them.
func TestFetchBeyondForeignPages(t *testing.T) {
	f := open(t)
	f.lane("a")
	f.lane("b")
	f.append("first", "b")
	var drafts []*Draft
	for i := range 3*pageScanMax + 5 {
		drafts = append(drafts, &Draft{Payload: fmt.Appendf(nil, "%d", i), At: f.now,
			Note: []string{"a"}})
	}
	if err := f.Append(drafts...); err != nil {
		t.Fatal(err)
	}
	f.append("last", "a", "b")
	f.reopen()
	a, b := f.lane("a"), f.lane("b")
	b.Open(true)
	for range 2 {
		es, err := b.Fetch(1)
		if err != nil || len(es) != 1 {
			t.Fatalf("fetched %d, %v; want 1", len(es), err)
		}
	}
	n, err := a.Purge(context.Background(), Purge{State: StatePending,
		Match: func(e *record.Event) bool { return e.Seq <= 3*pageScanMax }})
	if n != 3*pageScanMax-1 || err != nil {
		t.Fatalf("purged %d, %v", n, err)
	}
	a.Open(true)
	if es, err := a.Fetch(1); err != nil || len(es) != 1 || es[0].Seq != 3*pageScanMax+1 {
		t.Fatalf("fetched %d, %v; want the one behind what was purged", len(es), err)
	}
}

// A purge in pages finds what one call would: what is in the log and beside it, as of its begin. A
// page that is asked for again counts nothing twice.
func TestPurgePages(t *testing.T) {
	const failed, fresh, page = 25, 40, 7
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	for i := range failed + fresh {
		f.append(fmt.Sprint(i), "a")
	}
	for _, e := range f.fetch(l, failed) {
		f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 9, Verdict: Retry})
	}
	walk := func(p *Purge) (sum uint64, calls int) {
		for c := l.BeginPurge(p); c.On; calls++ {
			n, next, err := l.PurgePage(p, c, page)
			if err != nil || n > page {
				t.Fatalf("a page purged %d: %v", n, err)
			}
			if !p.DryRun { // whoever did not hear the answer asks again
				again, on, err := l.PurgePage(p, c, page)
				if err != nil {
					t.Fatal(err)
				}
				n, next = n+again, on
			}
			if calls == 0 {
				f.append("later", "a") // not there when the purge began
			}
			sum, c = sum+n, next
		}
		return sum, calls
	}
	if n, calls := walk(&Purge{State: StatePending, DryRun: true}); n != failed+fresh || calls < 9 {
		t.Errorf("would purge %d in %d pages", n, calls)
	}
	f.counts(l, failed+fresh+1, 0)
	if n, _ := walk(&Purge{State: StatePending}); n != failed+fresh+1 {
		t.Errorf("purged %d", n)
	}
	f.counts(l, 1, 0)
	// one event alone
	d := f.append("one", "a")
	if n, calls := walk(&Purge{State: StatePending, Seq: d.Seq}); n != 1 || calls > 2 {
		t.Errorf("purged %d in %d pages", n, calls)
	}
	if n, calls := walk(&Purge{State: StateExhausted}); n != 0 || calls != 1 {
		t.Errorf("purged %d in %d pages", n, calls)
	}
}

// Purges beside accepting, delivering, failing and jobs: every delivery ends exactly once, and the
// sums say so.
func TestPurgeUnderLoad(t *testing.T) {
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	const events = 1500
	var purged, delivered, failed uint64
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for i := range events {
			d := &Draft{Payload: fmt.Appendf(nil, "%d", i), At: f.now, Note: []string{"a"}}
			if err := f.Append(d); err != nil {
				t.Error(err)
			}
		}
	})
	stop := make(chan struct{})
	var lane sync.WaitGroup
	lane.Go(func() {
		for n := 0; ; {
			select {
			case <-stop:
				return
			default:
			}
			es, err := l.Fetch(7)
			if err != nil {
				t.Error(err)
			}
			if len(es) == 0 {
				select {
				case <-stop:
				case <-l.Ready():
				}
			}
			for i, e := range es {
				if i == 6 {
					l.Release(e.Seq)
					break
				}
				st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 1, At: f.now}
				if n++; n%3 > 0 {
					st.Verdict = Retry
				}
				f.Settle(st)
			}
		}
	})
	ended := make(chan struct{})
	go func() {
		traffic.Wait()
		close(ended)
	}()
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		default:
		}
		n, err := l.Purge(context.Background(), Purge{State: StatePending,
			Match: func(e *record.Event) bool { return e.Seq%5 > 0 }})
		if err != nil {
			t.Fatal(err)
		}
		purged += n
	}
	for deadline := time.Now().Add(testPatience); l.Counts().Fresh > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d are fresh and nobody gets them", l.Counts().Fresh)
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	lane.Wait()
	if err := f.Apply(Change{}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		l = f.lane("a")
		c := l.Counts()
		delivered, failed = c.Delivered, uint64(len(f.due(l, 9)))
		if c.Purged != purged || c.Pending != failed || purged+delivered+failed != events {
			t.Errorf("round %d: %d purged, %d delivered, %d failed; want %d in sum; counts %+v", i,
				purged, delivered, failed, events, c)
		}
		f.reopen()
	}
	if purged == 0 || delivered == 0 {
		t.Errorf("%d purged, %d delivered: the test tests nothing", purged, delivered)
	}
	r := f.verify()
	if len(r.Faults) > 0 {
		t.Errorf("the spool does not add up: %v", r.Faults)
	}
}

// verify closes the spool, verifies it and opens it again.
func (f *fixture) verify() *care.Report {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	r, err := care.Verify(context.Background(), care.ReaderOptions{Dir: f.dir, Log: f.options().Log}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = nil
	f.reopen()
	return r
}

// An exhausted delivery that stays, because it was exhausted again after a replay, keeps none of
// those after it from going.
func TestSweepExhaustedOutOfOrder(t *testing.T) {
	t.Parallel()
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	const events = 5
	for range events {
		f.append("x", "a")
	}
	f.fetch(l, events)
	exhaust := func(seq uint64, at time.Time) {
		t.Helper()
		f.settle(Settlement{Lane: l.id, Seq: seq, Fresh: true, Verdict: Exhausted, Attempts: 1, At: at})
	}
	exhaust(1, f.now.Add(time.Hour))
	for seq := uint64(2); seq <= events; seq++ {
		exhaust(seq, f.now.Add(time.Duration(seq)*time.Minute))
	}
	f.commitCheckpoint()
	sweep := func(after time.Duration, want uint64) {
		t.Helper()
		if err := f.Sweep(f.now.Add(after)); err != nil {
			t.Fatal(err)
		}
		if got := l.Counts().Exhausted; got != want {
			t.Errorf("%d are left after %s; want %d", got, after, want)
		}
	}
	keep := f.limits.Load().KeepExhausted
	sweep(keep, events)
	sweep(keep+time.Minute, events)
	sweep(keep+2*time.Minute, events-1)
	sweep(keep+time.Duration(events)*time.Minute, 1)
	sweep(keep+time.Hour-time.Second, 1)
	sweep(keep+time.Hour, 0)
}

// A delivery that is settled between the look of a sweep and its removal holds its event in the eyes
// of the one, and is passed by the other: the event goes with a later sweep all the same.
func TestSweepSettledMeanwhile(t *testing.T) {
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	f.append("fails first", "a")
	f.append("succeeds", "a")
	for i, e := range f.fetch(l, 2) {
		st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 1}
		if i == 0 {
			st.Verdict = Retry
		}
		f.settle(st)
	}
	f.commitCheckpoint()
	f.unheld.begin()
	r := &removal{swept: 2, replays: f.replays.Load()}
	var err error
	if r.seqs, err = f.leaveHeld([]uint64{1, 2}, 1, 2); err != nil || len(r.seqs) != 1 {
		t.Fatalf("the look found %v, %v", r.seqs, err)
	}
	f.settle(Settlement{Lane: l.id, Seq: 1, Attempts: 2})
	if err := f.order(r); err != nil {
		t.Fatal(err)
	}
	if err := f.Sweep(f.now.Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if e, err := f.Event(1); err == nil {
		t.Errorf("event %d stays for ever", e.Seq)
	}
}
