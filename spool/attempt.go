package spool

import (
	"fmt"
	"time"
)

const (
	// historyMax attempts of a delivery are kept: the first and the last ones.
	historyMax       = 5
	historySnippet   = 256 // bytes of an answer in a record
	recentEntryBytes = 96
)

// Ref names one delivery.
type Ref struct {
	Lane LaneID
	Seq  uint64
}

// Made is what one request was like. The zero value is nothing known.
type Made struct {
	// Outcome is the caller's own number of what the attempt learned.
	Outcome uint8
	// Duration of the request; 0: none was made.
	Duration time.Duration
	// Remote is "ip:port"; empty when there was no connection.
	Remote string
	// Snippet is the beginning of a failure's answer.
	Snippet []byte
}

// Attempt is one request that was made, as far as the history keeps it.
type Attempt struct {
	Ref
	Made
	// Number is 0 for the live one, then 1, 2, …; a replay starts over.
	Number int
	At     time.Time
	Status int
	Error  string
	Replay bool
}

func (a *Attempt) encode() []byte {
	e := newEncoder(64 + len(a.Error) + len(a.Snippet))
	a.put(e)
	return e.seal()
}

func (a *Attempt) put(e *encoder) {
	e.uint(uint64(max(a.Number, 0)))
	e.time(a.At)
	e.uint(uint64(a.Outcome))
	e.uint(uint64(a.Status))
	e.uint(uint64(max(a.Duration, 0)))
	e.string(a.Error)
	e.string(a.Remote)
	e.bytes(a.Snippet[:min(len(a.Snippet), historySnippet)])
	e.bool(a.Replay)
}

func decodeAttempt(b []byte) (Attempt, error) {
	d, err := openValue(b)
	if err != nil {
		return Attempt{}, fmt.Errorf("cannot read attempt: %w", err)
	}
	a := takeAttempt(d)
	return a, d.err
}

func takeAttempt(d *decoder) (a Attempt) {
	a.Number, a.At, a.Outcome = int(d.uint()), d.time(), uint8(d.uint())
	a.Status, a.Duration = int(d.uint()), time.Duration(d.uint())
	a.Error, a.Remote, a.Snippet, a.Replay = d.string(), d.string(), d.bytes(), d.bool()
	return a
}

// historyKey puts attempt n of a delivery where it replaces the one that has to go.
func historyKey(r Ref, n int) []byte {
	slot := byte(0)
	if n > 0 {
		slot = byte(1 + (n-1)%(historyMax-1))
	}
	return append(laneSeqKey(prefixHistory, r.Lane, r.Seq), slot)
}

// encodeRecent is a lane's last attempts. Their snippets are not kept.
func encodeRecent(list []Attempt) []byte {
	e := newEncoder(recentEntryBytes * len(list))
	e.uint(uint64(len(list)))
	for i := range list {
		e.uint(list[i].Seq)
		list[i].Snippet = nil
		list[i].put(e)
	}
	return e.seal()
}

func decodeRecent(value []byte) ([]Attempt, error) {
	d, err := openValue(value)
	if err != nil {
		return nil, fmt.Errorf("cannot read last attempts: %w", err)
	}
	var list []Attempt
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		seq := d.uint()
		a := takeAttempt(d)
		a.Seq = seq
		list = append(list, a)
	}
	return list, d.err
}
