package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// formatVersion is the version of everything on disk.
const formatVersion = 1

// ErrFormat: a newer hookspool wrote this spool.
var ErrFormat = errors.New("the spool has a newer format")

// formatRecord says what this is.
type formatRecord struct {
	version uint64
	id      [8]byte
	// former are the ids of the spools that this one was restored from, newest first.
	former [][8]byte
}

// formerMax bounds the list; an older one only makes events of then harder to find.
const formerMax = 64

func (f *formatRecord) encode() []byte {
	e := newEncoder(32)
	e.uint(f.version)
	e.bytes(f.id[:])
	e.uint(uint64(len(f.former)))
	for _, id := range f.former {
		e.bytes(id[:])
	}
	return e.seal()
}

// decodeFormat reads no further than the version if that is not ours.
func decodeFormat(value []byte) (formatRecord, error) {
	var f formatRecord
	d, err := openValue(value)
	if err != nil {
		return f, fmt.Errorf("cannot read its format: %w", err)
	}
	f.version = d.uint()
	if f.version > formatVersion {
		return f, fmt.Errorf("%w: got %d; this hookspool reads %d", ErrFormat, f.version,
			formatVersion)
	}
	copy(f.id[:], d.bytes())
	if len(d.b) == 0 {
		return f, d.err // written before there were restores
	}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		var id [8]byte
		copy(id[:], d.bytes())
		f.former = append(f.former, id)
	}
	return f, d.err
}

// number is the part of a spool's id that goes into the ids of events.
func (f *formatRecord) number() uint32 { return binary.BigEndian.Uint32(f.id[:]) }

// madeSeq is the sequence inside an id made by this spool or one that it was restored from.
func (f *formatRecord) madeSeq(id string) (uint64, bool) {
	if seq, ok := madeSeq(id, f.number()); ok {
		return seq, true
	}
	for _, former := range f.former {
		if seq, ok := madeSeq(id, binary.BigEndian.Uint32(former[:])); ok {
			return seq, true
		}
	}
	return 0, false
}
