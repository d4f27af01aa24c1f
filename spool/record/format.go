package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Version is the version of everything on disk; whatever changes what a record may be changes it
	// (TestFormatHasANumber). It is the first one: 1 and 2 were those of builds before it.
	Version = 3
)

var (
	// ErrFormat: a newer hookspool wrote this spool.
	ErrFormat = errors.New("the spool has a newer format")
	// ErrOldFormat: a hookspool wrote this spool from whose format there is no way to this one.
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

// CheckVersion says whether this hookspool reads a version; ErrFormat, ErrOldFormat.
func CheckVersion(v uint64) error {
	switch {
	case v > Version:
		return fmt.Errorf("%w: got %d; this hookspool reads %d", ErrFormat, v, Version)
	case v < Version:
		return fmt.Errorf("%w: got %d; this hookspool reads %d", ErrOldFormat, v, Version)
	}
	return nil
}

// DecodeFormat reads no further than the version if that is not ours.
func DecodeFormat(value []byte) (Format, error) {
	var f Format
	d, err := OpenValue(value)
	if err != nil {
		return f, fmt.Errorf("cannot read its format: %w", err)
	}
	f.Version = d.Uint()
	if err := CheckVersion(f.Version); err != nil && d.Err == nil {
		return f, err
	}
	copy(f.ID[:], d.Bytes())
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
