package look

import (
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// stretch is a part of a lane's table.
type stretch struct {
	prefix   byte
	lane     record.LaneID
	from, to uint64
}

// scan visits the keys of a stretch in order until visit says no. Unlike engine.Scan it takes a
// step for a deleted key as well, of which an engine may otherwise pass any number at once. cut is
// the sequence at which most steps were taken; 0: it came to its end.
func (r stretch) scan(look engine.Look, most int, visit func(seq uint64, value []byte) bool) (
	cut uint64, err error) {
	at := look.Walk(engine.Walk{Prefix: record.LaneKey(r.prefix, r.lane), Gone: true})
	defer at.Close()
	steps, last := 0, uint64(0)
	for at.Seek(record.LaneSeqKey(r.prefix, r.lane, r.from)); at.Valid(); at.Next() {
		seq := record.KeySeq(at.Key())
		if seq == last {
			continue // an older version, which may be of a deleted key
		}
		if seq > r.to {
			return 0, nil
		}
		if steps++; steps > most {
			return seq, nil
		}
		last = seq
		if at.Gone() {
			continue
		}
		more := true
		err := at.View(func(value []byte) error {
			more = visit(seq, value)
			return nil
		})
		if err != nil || !more {
			return 0, err
		}
	}
	return 0, nil
}
