// Package receipt is what is kept of a delivery that succeeded at once: when, with which status,
// and how long it took. A [Tail] gathers the newest ones of a lane, and says which of them are to
// be stored by themselves. It knows nothing of records and engines.
//
// # Form
//
// Receipts are stored many together, in ascending order of their sequences, each as
//
//	uvarint   sequence, less that of the one before
//	uvarint   milliseconds of unix time, less those of the one before, zigzag; shifted left by one,
//	          with 1 added if a status follows
//	uvarint   how long it took, in tenths of a millisecond
//	uvarint   the status, if it is not 200
//
// which is 3 to 5 bytes for most of them. There is no count: they end where the bytes end.
package receipt

import (
	"encoding/binary"
	"errors"
	"time"
)

// usual is the status that is not stored.
const usual = 200

const (
	statusMax = 1<<16 - 1
	// millisecondsMax bounds an instant, so that what is stored of it fits.
	millisecondsMax = 1 << 60
	tenth           = time.Millisecond / 10
)

// Receipt is what is kept of one delivery.
type Receipt struct {
	Seq uint64
	// Milliseconds of unix time are when it succeeded.
	Milliseconds int64
	// Tenths of a millisecond are how long the request took; 0: nobody knows.
	Tenths uint32
	Status uint16
}

// Of is the receipt of a delivery. What took any time took a tenth of a millisecond at least.
func Of(seq uint64, at time.Time, took time.Duration, status int) Receipt {
	if took > 0 {
		took = max(took, tenth)
	}
	return Receipt{Seq: seq, Milliseconds: at.UnixMilli(),
		Tenths: uint32(min(max((took+tenth/2)/tenth, 0), 1<<32-1)),
		Status: uint16(min(max(status, 0), statusMax))}
}

// At is when the delivery succeeded.
func (r Receipt) At() time.Time { return time.UnixMilli(r.Milliseconds) }

// Took is how long the request took.
func (r Receipt) Took() time.Duration { return time.Duration(r.Tenths) * tenth }

// Append encodes receipts, which are in ascending order of their sequences, each once.
func Append(b []byte, list []Receipt) []byte {
	var last Receipt
	for _, r := range list {
		b = binary.AppendUvarint(b, r.Seq-last.Seq)
		delta := r.Milliseconds - last.Milliseconds
		when := uint64((delta<<1)^(delta>>63)) << 1
		if r.Status != usual {
			when |= 1
		}
		b = binary.AppendUvarint(b, when)
		b = binary.AppendUvarint(b, uint64(r.Tenths))
		if r.Status != usual {
			b = binary.AppendUvarint(b, uint64(r.Status))
		}
		last = r
	}
	return b
}

var (
	errShort = errors.New("receipts end too early")
	errOrder = errors.New("receipts are not in the order of their sequences")
	errLarge = errors.New("a receipt has a number that is too large")
)

// Decode reads what Append wrote.
func Decode(b []byte) (list []Receipt, err error) {
	var last Receipt
	for len(b) > 0 {
		var n [4]uint64
		of := 3
		for i := 0; i < of; i++ {
			v, k := binary.Uvarint(b)
			if k <= 0 {
				return nil, errShort
			}
			n[i], b = v, b[k:]
			if i == 1 && v&1 != 0 {
				of = 4
			}
		}
		status := uint64(usual)
		if of == 4 {
			status = n[3]
		}
		zigzag := n[1] >> 1
		r := Receipt{Seq: last.Seq + n[0],
			Milliseconds: last.Milliseconds + (int64(zigzag>>1) ^ -int64(zigzag&1)),
			Tenths:       uint32(n[2]), Status: uint16(status)}
		switch {
		case r.Seq <= last.Seq:
			return nil, errOrder
		case n[2] > 1<<32-1, status > statusMax, of == 4 && status == usual,
			r.Milliseconds > millisecondsMax, r.Milliseconds < -millisecondsMax:
			return nil, errLarge
		}
		list, last = append(list, r), r
	}
	return list, nil
}

// First is the lowest sequence of encoded receipts; 0: there are none.
func First(b []byte) uint64 {
	seq, k := binary.Uvarint(b)
	if k <= 0 {
		return 0
	}
	return seq
}
