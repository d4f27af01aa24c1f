package look

import (
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Upward selects events, oldest first.
type Upward struct {
	// From is the next of the page before; 0: from the first that was accepted at Since.
	From  uint64
	Since time.Time
	// Picking has no Place here.
	Picking
}

// Read visits one page of what is kept of the log in its order, until visit says no, which leaves
// that event to the next page. next is where that goes on; 0 after the last. Events that cannot be
// read are left out, and so are those that are accepted meanwhile.
func Read(s Source, q Upward, visit func(e *record.Event) bool) (next uint64, err error) {
	head := s.Head()
	if q.From == 0 && !q.Since.IsZero() {
		if q.From, err = firstAfter(s, q.Since.Add(-searchSlack), true); err != nil {
			return 0, err
		}
	}
	look := s.Records().Look()
	defer look.Close()
	swept := s.Swept()
	at := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Gone: true})
	defer at.Close()
	size, steps, last := 0, 0, uint64(0)
	for at.Seek(record.LogKey(q.From)); at.Valid(); at.Next() {
		seq := record.KeySeq(at.Key())
		if seq > head {
			break
		}
		if seq == last {
			continue // an older version
		}
		if steps++; steps > searchMax || size > searchBytesMax || q.enough() {
			return seq, nil
		}
		last = seq
		q.Seen.note(seq)
		if at.Gone() || seq <= swept && !has(look, at.Key()) {
			continue
		}
		more := true
		err := at.View(func(value []byte) error {
			size += len(value)
			if e, err := record.DecodeEvent(value, seq); err == nil && q.picks(e) {
				more = visit(e)
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("cannot read the log from %d: %w", q.From, err)
		}
		if !more {
			return seq, nil
		}
	}
	return 0, nil
}
