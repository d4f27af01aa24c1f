package look

import (
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Tallies visits what was counted of a lane, or of the spool itself, from an hour on, in the order
// of the hours; of one hour the tallies of several relays, by name. A body is valid during the
// visit only. What cannot be read is left out. Of what a relay writes there are at most 26 for
// slot 0, and 32 for slot 1.
func Tallies(r engine.Records, about record.LaneID, slot uint8, hour uint64,
	visit func(hour uint64, by string, body []byte)) error {
	look := r.Look()
	defer look.Close()
	prefix := record.TallyKey(about, slot, 0, "")[:6]
	err := engine.Scan(look, prefix, record.TallyKey(about, slot, hour, ""),
		func(key, value []byte) (bool, error) {
			body, err := record.DecodeWord(value)
			if err == nil && record.KindOf(key).Fits(key) == nil {
				visit(record.KeyTallyHour(key), record.KeyTallyBy(key), body)
			}
			return true, nil
		})
	if err != nil {
		return fmt.Errorf("cannot read what was counted: %w", err)
	}
	return nil
}

// Tally is what one relay has counted from an hour on; nil: nothing, or it cannot be read.
func Tally(r engine.Records, about record.LaneID, slot uint8, hour uint64, by string) []byte {
	value, err := r.Get(record.TallyKey(about, slot, hour, by))
	if err != nil {
		return nil
	}
	body, err := record.DecodeWord(value)
	if err != nil {
		return nil
	}
	return body
}
