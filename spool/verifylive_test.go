package spool

import (
	"context"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
)

// verifyLive wants that a spool in the middle of everything adds up, and that its sums are those
// that the lanes have in memory.
func (m *model) verifyLive(t *rapid.T) {
	rep, err := care.VerifyLive(context.Background(), m.f.Spool, nil)
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
	rep, err := care.VerifyLive(context.Background(), f.Spool, func(done, total int64) {
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
	if rep, err = care.VerifyLive(context.Background(), f.Spool, nil); err != nil {
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
	rep, err = care.VerifyLive(context.Background(), f.Spool, nil)
	if all = strings.Join(rep.Faults, "; "); err != nil || !strings.Contains(all, "event 99 was answered") {
		t.Errorf("%v: nothing about event 99 in %q", err, all)
	}
}
