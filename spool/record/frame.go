package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A frame is the records of several events of the log in one value, one after the other, under the
// key of the last of them; some before it may have been deleted since. A record says how
// long it is, what it is the record of, and whether it is whole, so a frame has no table of its
// own, and damage in it costs the records that it is in. A value with a single record is a frame of
// one.

// InFrame is one event in a frame: its record are the bytes from From to To.
type InFrame struct {
	Seq      uint64
	From, To int
}

// frameBudget bounds the bytes that looking for whole records in a damaged frame may read: a
// payload can be made to look like thousands of records.
const frameBudget = 256 << 20

// frameSpan is more than the sequences between the first and the last event of a frame can be: an
// engine's transaction has no room for more.
const frameSpan = 1 << 16

// SplitFrame appends the events in a frame to others, which may be memory to use again. last is the
// sequence in its key. Bytes that are no whole record are shown as an event that cannot be read,
// whose sequence is the one before its neighbor's where they do not say.
func SplitFrame(into []InFrame, frame []byte, last uint64) []InFrame {
	into = into[:0]
	if len(frame) == 0 {
		return append(into, InFrame{Seq: last})
	}
	budget := frameBudget
	prev := uint64(0)
	for at := 0; at < len(frame); {
		n, seq := recordIn(frame[at:], prev, last)
		if n > 0 {
			into = append(into, InFrame{seq, at, at + n})
			at, prev = at+n, seq
			continue
		}
		end, next := afterDamage(frame, at, prev, last, &budget)
		if seq := seqOfDamage(frame[at:end], prev, next, &budget); seq > prev {
			into = append(into, InFrame{seq, at, end})
			prev = seq
		}
		at = end
	}
	return into
}

// afterDamage is where the record at a place ends that cannot be read, and the event after it:
// where its head leads, if that is another record or the end of the frame, and otherwise the first
// whole record. A payload can be made to look like one.
func afterDamage(frame []byte, at int, prev, last uint64, budget *int) (end int, next uint64) {
	if n := sizeIn(frame[at:]); n > 0 {
		if at+n == len(frame) {
			return at + n, last + 1
		}
		if n2, seq := recordIn(frame[at+n:], prev, last); n2 > 0 {
			return at + n, seq
		}
	}
	for p := at + 1; p+HeadBytes <= len(frame) && *budget > 0; p++ {
		if frame[p] != recordVersion {
			continue
		}
		*budget -= sizeIn(frame[p:])
		if n, seq := recordIn(frame[p:], prev, last); n > 0 && last-seq < frameSpan {
			return p, seq
		}
	}
	return len(frame), last + 1
}

// seqOfDamage is the event that damaged bytes between two events are shown as; 0: there is none
// between them. prev 0: they are the first.
func seqOfDamage(b []byte, prev, next uint64, budget *int) uint64 {
	from := prev + 1
	if prev == 0 {
		from = next - min(next-1, frameSpan)
	}
	if next <= from {
		return 0
	}
	if seq := seqByChecksum(b, from, next, budget); seq > 0 {
		return seq
	}
	if len(b) >= HeadBytes {
		if seq := binary.BigEndian.Uint64(b[5:]); from <= seq && seq < next {
			return seq
		}
	}
	return next - 1
}

// seqByChecksum is the event that a record is of in which nothing but its sequence is damaged; 0:
// there is more.
func seqByChecksum(b []byte, from, next uint64, budget *int) uint64 {
	if n := sizeIn(b); n == 0 || n != len(b) {
		return 0
	}
	idEnd := HeadBytes + int(binary.BigEndian.Uint16(b[33:]))
	payloadEnd := len(b) - 4*int(binary.BigEndian.Uint16(b[31:]))
	payload := crc32.Checksum(b[idEnd:payloadEnd], Castagnoli())
	var said [8]byte
	for seq := next - 1; seq >= from && *budget > 0; seq-- { // where nothing was deleted, the first
		*budget -= idEnd + len(b) - payloadEnd
		binary.BigEndian.PutUint64(said[:], seq)
		sum := crc32.Update(payload, Castagnoli(), said[:])
		sum = crc32.Update(sum, Castagnoli(), b[13:idEnd])
		if crc32.Update(sum, Castagnoli(), b[payloadEnd:]) == binary.BigEndian.Uint32(b[1:]) {
			return seq
		}
	}
	return 0
}

// sizeIn is how long the record at the beginning of b says that it is; 0: it is none.
func sizeIn(b []byte) int {
	if len(b) < HeadBytes || b[0] != recordVersion {
		return 0
	}
	n := HeadBytes + int(binary.BigEndian.Uint16(b[33:])) + int(binary.BigEndian.Uint16(b[35:])) +
		int(binary.BigEndian.Uint16(b[37:])) + int(binary.BigEndian.Uint16(b[39:])) +
		4*int(binary.BigEndian.Uint16(b[31:]))
	payload := int(binary.BigEndian.Uint32(b[41:]))
	if n > len(b) || payload > len(b)-n {
		return 0
	}
	return n + payload
}

// recordIn is the whole record at the beginning of b, of an event after one and not after another;
// n 0: there is none.
func recordIn(b []byte, after, last uint64) (n int, seq uint64) {
	n = sizeIn(b)
	if n == 0 {
		return 0, 0
	}
	if seq = binary.BigEndian.Uint64(b[5:]); seq <= after || seq > last {
		return 0, 0
	}
	idEnd := HeadBytes + int(binary.BigEndian.Uint16(b[33:]))
	payloadEnd := n - 4*int(binary.BigEndian.Uint16(b[31:]))
	sum := crc32.Checksum(b[idEnd:payloadEnd], Castagnoli())
	sum = crc32.Update(sum, Castagnoli(), b[5:idEnd])
	if crc32.Update(sum, Castagnoli(), b[payloadEnd:n]) != binary.BigEndian.Uint32(b[1:]) {
		return 0, 0
	}
	return n, seq
}

// IsWhole reports whether bytes are the whole record of an event.
func IsWhole(rec []byte, seq uint64) bool {
	n, _ := recordIn(rec, seq-1, seq)
	return n == len(rec) && n > 0
}

// WholeInFrame is how many of the events in a frame can be read, and what is wrong with the others;
// nil: nothing.
func WholeInFrame(frame []byte, last uint64) (whole int, err error) {
	for _, r := range SplitFrame(nil, frame, last) {
		if IsWhole(frame[r.From:r.To], r.Seq) {
			whole++
		} else if err == nil {
			_, err = DecodeEvent(frame[r.From:r.To], r.Seq)
			if err == nil {
				err = fmt.Errorf("cannot read event record %d", r.Seq)
			}
		}
	}
	return whole, err
}
