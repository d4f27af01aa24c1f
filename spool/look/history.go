package look

import (
	"fmt"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// History is what is known of the attempts of one delivery, oldest first. recent are the last ones
// of its lane, of which some are in memory only.
func History(r engine.Records, d record.Ref, recent []record.Attempt) ([]record.Attempt, error) {
	look := r.Look()
	defer look.Close()
	var out []record.Attempt
	err := engine.Scan(look, record.LaneSeqKey(record.PrefixHistory, d.Lane, d.Seq), nil,
		func(_, value []byte) (bool, error) {
			if a, err := record.DecodeAttempt(value); err == nil { // else a gap
				a.Ref = d
				out = append(out, a)
			}
			return true, nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read attempts at event %d: %w", d.Seq, err)
	}
	for _, a := range recent {
		same := func(b record.Attempt) bool { return b.Number == a.Number && b.At.Equal(a.At) }
		if a.Seq == d.Seq && !slices.ContainsFunc(out, same) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b record.Attempt) int { return a.At.Compare(b.At) })
	return out, nil
}
