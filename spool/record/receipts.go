package record

import (
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/receipt"
)

// ReceiptsKey is the key of a piece of a lane's receipts.
func ReceiptsKey(lane LaneID, p *receipt.Piece) []byte {
	return LaneSeqKey(PrefixReceipts, lane, p.Last())
}

// EncodeReceipts is the record of a piece: whether it is one apart, then the receipts, whose form
// package receipt tells.
func EncodeReceipts(p *receipt.Piece) []byte {
	e := NewEncoder(16 + 5*len(p.List))
	e.bool(p.Apart)
	e.b = receipt.Append(e.b, p.List)
	return e.Seal()
}

// DecodeReceipts reads a piece.
func DecodeReceipts(b []byte) (p receipt.Piece, err error) {
	d, err := OpenValue(b)
	if err == nil {
		p.Apart = d.bool()
		if err = d.Err; err == nil {
			p.List, err = receipt.Decode(d.b)
		}
	}
	if err == nil && len(p.List) == 0 {
		err = errShortValue
	}
	if err != nil {
		return receipt.Piece{}, fmt.Errorf("cannot read receipts: %w", err)
	}
	return p, nil
}

// FirstReceipt is the lowest sequence in the record of a piece, without reading it whole.
func FirstReceipt(b []byte) (uint64, error) {
	d, err := OpenValue(b)
	if err != nil {
		return 0, fmt.Errorf("cannot read receipts: %w", err)
	}
	d.bool()
	return receipt.First(d.b), d.Err
}

func checkReceipts(key, value []byte) error {
	p, err := DecodeReceipts(value)
	if err == nil && p.Last() != KeySeq(key) {
		err = errors.New("its key is not the last of its receipts")
	}
	return err
}
