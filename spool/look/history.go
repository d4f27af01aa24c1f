package look

import (
	"fmt"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// History is what is known of the attempts of one delivery, oldest first. recent are the last ones
// of its lane, of which some are in memory only. Of one that has no Outcome a receipt is kept:
// it succeeded.
func History(r engine.Records, d record.Ref, recent []record.Attempt) ([]record.Attempt, error) {
	look := r.Look()
	defer look.Close()
	var out []record.Attempt
	var heads record.Attempt // of the last one
	err := engine.Scan(look, record.LaneSeqKey(record.PrefixHistory, d.Lane, d.Seq), nil,
		func(key, value []byte) (bool, error) {
			a, err := record.DecodeAttempt(value)
			switch {
			case err != nil: // a gap
			case record.IsHeads(key):
				heads = a
			default:
				a.Ref = d
				out = append(out, a)
			}
			return true, nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read attempts at event %d: %w", d.Seq, err)
	}
	for i := range out {
		// Whatever is left of a replay's predecessor belongs to no attempt any more.
		if a := &out[i]; a.Number == heads.Number && a.At.Equal(heads.At) && a.Number > 0 {
			a.Request, a.Response = heads.Request, heads.Response
		}
	}
	if recent, err = withReceipt(look, d, recent); err != nil {
		return nil, err
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

// withReceipt adds the attempt that delivered it at once, of which nothing else is kept for long.
func withReceipt(look engine.Look, d record.Ref, recent []record.Attempt) ([]record.Attempt,
	error) {
	if slices.ContainsFunc(recent, func(a record.Attempt) bool { return a.Seq == d.Seq }) {
		return recent, nil
	}
	r := OpenReceipts(look, d.Lane, stored(look, d.Lane))
	defer r.Close()
	t, ok, err := r.first(d.Seq)
	if err != nil || !ok {
		return recent, err
	}
	return append(slices.Clone(recent), record.Attempt{Ref: d, At: t.At(), Status: int(t.Status),
		Made: record.Made{Duration: t.Took()}}), nil
}
