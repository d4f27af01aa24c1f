package look

import (
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// firstStepsMax bounds what is passed of an order's index, deleted keys included.
const firstStepsMax = 1000

// Foremost is the delivery that has stood in line beside the log for longest.
type Foremost struct {
	Seq      uint64
	Attempts int
}

// FirstOf is the first of an order's pending deliveries beside the log, as far as is committed;
// false: there is none, or none was found within bounds.
func FirstOf(r engine.Records, lane record.LaneID, order uint64) (Foremost, bool, error) {
	look := r.Look()
	defer look.Close()
	prefix := record.OrderPrefix(lane, order)
	at := look.Walk(engine.Walk{Prefix: prefix, Gone: true})
	defer at.Close()
	last := uint64(0)
	steps := 0
	for at.Seek(prefix); at.Valid() && steps < firstStepsMax; at.Next() {
		steps++
		seq := record.KeySeq(at.Key())
		if seq == last {
			continue // an older version, which may be of a deleted key
		}
		if last = seq; at.Gone() {
			continue
		}
		f := Foremost{Seq: seq}
		err := look.View(record.LaneSeqKey(record.PrefixException, lane, seq), func(value []byte) error {
			if x, err := record.DecodeException(value); err == nil {
				f.Attempts = x.Attempts
			}
			return nil
		})
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return Foremost{}, false, fmt.Errorf("cannot read who is first of an order: %w", err)
		}
		return f, true, nil
	}
	return Foremost{}, false, nil
}
