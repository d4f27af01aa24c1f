package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
)

// verifyLive wants that a spool in the middle of everything adds up, and that its sums are those
// that the lanes have in memory.
func (m *model) verifyLive(t *rapid.T) {
	rep, err := VerifyLive(context.Background(), m.f.Spool, nil)
	if err != nil || rep.FaultCount > 0 {
		t.Fatalf("%v, faults %q", err, rep.Faults)
	}
	for _, st := range rep.Stat.Targets {
		c := m.f.lane(st.Name).Counts()
		if st.Pending != c.Pending || st.Exhausted != c.Exhausted || st.Delivered != c.Delivered ||
			st.Purged != c.Purged {
			t.Fatalf("lane %s is %+v on disk and %+v in memory", st.Name, st, c)
		}
	}
}

// A spool that runs is verified as of one instant, and says what it could not look at; what is
// damaged is named as in a spool at rest.
func TestVerifyLive(t *testing.T) {
	f := open(t)
	f.furnish()
	var told int
	rep, err := VerifyLive(context.Background(), f.Spool, func(done, total int64) {
		if told++; done > total {
			t.Errorf("%d of %d events", done, total)
		}
	})
	if err != nil || rep.FaultCount > 0 || rep.Events != 8 || told < 8 || len(rep.NotChecked) != 1 {
		t.Fatalf("%v, %+v, told %d times", err, rep, told)
	}
	if st := rep.Stat.Targets[0]; st.Pending != 4 || st.Purged != 1 {
		t.Errorf("got %+v", st)
	}
	damage := func(write func(txn *badger.Txn) error) {
		t.Helper()
		if err := f.disk.DB.Update(write); err != nil {
			t.Fatal(err)
		}
	}
	damage(func(txn *badger.Txn) error { return txn.Delete(record.LogKey(3)) })
	damage(func(txn *badger.Txn) error { return txn.Delete(record.LaneSeqKey(record.PrefixException, 1, 4)) })
	damage(func(txn *badger.Txn) error { return txn.Set(record.IDKey("x"), []byte("no record")) })
	if rep, err = VerifyLive(context.Background(), f.Spool, nil); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(rep.Faults, "; ")
	for _, want := range []string{"events 3 to 3 are missing", `"a" counts 2 exceptions; there are 1`,
		`record "ix"`} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing about %q in %q", want, all)
		}
	}
	if err := highwater.Write(f.dir, 99); err != nil {
		t.Fatal(err)
	}
	rep, err = VerifyLive(context.Background(), f.Spool, nil)
	if all = strings.Join(rep.Faults, "; "); err != nil || !strings.Contains(all, "event 99 was answered") {
		t.Errorf("%v: nothing about event 99 in %q", err, all)
	}
}

// A verify or an export ends with its caller, and with its spool.
func TestLookEnds(t *testing.T) {
	f := open(t)
	f.furnish()
	gone := errors.New("the caller went away")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	if _, err := VerifyLive(ctx, f.Spool, nil); !errors.Is(err, gone) {
		t.Errorf("a caller who is gone: %v", err)
	}
	if _, err := Export(ctx, f.Spool, io.Discard, Selection{}); !errors.Is(err, gone) {
		t.Errorf("a caller who is gone: %v", err)
	}
	f.close()
	if _, err := VerifyLive(context.Background(), f.Spool, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
	if _, err := Export(context.Background(), f.Spool, io.Discard, Selection{}); !errors.Is(err,
		ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
}

// Over and over while events come in, fail, succeed and are purged and swept, a running spool adds
// up, and an export of it is of one instant: it has every event that was acknowledged before.
func TestLooksUnderLoad(t *testing.T) {
	f := open(t)
	f.SetLimits(Limits{DedupeWindow: time.Hour}) // what is delivered goes at once
	l, held := f.lane("a"), f.lane("held")
	l.Open(true)
	const events = 1000
	stop := make(chan struct{})
	var traffic, lane sync.WaitGroup
	for c := range 4 {
		traffic.Go(func() {
			for i := range events / 4 {
				d := &Draft{Type: "t", At: f.now, Note: []string{"a", "held"}, Given: true,
					ID: fmt.Sprintf("%d-%d", c, i), Payload: make([]byte, 600)}
				if err := f.Append(d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	lane.Go(func() { f.work(l, stop) })
	ended := make(chan struct{})
	go func() {
		traffic.Wait()
		close(ended)
	}()
	rounds := 0
	for done := false; !done; rounds++ {
		select {
		case <-ended:
			done = true
		default:
		}
		f.lookLive(l, held)
	}
	close(stop)
	lane.Wait()
	t.Logf("%d looks", rounds)
	if rounds < 3 {
		t.Errorf("only %d looks", rounds)
	}
	if r := f.verify(); r.FaultCount > 0 {
		t.Errorf("at rest: %q", r.Faults)
	}
}

// work settles what a lane fetches: of three, one succeeds and two fail, and half of what is due
// succeeds later.
func (f *fixture) work(l *Lane, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		batch, err := l.Fetch(64)
		if err != nil {
			f.t.Error(err)
			return
		}
		for _, e := range batch {
			st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 1, At: f.now}
			if e.Seq%3 > 0 {
				st.Verdict = Retry
			}
			f.Settle(st)
		}
		if n%8 > 0 {
			continue
		}
		due, err := l.Due(9).Next(32)
		if err != nil {
			f.t.Error(err)
			return
		}
		for _, d := range due {
			st := Settlement{Lane: l.id, Seq: d.Event.Seq, Attempts: 2, At: f.now}
			if d.Event.Seq%2 > 0 {
				st.Verdict = Exhausted
			}
			f.Settle(st)
		}
	}
}

// lookLive verifies and exports a spool at work.
func (f *fixture) lookLive(l, held *Lane) {
	f.t.Helper()
	if _, err := l.Purge(context.Background(), Purge{State: StatePending,
		Match: func(e *record.Event) bool { return e.Seq%5 == 0 }}); err != nil {
		f.t.Fatal(err)
	}
	rep, err := VerifyLive(context.Background(), f.Spool, nil)
	if err != nil || rep.FaultCount > 0 {
		f.t.Fatalf("%v, false faults %q", err, rep.Faults)
	}
	before := held.Counts().Pending // all of it was acknowledged, or will be
	var out bytes.Buffer
	n, err := Export(context.Background(), f.Spool, &out, Selection{Target: "held"})
	if err != nil || n.Unreadable > 0 || n.Events < int64(before) ||
		n.Events != int64(bytes.Count(out.Bytes(), []byte{'\n'})) {
		f.t.Fatalf("%v: exported %+v; %d were pending before", err, n, before)
	}
	if err := f.Sweep(f.now.Add(time.Hour)); err != nil {
		f.t.Fatal(err)
	}
}
