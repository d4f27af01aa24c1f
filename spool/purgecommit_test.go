package spool

import (
	"context"
	"testing"
	"time"
)

// heldCommit is a seam at which one commit waits.
type heldCommit struct {
	hold chan struct{} // has a token if the next commit is to wait
	held chan struct{} // told when it does
	goOn chan struct{} // closed by the test
}

// openHeld is a new spool of which one commit can be held. It has no keeper, whose commits would be
// held instead.
func openHeld(t *testing.T) (*fixture, *heldCommit) {
	t.Helper()
	h := &heldCommit{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})}
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0)}
	o := f.options()
	o.seam = func(call string, do func() error) error {
		if call != "commit" {
			return do()
		}
		select {
		case <-h.hold:
			h.held <- struct{}{}
			<-h.goOn
		default:
		}
		return do()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	s.running.Go(s.commitLoop)
	t.Cleanup(func() { f.Close() })
	return f, h
}

// purging purges in the background.
func (f *fixture) purging(l *Lane, p Purge) <-chan uint64 {
	n := make(chan uint64, 1)
	go func() {
		purged, err := l.Purge(context.Background(), p)
		if err != nil {
			f.t.Error(err)
		}
		n <- purged
	}()
	return n
}

// A delivery that is purged while its lane has it in memory is not handed out, although the lane
// drops what it has in memory, and reads the log before the purge is committed.
func TestPurgeInMemory(t *testing.T) {
	f, commit := openHeld(t)
	l := f.lane("a")
	l.Open(true)
	f.append("kept", "a")
	f.append("purged", "a")
	commit.hold <- struct{}{}
	purged := f.purging(l, Purge{State: StatePending, Seq: 2})
	<-commit.held
	l.Open(false)
	l.Open(true)
	es, err := l.Fetch(10)
	if err != nil || len(es) != 1 || es[0].Seq != 1 {
		t.Errorf("%d deliveries are handed out, %v; want the first", len(es), err)
	}
	close(commit.goOn)
	if n := <-purged; n != 1 {
		t.Errorf("purged %d; want 1", n)
	}
	f.counts(l, 1, 0)
	f.Settle(Settlement{Lane: l.id, Seq: 1, Fresh: true, Verdict: Delivered, At: f.now})
	f.counts(l, 0, 0)
	f.none(l)
}

// A purge of what is pending deletes a delivery that fails meanwhile, whose exception is still
// being written when the purge looks.
func TestPurgeWaitsForTheCommit(t *testing.T) {
	f, commit := openHeld(t)
	l := f.lane("a")
	l.Open(true)
	f.append("x", "a")
	e := f.fetch(l, 1)[0]
	commit.hold <- struct{}{}
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1,
			AcceptedAt: e.At})
	}()
	<-commit.held
	purged := f.purging(l, Purge{State: StatePending})
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(testPatience)
	for len(purged) == 0 && len(f.ops) == 0 && time.Now().Before(deadline) {
		<-ticker.C // until it waits, or has ended too early
	}
	close(commit.goOn)
	if n := <-purged; n != 1 {
		t.Errorf("purged %d; want 1", n)
	}
	<-settled
	f.counts(l, 0, 0)
}
