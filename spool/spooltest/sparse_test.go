package spooltest

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
)

// sparse is a spool over a log with gaps, with five events that lanes a and b owe; closed.
func sparse(t *testing.T) (*MemoryBed, spool.Options) {
	t.Helper()
	bed := &MemoryBed{Memory: NewMemory(true), Dir: t.TempDir() + "/spool"}
	var lanes []record.LaneID
	o := spool.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Decide: func(_ *spool.View, d *spool.Draft) {
			for _, id := range lanes {
				d.Owe(id)
			}
		}}
	bed.Prepare(&o)
	s := openSparse(t, o)
	for _, name := range []string{"a", "b"} {
		l, err := s.Lane(name)
		if err != nil {
			t.Fatal(err)
		}
		lanes = append(lanes, l.ID())
	}
	for range 5 {
		if err := s.Append(&spool.Draft{Type: "t", Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return bed, o
}

func openSparse(t *testing.T, o spool.Options) *spool.Spool {
	t.Helper()
	s, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func addsUp(t *testing.T, s *spool.Spool) *care.Report {
	t.Helper()
	rep, err := care.VerifyLive(context.Background(), s, nil)
	if err != nil || rep.FaultCount > 0 {
		t.Fatalf("the spool does not verify: %v %q", err, rep.Faults)
	}
	return rep
}

// An event that was set aside is known to verify by its record, whether or not the sequences before
// and after it were left out: a lane that has not come so far still counts it as owed.
func TestSparseSetAside(t *testing.T) {
	t.Parallel()
	bed, o := sparse(t)
	bed.mu.Lock()
	n := 0
	for i := range bed.committed {
		if bed.committed[i].key[0] == record.PrefixLog {
			if n++; n == 3 {
				bed.committed[i].value = []byte("no event")
			}
		}
	}
	bed.mu.Unlock()
	bed.Prepare(&o)
	s := openSparse(t, o)
	a, err := s.Lane("a")
	if err != nil {
		t.Fatal(err)
	}
	a.Open(true)
	for got := 0; got < 4; {
		events, err := a.Fetch(10)
		if err != nil {
			t.Fatal(err)
		}
		got += len(events)
	}
	if n := s.Quarantined(); n != 1 {
		t.Fatalf("%d records are set aside; want 1", n)
	}
	rep := addsUp(t, s)
	if rep.Events != 4 || len(rep.Notes) == 0 {
		t.Errorf("%d events, notes %q", rep.Events, rep.Notes)
	}
}

// Counting again after a loss sets nothing aside that never was.
func TestSparseRecount(t *testing.T) {
	t.Parallel()
	bed, o := sparse(t)
	if err := highwater.Write(bed.Dir, 99); err != nil {
		t.Fatal(err)
	}
	o.AcceptLoss = true
	bed.Prepare(&o)
	s := openSparse(t, o)
	if n := s.Quarantined(); n != 0 {
		t.Errorf("%d records are set aside; want none", n)
	}
	if rep := addsUp(t, s); rep.Events != 5 || rep.Stat.Targets[0].Pending != 5 {
		t.Errorf("%d events, targets %+v", rep.Events, rep.Stat.Targets)
	}
	d := &spool.Draft{Type: "t", Payload: []byte("x")}
	if err := s.Append(d); err != nil || d.Seq <= 99 {
		t.Errorf("the next event is %d, %v; want one above all that was answered", d.Seq, err)
	}
}
