package spool

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// Deliveries that became too old are kept, counted and listed apart from those that are exhausted,
// whatever becomes of either, and the spool adds up.
func TestExpired(t *testing.T) {
	t.Parallel()
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	const events = 6
	for range events {
		f.append("x", "a")
	}
	f.fetch(l, events)
	settle := func(seq uint64, v Verdict, fresh bool) {
		t.Helper()
		st := Settlement{Lane: l.id, Seq: seq, Fresh: fresh, Verdict: v, At: f.now, AcceptedAt: f.now,
			Error: "500"}
		if v == Expired {
			st.Error = "expired"
		} else {
			st.Attempts = 1
		}
		f.settle(st)
	}
	settle(1, Exhausted, true)
	settle(2, Expired, true)
	settle(3, Retry, true)
	settle(3, Expired, false)
	settle(4, Expired, true)
	settle(5, Expired, true)
	settle(6, Exhausted, true)
	f.commitCheckpoint()
	want := func(exhausted, expired, pending uint64) {
		t.Helper()
		l = f.lane("a")
		c := l.Counts()
		if c.Exhausted != exhausted || c.Expired != expired || c.Pending != pending {
			t.Errorf("%d exhausted, %d expired, %d pending; want %d, %d, %d", c.Exhausted, c.Expired,
				c.Pending, exhausted, expired, pending)
		}
		for state, n := range map[State]uint64{StateExhausted: exhausted, StateExpired: expired} {
			list, _, err := look.List(f.Spool, look.Listing{Lane: l.id, State: state, Limit: 100})
			if err != nil || uint64(len(list)) != n {
				t.Errorf("%d are listed as %s, %v; want %d", len(list), state, err, n)
			}
			for i := range list {
				if list[i].Places[0].State != state {
					t.Errorf("%+v is listed as %s", list[i].Places[0], state)
				}
			}
		}
		if r := f.verify(); len(r.Faults) > 0 {
			t.Errorf("the spool does not add up: %v", r.Faults)
		}
		l = f.lane("a")
	}
	want(2, 4, 0)
	places := func(seq uint64) look.Place {
		t.Helper()
		e, err := f.Event(seq)
		if err != nil {
			t.Fatal(err)
		}
		at, err := look.Places(f.Spool, e)
		if err != nil || len(at) != 1 {
			t.Fatalf("%v, %v", at, err)
		}
		return at[0]
	}
	if p := places(3); p.State != StateExpired || p.Attempts != 1 ||
		p.LastError != "expired; before that: 500" {
		t.Errorf("what had failed before is %+v", p)
	}
	if p := places(6); p.State != StateExhausted {
		t.Errorf("what is exhausted is %+v", p)
	}
	if recent, _ := l.Recent(0); len(recent) != 3 {
		t.Errorf("%d attempts are known; want 3: an expired one was none", len(recent))
	}
	if n, err := f.Replay(record.Ref{Lane: l.id, Seq: 2}, record.Ref{Lane: l.id, Seq: 1}); n != 2 {
		t.Errorf("%d replayed, %v", n, err)
	}
	want(1, 3, 2)
	if n, err := l.Purge(t.Context(), Purge{State: StateExpired, Seq: 4}); n != 1 || err != nil {
		t.Errorf("%d purged, %v", n, err)
	}
	if n, err := l.Purge(t.Context(), Purge{State: StateExhausted}); n != 1 || err != nil {
		t.Errorf("%d purged, %v", n, err)
	}
	want(0, 2, 2)
	f.commitCheckpoint()
	if err := f.Sweep(f.now.Add(f.limits.Load().KeepExhausted + time.Minute)); err != nil {
		t.Fatal(err)
	}
	want(0, 0, 2)
}

// A record of before says nothing of expiry, and one of today that does not either is the same to
// the byte.
func TestExpiredInRecords(t *testing.T) {
	x := record.Exception{Attempts: 3, LastError: "500"}
	plain := len(x.Encode())
	// After the order, which it may lack.
	if x.Expired = true; len(x.Encode()) != plain+2 {
		t.Errorf("an expired one has %d bytes; want %d", len(x.Encode()), plain+2)
	}
	got, err := record.DecodeException(x.Encode())
	if err != nil || !got.Expired || got.Kept() != StateExpired {
		t.Errorf("read %+v, %v", got, err)
	}
}
