package mend

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// eventKeyBytes is how long the keys are of what lies in value logs, as the engine writes them. It
// is tried where the head of an entry does not say.
const eventKeyBytes = 9 + timeBytes

// stretch is what lies between two sound entries.
func (v *valueReader) stretch(at, end int64) Stretch {
	s := Stretch{Place: Place{At: at, Bytes: end - at}, Before: v.event}
	for at < end {
		p := v.piece(at, end)
		s.Pieces = append(s.Pieces, p)
		at += p.Bytes
	}
	return s
}

// tail is what lies after the last sound entry. Where zeros follow, its last entry may end in some.
func (v *valueReader) tail(at int64) Stretch {
	if v.closed() && v.Size-at >= entryMin {
		return v.stretch(at, v.Size)
	}
	s := Stretch{Place: Place{At: at}, Before: v.event}
	if end := min(v.o.Known.End, v.Size); end-at >= entryMin {
		s = v.stretch(at, end)
		at = end
	}
	for at < v.used {
		p, ok := v.begins(at, v.Size-at)
		for zeros := int64(0); !ok && zeros <= crc32.Size; zeros++ {
			p, ok = v.restore(at, v.used-at+zeros)
		}
		if !ok {
			break
		}
		s.Pieces = append(s.Pieces, p)
		at += p.Bytes
		s.Bytes += p.Bytes
	}
	return s
}

// piece is the first entry of a stretch: the whole of it if the checksum says so, else as much as
// its head says, else what lies before the next head of ours, else the whole of it.
func (v *valueReader) piece(at, end int64) Piece {
	n := end - at
	if p, ok := v.restore(at, n); ok {
		return p
	}
	if p, ok := v.begins(at, n); ok {
		return p
	}
	if p, ok := v.before(at, end); ok {
		return p
	}
	if n > 2*windowBytes {
		n = windowBytes // the engine makes room for all of an entry
	}
	return v.cover(at, n, meantHead(eventKeyBytes, n))
}

// begins is the entry that the head at a place describes, in so many bytes. One that leaves some of
// them for others has a key of ours, or another head follows it.
func (v *valueReader) begins(at, n int64) (Piece, bool) {
	e, ok := v.headAt(at)
	size := int64(e.size)
	if !ok || e.meta != 0 || size > n || size < n && n-size < entryMin {
		return Piece{}, false
	}
	if size < n {
		if p, ok := v.restore(at, size); ok {
			return p, true
		}
		x := v.split(e, at)
		next, follows := v.headAt(at + size)
		if !v.ours(e, &x) && !(follows && next.meta == 0 && next.userMeta == 0) {
			return Piece{}, false
		}
	}
	head := bytes.Clone(v.near.at(at, e.head))
	head[1] = mendedMark
	return v.cover(at, size, head), true
}

// before is the entry that ends where another head of ours begins: one with which the checksum
// fits, or else the first that leads to a third, or to the stretch's end.
func (v *valueReader) before(at, end int64) (Piece, bool) {
	first := int64(0)
	for p := at + entryMin; !v.o.Sums && p < min(end, at+FrameBytesMax) && v.budget > 0; p++ {
		if p = v.far.next(p, end); p >= end {
			break
		}
		size, ok := v.headOfOurs(p)
		if !ok || p+size > end {
			continue
		}
		if r, ok := v.restore(at, p-at); ok {
			return r, true
		}
		if first == 0 {
			if _, leads := v.headOfOurs(p + size); leads || p+size == end {
				first = p
			}
		}
	}
	if first == 0 {
		return Piece{}, false
	}
	return v.cover(at, first-at, meantHead(eventKeyBytes, first-at)), true
}

// headOfOurs is how long the entry at a place is, if its head and key can be ours.
func (v *valueReader) headOfOurs(at int64) (size int64, ok bool) {
	e, ok := v.headAt(at)
	if !ok {
		return 0, false
	}
	x := v.split(e, at)
	return x.Bytes, v.ours(e, &x)
}

// cover is an entry of so many bytes with another head, of which nothing is known.
func (v *valueReader) cover(at, n int64, head []byte) Piece {
	p := v.made(at, n, head)
	p.sum = v.near.sum(head, at+int64(len(head)), at+n-crc32.Size)
	return p
}

// made is an entry with another head.
func (v *valueReader) made(at, n int64, head []byte) Piece {
	p := Piece{Place: Place{At: at, Bytes: n}, meant: head}
	if e, ok := readHead(head, uint64(v.Size)); ok && !v.o.Sums {
		if x := v.split(e, at); v.ours(e, &x) {
			p.Key, p.Txn = bytes.Clone(x.Key), x.Txn
		}
	}
	return p
}

// restore finds the head of an entry of so many bytes, if that is what is damaged: with it the
// checksum fits. Its length says what one of its numbers is if the others are there, or are those
// of an event.
func (v *valueReader) restore(at, n int64) (Piece, bool) {
	if n < entryMin || n > FrameBytesMax+KeyBytesMax+headBytesMax {
		return Piece{}, false
	}
	raw := append(bytes.Clone(v.near.at(at, headBytesMax)), make([]byte, headBytesMax)...)
	said, _ := binary.Uvarint(raw[2:])
	var tried [][]byte
	for _, key := range []uint64{said, eventKeyBytes} {
		for length := 1; length <= 4; length++ {
			from := 2 + numberBytes(key) + length
			expires, _ := binary.Uvarint(raw[min(from, headBytesMax):])
			for _, expires := range []uint64{expires, 0} {
				head, ok := fittingHead(key, expires, length, n)
				if ok && !slices.ContainsFunc(tried, func(b []byte) bool { return bytes.Equal(b, head) }) {
					tried = append(tried, head)
				}
			}
		}
	}
	for _, head := range tried {
		for _, head[1] = range []byte{0, mendedMark} {
			if v.budget -= n; v.budget > 0 && v.fits(at, n, head) {
				p := v.made(at, n, head)
				p.Restored = true
				p.sum = binary.BigEndian.Uint32(v.near.at(at+n-crc32.Size, crc32.Size))
				return p, true
			}
		}
	}
	return Piece{}, false
}

// fittingHead is the head of an entry of so many bytes, whose value's length takes so many; false
// if there is none.
func fittingHead(key, expires uint64, length int, n int64) ([]byte, bool) {
	head := int64(2 + numberBytes(key) + length + numberBytes(expires))
	value := n - head - int64(key) - crc32.Size
	if key <= timeBytes || key > KeyBytesMax || value < 0 || numberBytes(uint64(value)) != length {
		return nil, false
	}
	b := binary.AppendUvarint([]byte{0, 0}, key)
	b = binary.AppendUvarint(b, uint64(value))
	return binary.AppendUvarint(b, expires), true
}

func numberBytes(n uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], n)
}

// meantHead is the head of an entry of so many bytes whose own says nothing. A number may be
// written in one byte more than it needs, where no other value makes up the length.
func meantHead(key uint64, n int64) []byte {
	key = min(key, uint64(n-entryMin)+timeBytes+1)
	for length := 1; ; length++ {
		value := n - int64(2+1+length+1) - int64(key) - crc32.Size
		need := numberBytes(uint64(max(value, 0)))
		if need > length {
			continue
		}
		b := binary.AppendUvarint([]byte{0, mendedMark}, key)
		b = binary.AppendUvarint(b, uint64(value))
		for range length - need {
			b[len(b)-1] |= 0x80
			b = append(b, 0)
		}
		return append(b, 0)
	}
}

// Patch are bytes that go to a place in a file, over others.
type Patch struct {
	At    int64
	Bytes []byte
}

// IsDamaged reports whether there is anything to mend.
func (v *Values) IsDamaged() bool { return v.Head || v.rotten || len(v.Damaged) > 0 }

// Patches make the engine walk past what is damaged, up to End, and end there. Nothing moves, and
// they can be written again, or again after some of them.
func (v *Values) Patches() (all []Patch) {
	if v.Head {
		all = append(all, Patch{Bytes: v.head[:]})
	}
	for i := range v.Damaged {
		for _, p := range v.Damaged[i].Pieces {
			sum := binary.BigEndian.AppendUint32(nil, p.sum)
			all = append(all, Patch{At: p.At, Bytes: p.meant},
				Patch{At: p.At + p.Bytes - crc32.Size, Bytes: sum})
		}
	}
	if v.rotten {
		all = append(all, Patch{At: v.End, Bytes: make([]byte, min(headBytesMax, v.Size-v.End))})
	}
	return all
}

// Fault says what is wrong with a value log; "": nothing.
func (v *Values) Fault() string {
	switch {
	case v.Head:
		return "its head does not open it"
	case len(v.Damaged) > 0:
		return fmt.Sprintf("the entry at byte %d cannot be read, and there are %d such places",
			v.Damaged[0].At, len(v.Damaged))
	}
	return ""
}

// Note says what a crash has left at its end; "": nothing.
func (v *Values) Note() string {
	if v.Torn == 0 {
		return ""
	}
	return fmt.Sprintf("it ends in %d bytes of an entry that was never whole", v.Torn)
}

// Lost is how many entries in damaged stretches were put right, and how many of the others there
// are.
func (v *Values) Lost() (restored, damaged int) {
	for i := range v.Damaged {
		for j := range v.Damaged[i].Pieces {
			if v.Damaged[i].Pieces[j].Restored {
				restored++
			} else {
				damaged++
			}
		}
	}
	return restored, damaged
}
