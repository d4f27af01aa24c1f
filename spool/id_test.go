package spool

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// An id that was made here and comes back as one that is given names the event that has it, as long
// as that is kept and within the window: alone, in a batch, in the group that makes it, after a
// restart, and in a spool that was restored from the one that made it.
func TestMadeIDGiven(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.lane("erp")
	made := f.append("x", "crm", "erp")
	other := f.append("y", "crm")
	draft := func(id, body string) *Draft {
		return &Draft{ID: id, Given: true, Hash: sha256.Sum256([]byte(body)), Payload: []byte(body),
			At: f.now, Note: []string{"crm"}}
	}
	check := func(when string) {
		t.Helper()
		d := draft(made.ID, "x")
		err := f.Append(d)
		if targets := f.names(d); err != nil || !d.Duplicate || d.Seq != made.Seq ||
			!slices.Equal(targets, []string{"crm", "erp"}) {
			t.Errorf("%s: the same body: %v, duplicate %v of %d, targets %v", when, err, d.Duplicate,
				d.Seq, targets)
		}
		var conflict *ConflictError
		if err := f.Append(draft(made.ID, "z")); !errors.As(err, &conflict) {
			t.Errorf("%s: another body: %v; want a conflict", when, err)
		}
		batch := []*Draft{draft("new", "n"), draft(made.ID, "z"), draft(other.ID, "y"),
			draft(other.ID, "n")}
		if err := f.Append(batch...); !errors.As(err, &conflict) ||
			!slices.Equal(conflict.Indexes, []int{1, 3}) {
			t.Errorf("%s: a batch: %v; want conflicts at 1 and 3", when, err)
		}
		batch = []*Draft{draft(made.ID, "x"), draft(made.ID, "x"), draft(other.ID, "y")}
		if err := f.Append(batch...); err != nil || !batch[0].Duplicate || !batch[1].Duplicate ||
			!batch[2].Duplicate {
			t.Errorf("%s: a batch of duplicates: %v", when, err)
		}
	}
	check("at once")
	f.reopen()
	check("after a restart")
	if head := f.Head(); head != 2 {
		t.Errorf("the newest event is %d; want 2", head)
	}
	f.format.Former = append(f.format.Former, f.format.ID)
	f.format.ID[0] ^= 0xff
	check("in a spool that was restored")
	f.pass(time.Hour)
	if d := draft(made.ID, "z"); f.Append(d) != nil || d.Duplicate {
		t.Error("after the window the id is not free again")
	}
}

// An id that is not ours, however like one of ours it looks, is one like any other.
func TestForeignIDGiven(t *testing.T) {
	f := open(t)
	f.lane("crm")
	made := f.append("x", "crm")
	for _, id := range []string{
		record.MakeID(f.now, made.Seq, f.spoolNumber()^1),                // of another spool
		record.MakeID(f.now.Add(time.Second), made.Seq, f.spoolNumber()), // of no event
		record.MakeID(f.now, made.Seq+1000, f.spoolNumber()),             // not made yet
		made.ID + "-1", // a line of a batch
		f.UnspooledID(f.now), "EVT_" + made.ID[len(record.MadeIDPrefix):],
	} {
		for i, want := range []bool{false, true} {
			d := &Draft{ID: id, Given: true, Hash: sha256.Sum256([]byte("z")), Payload: []byte("z"),
				At: f.now, Note: []string{"crm"}}
			if err := f.Append(d); err != nil || d.Duplicate != want {
				t.Errorf("id %s, time %d: %v, duplicate %v", id, i+1, err, d.Duplicate)
			}
		}
	}
}

// An event that is kept is found by its id although the record of that expired while the relay was
// down for longer than that lives.
func TestIDAfterARest(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	d := &Draft{ID: "order-17", Given: true, Hash: sha256.Sum256([]byte("x")), Payload: []byte("x"),
		At: f.now, Note: []string{"crm"}}
	if err := f.Append(d); err != nil {
		t.Fatal(err)
	}
	f.close()
	f.damage(func(txn *badger.Txn) error { return txn.Delete(record.IDKey(d.ID)) })
	f.pass(400 * 24 * time.Hour)
	f.reopen()
	deadline := time.Now().Add(testPatience)
	for {
		e, err := look.EventByID(f, d.ID)
		if err == nil && e.Seq == d.Seq {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %v: %v", e, err)
		}
		time.Sleep(time.Millisecond)
	}
	again := &Draft{ID: d.ID, Given: true, Hash: d.Hash, Payload: d.Payload, At: f.now}
	if err := f.Append(again); err != nil || again.Duplicate {
		t.Errorf("sent again after the window: duplicate %v: %v", again.Duplicate, err)
	}
	f.counts(f.lane(l.Name()), 1, 0)
}
