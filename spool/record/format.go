package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Version is the version of everything on disk; whatever changes what a record may be changes it
	// (TestFormatHasANumber). 1: all of it lies in the engine's tree. 2: large values lie in its value
	// log, which an older hookspool takes for empty. 3: events lie together in frames, of which an
	// older one would set each aside; it began under the number 2.
	Version = 3
	// VersionRead is the oldest that is read as it is.
	VersionRead = 1
)

var (
	// ErrFormat: a newer hookspool wrote this spool.
	ErrFormat = errors.New("the spool has a newer format")
	// ErrOldFormat: an older hookspool wrote this spool, and whoever opens it does not write, so it
	// cannot be brought up to date.
	ErrOldFormat = errors.New("the spool has an older format")
)

// Format says what this is.
type Format struct {
	Version uint64
	ID      [8]byte
	// Former are the ids of the spools that this one was restored from, newest first.
	Former [][8]byte
}

// FormerMax bounds the list; an older one only makes events of then harder to find.
const FormerMax = 64

// Encode is its record.
func (f *Format) Encode() []byte {
	e := NewEncoder(32)
	e.Uint(f.Version)
	e.Bytes(f.ID[:])
	e.Uint(uint64(len(f.Former)))
	for _, id := range f.Former {
		e.Bytes(id[:])
	}
	return e.Seal()
}

// DecodeFormat reads no further than the version if that is not ours.
func DecodeFormat(value []byte) (Format, error) {
	var f Format
	d, err := OpenValue(value)
	if err != nil {
		return f, fmt.Errorf("cannot read its format: %w", err)
	}
	f.Version = d.Uint()
	if f.Version > Version {
		return f, fmt.Errorf("%w: got %d; this hookspool reads %d", ErrFormat, f.Version,
			Version)
	}
	copy(f.ID[:], d.Bytes())
	if len(d.b) == 0 {
		return f, d.Err // written before there were restores
	}
	for n := d.Uint(); n > 0 && d.Err == nil; n-- {
		var id [8]byte
		copy(id[:], d.Bytes())
		f.Former = append(f.Former, id)
	}
	return f, d.Err
}

// Number is the part of a spool's id that goes into the ids of events.
func (f *Format) Number() uint32 { return binary.BigEndian.Uint32(f.ID[:]) }

// MadeSeq is the sequence inside an id made by this spool or one that it was restored from.
func (f *Format) MadeSeq(id string) (uint64, bool) {
	if seq, ok := madeSeq(id, f.Number()); ok {
		return seq, true
	}
	for _, former := range f.Former {
		if seq, ok := madeSeq(id, binary.BigEndian.Uint32(former[:])); ok {
			return seq, true
		}
	}
	return 0, false
}
