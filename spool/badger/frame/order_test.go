package frame

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// frameOf is a frame of events with these sequences.
func frameOf(seqs ...uint64) (frame []byte) {
	for _, seq := range seqs {
		frame = append(frame, record.NewEvent(record.Parts{At: time.Unix(1, 0),
			Payload: []byte("payload")}, record.Seal{Seq: seq})...)
	}
	return frame
}

// walkAll are the events that a walk shows, those that can be read and those that cannot.
func walkAll(t *testing.T, l Look, reverse bool) (all, unread []uint64) {
	t.Helper()
	w := l.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: reverse})
	defer w.Close()
	from := []byte{record.PrefixLog}
	if reverse {
		from = record.LogKey(1 << 62)
	}
	for w.Seek(from); w.Valid(); w.Next() {
		seq := record.KeySeq(w.Key())
		all = append(all, seq)
		err := w.View(func(value []byte) error {
			_, err := record.DecodeEvent(value, seq)
			return err
		})
		if err != nil {
			unread = append(unread, seq)
		}
	}
	return all, unread
}

// TestWalkKeepsOrder asserts that a walk shows each event once and in order, in both directions,
// where damage to the tree shows frames under keys that are not their own, or a repair has brought
// back the frame that single events came out of.
func TestWalkKeepsOrder(t *testing.T) {
	o := badger.DefaultOptions("").WithInMemory(true).WithLogger(nil).WithMemTableSize(1 << 20).
		WithValueThreshold(1 << 10)
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f := func(frames map[uint64][]byte, want, wantUnread string) {
		t.Helper()
		if err := db.DropAll(); err != nil {
			t.Fatal(err)
		}
		err := db.Update(func(txn *badger.Txn) error {
			for last, frame := range frames {
				if err := txn.Set(record.LogKey(last), frame); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		l := LookAt(db, nil)
		defer l.Close()
		for _, reverse := range []bool{false, true} {
			all, unread := walkAll(t, l, reverse)
			if reverse {
				slices.Reverse(all)
				slices.Reverse(unread)
			}
			if fmt.Sprint(all) != want || fmt.Sprint(unread) != wantUnread {
				t.Errorf("reverse %t: %v, of which %v cannot be read; want %s and %s", reverse, all, unread,
					want, wantUnread)
			}
		}
	}

	// as written
	f(map[uint64][]byte{3: frameOf(1, 2, 3), 4: frameOf(4), 9: frameOf(6, 7)}, "[1 2 3 4 6 7]", "[]")
	// a flipped bit in a key, high or low
	f(map[uint64][]byte{3: frameOf(1, 2, 3), 5: frameOf(5), 1 << 28: frameOf(4)},
		"[1 2 3 5 268435456]", "[268435456]")
	f(map[uint64][]byte{3: frameOf(1, 2, 3), 5: frameOf(5), 20: frameOf(4), 21: frameOf(21)},
		"[1 2 3 5 20 21]", "[20]")
	// an older version of frame 9 is back: 5 came out of it
	f(map[uint64][]byte{5: frameOf(5), 9: frameOf(4, 5, 6, 7, 8, 9)}, "[5 6 7 8 9]", "[]")
}
