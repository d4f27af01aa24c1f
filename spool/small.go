package spool

import (
	"fmt"
	"time"
)

// Tick is one beat of the retry clock.
type Tick struct {
	// Number counts ticks and jobs asked for by hand, from 1.
	Number uint64
	// At is the instant of the last regular tick.
	At time.Time
}

func (t Tick) encode() []byte {
	e := newEncoder(20)
	e.uint(t.Number)
	e.time(t.At)
	return e.seal()
}

func decodeTick(b []byte) (Tick, error) {
	d, err := openValue(b)
	if err != nil {
		return Tick{}, fmt.Errorf("cannot read tick: %w", err)
	}
	t := Tick{Number: d.uint(), At: d.time()}
	return t, d.err
}

// checkpoint is the point from which a start counts the log.
type checkpoint struct {
	head  uint64 // the newest event that every sum holds
	swept uint64 // up to here nobody looks for events that nobody needs
}

func (c checkpoint) encode() []byte {
	e := newEncoder(20)
	e.uint(c.head)
	e.uint(c.swept)
	return e.seal()
}

func decodeCheckpoint(b []byte) (checkpoint, error) {
	d, err := openValue(b)
	if err != nil {
		return checkpoint{}, fmt.Errorf("cannot read checkpoint: %w", err)
	}
	c := checkpoint{head: d.uint(), swept: d.uint()}
	return c, d.err
}

// encodeName is a lane's name; empty: it was forgotten.
func encodeName(name string) []byte {
	e := newEncoder(len(name))
	e.string(name)
	return e.seal()
}

func decodeName(b []byte) (string, error) {
	d, err := openValue(b)
	if err != nil {
		return "", fmt.Errorf("cannot read the name of a lane: %w", err)
	}
	name := d.string()
	return name, d.err
}

// encodeWord is the body of a notice or of a memo.
func encodeWord(body []byte) []byte {
	e := newEncoder(len(body))
	e.bytes(body)
	return e.seal()
}

func decodeWord(b []byte) ([]byte, error) {
	d, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read what is owed or noted: %w", err)
	}
	body := d.bytes()
	return body, d.err
}

// encodePurged is the mark of a delivery that was deleted by hand.
func encodePurged(at time.Time) []byte {
	e := newEncoder(10)
	e.time(at)
	return e.seal()
}

func decodePurged(b []byte) (time.Time, error) {
	d, err := openValue(b)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read purge mark: %w", err)
	}
	at := d.time()
	return at, d.err
}

// encodeState puts a caller's value into an envelope.
func encodeState(value []byte) []byte {
	e := newEncoder(len(value))
	e.b = append(e.b, value...)
	return e.seal()
}

// decodeState is the value in an envelope; it is part of b.
func decodeState(b []byte) ([]byte, error) {
	d, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read state: %w", err)
	}
	return d.b, nil
}
