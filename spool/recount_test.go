package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

// A start that counts everything again ends although a bit of a sequence has flipped, and what is
// owed of the other events is delivered.
func TestRecountFarSequence(t *testing.T) {
	effort.WithoutRace(t)
	f := open(t)
	l := f.lane("crm")
	for range 8 {
		f.append("x", "crm")
	}
	f.close()
	const far = 1<<62 | 8
	event := record.NewEvent(record.Parts{Type: "message", At: time.Unix(1, 0)},
		record.Seal{Seq: far, BatchEnd: far, Lanes: []record.LaneID{l.id}})
	f.damage(func(txn *badger.Txn) error {
		return errors.Join(txn.Delete(record.LogKey(8)), txn.Set(record.LogKey(far), event))
	})
	if err := os.WriteFile(filepath.Join(f.dir, ondisk.RecountName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Spool = nil
	f.reopen()
	l = f.lane("crm")
	l.Open(true)
	var got []uint64
	for range 8 {
		for _, e := range f.fetch(l, 1) {
			got = append(got, e.Seq)
			f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
		}
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7, far}; !slices.Equal(got, want) {
		t.Errorf("delivered are %d, want %d", got, want)
	}
	if c := l.Counts(); c.Pending != 0 {
		t.Errorf("%d are pending", c.Pending)
	}
}
