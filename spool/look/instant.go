package look

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// probeMax bounds the deleted records that one step of a search by time passes: more than an engine
// that packs events leaves before the place where they are now.
const probeMax = 2048

// First is about the sequence of the first event accepted at an instant or later: where the log is
// gone nobody knows, and it may be too early.
func First(s Source, at time.Time) (uint64, error) {
	return firstAfter(s, at.Add(-searchSlack), true)
}

// firstAfter is the sequence of the first event accepted after an instant, or one more than the
// newest: a binary search over the log, as exact as its order. Where the log is gone nobody knows;
// early lets that count as after the instant, so that the answer comes out too early rather than
// too late.
func firstAfter(s Source, at time.Time, early bool) (uint64, error) {
	look := s.Records().Look()
	defer look.Close()
	walk := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Gone: true})
	defer walk.Close()
	low, high := uint64(1), s.Head()+1
	for low < high {
		mid := low + (high-low)/2
		seq, accepted, err := probe(walk, mid)
		if err != nil {
			return 0, fmt.Errorf("cannot search the log at %d: %w", mid, err)
		}
		after := early
		switch {
		case seq > 0:
			after = accepted.After(at)
		case seq == 0 && !walk.Valid():
			after = true // nothing from mid on
		}
		if after {
			high = mid
		} else {
			low = max(mid+1, min(seq+1, high))
		}
	}
	return low, nil
}

// probe is the first record from a sequence on that still tells its instant, deleted or not; 0:
// there is none near.
func probe(w engine.Walker, from uint64) (seq uint64, at time.Time, err error) {
	w.Seek(record.LogKey(from))
	for range probeMax {
		if !w.Valid() {
			return 0, at, nil
		}
		if !w.Gone() {
			err = w.View(func(value []byte) error {
				at = record.AcceptedAt(value)
				return nil
			})
			return record.KeySeq(w.Key()), at, err
		}
		w.Next()
	}
	return 0, at, nil
}
