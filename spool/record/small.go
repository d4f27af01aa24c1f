package record

import (
	"fmt"
	"math"
	"time"
)

// Tick is one beat of the retry clock.
type Tick struct {
	// Number counts ticks and jobs asked for by hand, from 1.
	Number uint64
	// At is the instant of the last regular tick.
	At time.Time
	// Beat counts regular ticks; 0: it was written before they were counted.
	Beat uint64
}

// Encode is its record.
func (t Tick) Encode() []byte {
	e := NewEncoder(20)
	e.Uint(t.Number)
	e.Time(t.At)
	if t.Beat > 0 {
		e.Uint(t.Beat)
	}
	return e.Seal()
}

// DecodeTick reads a tick.
func DecodeTick(b []byte) (Tick, error) {
	d, err := OpenValue(b)
	if err != nil {
		return Tick{}, fmt.Errorf("cannot read tick: %w", err)
	}
	t := Tick{Number: d.Uint(), At: d.Time()}
	if len(d.b) > 0 {
		t.Beat = d.Uint()
	}
	return t, d.Err
}

// Checkpoint is the point from which a start counts the log.
type Checkpoint struct {
	Head  uint64 // the newest event that every sum holds
	Swept uint64 // up to here nobody looks for events that nobody needs
	// Replays counts replays where several relays share the spool: a removal that was planned before
	// one may remove what that needs.
	Replays uint64
}

// Encode is its record.
func (c Checkpoint) Encode() []byte {
	e := NewEncoder(30)
	e.Uint(c.Head)
	e.Uint(c.Swept)
	if c.Replays > 0 {
		e.Uint(c.Replays)
	}
	return e.Seal()
}

// DecodeCheckpoint reads a checkpoint.
func DecodeCheckpoint(b []byte) (Checkpoint, error) {
	d, err := OpenValue(b)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("cannot read checkpoint: %w", err)
	}
	c := Checkpoint{Head: d.Uint(), Swept: d.Uint()}
	if len(d.b) > 0 {
		c.Replays = d.Uint()
	}
	return c, d.Err
}

// IDPass is how far ids are remembered again whose events are kept; see package idpass.
type IDPass struct {
	Number uint64 // of the pass, in days since 1970
	To     uint64 // the newest event that it has passed
	// Life is for how long every event after that was remembered at least when it was accepted, to
	// the second.
	Life time.Duration
}

// Encode is its record.
func (p IDPass) Encode() []byte {
	e := NewEncoder(30)
	e.Uint(p.Number)
	e.Uint(p.To)
	e.Uint(uint64(p.Life / time.Second))
	return e.Seal()
}

// DecodeIDPass reads one.
func DecodeIDPass(b []byte) (IDPass, error) {
	d, err := OpenValue(b)
	if err != nil {
		return IDPass{}, fmt.Errorf("cannot read how far ids are remembered: %w", err)
	}
	p := IDPass{Number: d.Uint(), To: d.Uint()}
	p.Life = time.Duration(min(d.Uint(), uint64(math.MaxInt64/time.Second))) * time.Second
	return p, d.Err
}

// EncodeName is a lane's name; empty: it was forgotten.
func EncodeName(name string) []byte {
	e := NewEncoder(len(name))
	e.String(name)
	return e.Seal()
}

// DecodeName reads the name of a lane; empty: it was forgotten.
func DecodeName(b []byte) (string, error) {
	d, err := OpenValue(b)
	if err != nil {
		return "", fmt.Errorf("cannot read the name of a lane: %w", err)
	}
	name := d.string()
	return name, d.Err
}

// EncodeWord is the body of a notice or of a memo.
func EncodeWord(body []byte) []byte {
	e := NewEncoder(len(body))
	e.Bytes(body)
	return e.Seal()
}

// DecodeWord reads the body of a notice or of a memo.
func DecodeWord(b []byte) ([]byte, error) {
	d, err := OpenValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read what is owed or noted: %w", err)
	}
	body := d.Bytes()
	return body, d.Err
}

// EncodeInstant is the mark of a delivery that was deleted by hand, and of when the wall clock was
// noticed to have gone back (package wallclock).
func EncodeInstant(at time.Time) []byte {
	e := NewEncoder(10)
	e.Time(at)
	return e.Seal()
}

// DecodeInstant reads one.
func DecodeInstant(b []byte) (time.Time, error) {
	d, err := OpenValue(b)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read an instant: %w", err)
	}
	at := d.Time()
	return at, d.Err
}

// EncodeState puts a caller's value into an envelope.
func EncodeState(value []byte) []byte {
	e := NewEncoder(len(value))
	e.b = append(e.b, value...)
	return e.Seal()
}

// DecodeState is the value in an envelope; it is part of b.
func DecodeState(b []byte) ([]byte, error) {
	d, err := OpenValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read state: %w", err)
	}
	return d.b, nil
}
