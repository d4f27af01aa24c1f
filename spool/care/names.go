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
	seed maphash.Seed
	from uint64
	ids  []uint64 // hashes by sequence, from the first; 0: no record names it
}

// begin starts a range at a sequence, for a log that ends at another.
func (n *names) begin(from, head uint64) {
	size := min(head-min(head, from)+1, namesMax)
	if n.ids == nil || size > uint64(len(n.ids)) {
		n.seed, n.ids = maphash.MakeSeed(), make([]uint64, size)
	}
	clear(n.ids)
	n.from = from
}

// note takes what a record says of an event, 0: of none; false: another one names the same.
func (n *names) note(id string, seq uint64) bool {
	at := seq - n.from
	if seq == 0 || seq < n.from || at >= uint64(len(n.ids)) {
		return true
	}
	hash := n.hash(id)
	twice := n.ids[at] != 0 && n.ids[at] != hash
	n.ids[at] = hash
	return !twice
}

// holds reports whether the range holds a sequence.
func (n *names) holds(seq uint64) bool {
	return seq >= n.from && seq-n.from < uint64(len(n.ids))
}

// fits reports whether no record names an event that has another id.
func (n *names) fits(e *record.Event) bool {
	hash := n.ids[e.Seq-n.from]
	return hash == 0 || hash == n.hash(e.ID())
}

func (n *names) hash(id string) uint64 { return maphash.String(n.seed, id) | 1 }
