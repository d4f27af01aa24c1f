package receipt

import (
	"cmp"
	"slices"
)

const (
	// tailMax receipts are written again with every record of a lane; of more, those that are
	// complete are stored by themselves. More would be much to write again where a lane is quiet, and
	// writes its record after every delivery; fewer are a record, which has a head, for a few.
	tailMax = 8
	// dearMax is tailMax where each record is a message that stays in the memory of a server, some
	// 400 bytes of it: 33 a delivery so, and what is written is hardly more than the least.
	dearMax = 12
	// pieceMax bounds what is stored as one, and is decoded to find one.
	pieceMax = 512
	// apartMin receipts above a delivery that does not end are stored apart, so that what is written
	// again stays small meanwhile.
	apartMin = 256
	// heldMax bounds the memory of a tail that cannot be stored; idleMax what one keeps for later.
	heldMax = 1 << 17
	idleMax = 1 << 13
)

// Tail gathers the receipts of a lane's newest deliveries. Its owner guards it.
//
// They are stored in pieces such that each has all receipts of a stretch of the log: a piece takes
// them up to the lane's position, to which nothing can be added any more. So pieces do not overlap,
// and the first one that ends at or after a sequence has its receipt, or there is none. While one
// attempt takes long, the position stands before it, and what succeeds above is stored apart, in
// pieces between two deliveries that are under way; whoever looks goes on past a piece apart that
// has not what is looked for.
type Tail struct {
	list []Receipt
	// writing are how many of the first are being stored.
	writing int
	// dear: records are few and long rather than little is written again.
	dear bool
}

// Piece is what is stored as one.
type Piece struct {
	// Apart: it is of a stretch above the lane's position. What comes before it may be in a piece
	// after it.
	Apart bool
	List  []Receipt
}

// Last is the highest sequence in it.
func (p *Piece) Last() uint64 { return p.List[len(p.List)-1].Seq }

// Tailed is a tail with what is known. dear: each record costs memory for as long as it is kept.
func Tailed(list []Receipt, dear bool) Tail { return Tail{list: list, dear: dear} }

// most is how many receipts stay in a lane's record.
func (t *Tail) most() int {
	if t.dear {
		return dearMax
	}
	return tailMax
}

// Add takes the receipt of a delivery that has succeeded just now. While nothing can be written,
// deliveries go on, and none of them is settled on disk; what succeeds beyond heldMax is not noted.
func (t *Tail) Add(r Receipt) {
	if len(t.list) < heldMax {
		t.list = append(t.list, r)
	}
}

// All are the receipts that it has, in no order. The caller may keep them.
func (t *Tail) All() []Receipt { return slices.Clone(t.list) }

// Large reports whether the deliveries under way are worth asking for.
func (t *Tail) Large() bool { return len(t.list)-t.writing >= apartMin }

// Cut says which receipts are to be stored in pieces now, and which stay in the record of the lane,
// whose position is given. under are the deliveries under way, ascending, with one more that is
// above all that were handed out; nil: nobody asked. Until Stored, the tail has all of them, and
// nothing more is cut. The lists are valid until then.
func (t *Tail) Cut(position uint64, under []uint64) (pieces []Piece, rest []Receipt) {
	list := t.Rest()
	if t.writing > 0 || len(list) <= t.most() {
		return nil, list
	}
	if n := below(list, position+1); n > t.most()/2 {
		pieces = pieceUp(pieces, list[:n], false)
		t.writing = n
	}
	if rest = list[t.writing:]; len(rest) >= apartMin && len(under) > 0 {
		pieces, rest = t.cutApart(pieces, rest, under)
	}
	return pieces, rest
}

// cutApart cuts what lies between deliveries under way. What is being stored comes first in the
// list, so the others move.
func (t *Tail) cutApart(pieces []Piece, list []Receipt, under []uint64) ([]Piece, []Receipt) {
	var apart, rest []Receipt
	from := below(list, under[0])
	rest = append(rest, list[:from]...)
	for _, next := range under[1:] {
		n := from + below(list[from:], next)
		if stretch := list[from:n]; len(stretch) >= apartMin {
			apart = append(apart, stretch...)
			pieces = pieceUp(pieces, slices.Clone(stretch), true)
		} else {
			rest = append(rest, stretch...)
		}
		from = n
	}
	rest = append(rest, list[from:]...)
	copy(list, apart)
	copy(list[len(apart):], rest)
	t.writing += len(apart)
	return pieces, list[len(apart):]
}

// Rest are the receipts that are not being stored, in order. The list is valid until Cut or Stored.
func (t *Tail) Rest() []Receipt {
	list := t.list[t.writing:]
	slices.SortFunc(list, func(a, b Receipt) int { return cmp.Compare(a.Seq, b.Seq) })
	list = slices.CompactFunc(list, func(a, b Receipt) bool { return a.Seq == b.Seq })
	t.list = t.list[:t.writing+len(list)]
	return list
}

// below is how many of a sorted list come before a sequence.
func below(list []Receipt, seq uint64) int {
	n, _ := slices.BinarySearchFunc(list, seq, func(r Receipt, seq uint64) int {
		return cmp.Compare(r.Seq, seq)
	})
	return n
}

func pieceUp(pieces []Piece, list []Receipt, apart bool) []Piece {
	for some := range slices.Chunk(list, pieceMax) {
		pieces = append(pieces, Piece{apart, some})
	}
	return pieces
}

// Stored forgets what Cut has cut.
func (t *Tail) Stored() {
	n := copy(t.list, t.list[t.writing:])
	t.list, t.writing = t.list[:n], 0
	if cap(t.list) > idleMax && n < idleMax/4 {
		t.list = slices.Clone(t.list)
	}
}
