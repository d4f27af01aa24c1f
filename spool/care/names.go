package care

import (
	"hash/maphash"

	"github.com/hookspool/hookspool/spool/record"
)

// namesMax bounds the sequences whose ids are compared in one walk through the log.
const namesMax = 4 << 20

// names are what the records of ids say of the events in a range of sequences, to be compared with
// the events as a walk through the log comes to them: looked up one by one, each would read all
// that lies together with its event. Another range takes another look at the records of ids, which
// are small, and never one at the log.
type names struct {
	seed       maphash.Seed
	from, size uint64
	ids        []uint64 // hashes by sequence, from the first, 0: no record names it; nil: none any
}

// begin starts a range at a sequence, for a log that ends at another.
func (n *names) begin(from, head uint64) {
	n.from, n.size = from, min(head-min(head, from)+1, namesMax)
	if clear(n.ids); uint64(len(n.ids)) < n.size {
		n.ids = nil // made when it is needed; keys of a damaged file may come in no order
	}
}

// note takes what a record says of an event, 0: of none; false: another one names the same.
func (n *names) note(id string, seq uint64) bool {
	if seq == 0 || !n.holds(seq) {
		return true
	}
	if n.ids == nil {
		n.seed, n.ids = maphash.MakeSeed(), make([]uint64, n.size)
	}
	hash, at := n.hash(id), &n.ids[seq-n.from]
	twice := *at != 0 && *at != hash
	*at = hash
	return !twice
}

// holds reports whether the range holds a sequence.
func (n *names) holds(seq uint64) bool { return seq >= n.from && seq-n.from < n.size }

// fits reports whether no record names an event that has another id.
func (n *names) fits(e *record.Event) bool {
	if n.ids == nil {
		return true
	}
	hash := n.ids[e.Seq-n.from]
	return hash == 0 || hash == n.hash(e.ID())
}

func (n *names) hash(id string) uint64 { return maphash.String(n.seed, id) | 1 }
