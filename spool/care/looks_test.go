package care_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
)

// A verify or an export ends with its caller, and with its spool.
func TestLookEnds(t *testing.T) {
	f := open(t)
	f.furnish()
	gone := errors.New("the caller went away")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	if _, err := care.VerifyLive(ctx, f.Spool, nil); !errors.Is(err, gone) {
		t.Errorf("a caller who is gone: %v", err)
	}
	if _, err := care.Export(ctx, f.Spool, io.Discard, care.Selection{}); !errors.Is(err, gone) {
		t.Errorf("a caller who is gone: %v", err)
	}
	f.close()
	if _, err := care.VerifyLive(context.Background(), f.Spool, nil); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
	if _, err := care.Export(context.Background(), f.Spool, io.Discard, care.Selection{}); !errors.Is(err,
		spool.ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
}

// Over and over while events come in, fail, succeed and are purged and swept, a running spool adds
// up, and an export of it is of one instant: it has every event that was acknowledged before.
func TestLooksUnderLoad(t *testing.T) {
	f := open(t)
	f.SetLimits(spool.Limits{DedupeWindow: time.Hour}) // what is delivered goes at once
	l, held := f.lane("a"), f.lane("held")
	l.Open(true)
	const events = 1000
	stop := make(chan struct{})
	var traffic, lane sync.WaitGroup
	for c := range 4 {
		traffic.Go(func() {
			for i := range events / 4 {
				d := &spool.Draft{Type: "t", At: f.now, Note: []string{"a", "held"}, Given: true,
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
	if r := f.verifyRest(); r.FaultCount > 0 {
		t.Errorf("at rest: %q", r.Faults)
	}
}

// work settles what a lane fetches: of three, one succeeds and two fail, and half of what is due
// succeeds later.
func (f *fixture) work(l *spool.Lane, stop chan struct{}) {
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
			st := spool.Settlement{Lane: l.ID(), Seq: e.Seq, Fresh: true, Attempts: 1, Due: 1, At: f.now}
			if e.Seq%3 > 0 {
				st.Verdict = spool.Retry
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
			st := spool.Settlement{Lane: l.ID(), Seq: d.Event.Seq, Attempts: 2, At: f.now}
			if d.Event.Seq%2 > 0 {
				st.Verdict = spool.Exhausted
			}
			f.Settle(st)
		}
	}
}

// lookLive verifies and exports a spool at work.
func (f *fixture) lookLive(l, held *spool.Lane) {
	f.t.Helper()
	if _, err := l.Purge(context.Background(), spool.Purge{State: spool.StatePending,
		Match: func(e *record.Event) bool { return e.Seq%5 == 0 }}); err != nil {
		f.t.Fatal(err)
	}
	rep, err := care.VerifyLive(context.Background(), f.Spool, nil)
	if err != nil || rep.FaultCount > 0 {
		f.t.Fatalf("%v, false faults %q", err, rep.Faults)
	}
	before := held.Counts().Pending // all of it was acknowledged, or will be
	var out bytes.Buffer
	n, err := care.Export(context.Background(), f.Spool, &out, care.Selection{Target: "held"})
	if err != nil || n.Unreadable > 0 || n.Events < int64(before) ||
		n.Events != int64(bytes.Count(out.Bytes(), []byte{'\n'})) {
		f.t.Fatalf("%v: exported %+v; %d were pending before", err, n, before)
	}
	if err := f.Sweep(f.now.Add(time.Hour)); err != nil {
		f.t.Fatal(err)
	}
}
