package jetstream_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// A lane is taken while its relay commits, which has not heard of it yet: the commit is stored
// before, or it is not. Only the servers can tell.
func TestFenceMeetsCommit(t *testing.T) {
	const lane = 1
	rounds := effort.Most(120, 12)
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	stored := 0
	for i := range rounds {
		tenure, err := ours.Own(lane)
		if err != nil {
			t.Fatal(err)
		}
		if err := theirs.Await(ours); err != nil {
			t.Fatal(err)
		}
		key := fmt.Appendf(nil, "sround %d", i)
		txn := ours.Begin()
		txn.(engine.SharedTxn).Guard(lane, tenure.Fence)
		if err := txn.Put(key, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		committed := make(chan error, 1)
		go func() { committed <- txn.Commit() }()
		if err := theirs.Take(lane); err != nil {
			t.Fatal(err)
		}
		// They have read all that was stored before they had the lane.
		_, missing := theirs.Get(key)
		switch err := <-committed; {
		case err == nil && missing != nil:
			t.Fatalf("round %d: a commit of a relay that had lost the lane was stored", i)
		case err == nil:
			stored++
		case !errors.Is(err, engine.ErrElsewhere):
			t.Fatalf("round %d: %v", i, err)
		}
		if err := theirs.Return(lane); err != nil {
			t.Fatal(err)
		}
		if err := ours.Await(theirs); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d were stored before", stored, rounds)
}
