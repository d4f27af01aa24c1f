package record

import (
	"fmt"
	"time"
)

const (
	// historyMax attempts of a delivery are kept: the first and the last ones.
	historyMax       = 5
	HistorySnippet   = 256 // bytes of an answer in a record
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

// Encode is its record. Lane and Seq are in the key.
func (a *Attempt) Encode() []byte {
	e := NewEncoder(64 + len(a.Error) + len(a.Snippet))
	a.put(e)
	return e.Seal()
}

func (a *Attempt) put(e *Encoder) {
	e.Uint(uint64(max(a.Number, 0)))
	e.Time(a.At)
	e.Uint(uint64(a.Outcome))
	e.Uint(uint64(a.Status))
	e.Uint(uint64(max(a.Duration, 0)))
	e.String(a.Error)
	e.String(a.Remote)
	e.Bytes(a.Snippet[:min(len(a.Snippet), HistorySnippet)])
	e.bool(a.Replay)
}

// DecodeAttempt reads the record of one attempt; its Ref is in the key.
func DecodeAttempt(b []byte) (Attempt, error) {
	d, err := OpenValue(b)
	if err != nil {
		return Attempt{}, fmt.Errorf("cannot read attempt: %w", err)
	}
	a := takeAttempt(d)
	return a, d.Err
}

func takeAttempt(d *Decoder) (a Attempt) {
	a.Number, a.At, a.Outcome = int(d.Uint()), d.Time(), uint8(d.Uint())
	a.Status, a.Duration = int(d.Uint()), time.Duration(d.Uint())
	a.Error, a.Remote, a.Snippet, a.Replay = d.string(), d.string(), d.Bytes(), d.bool()
	return a
}

// HistoryKey puts attempt n of a delivery where it replaces the one that has to go.
func HistoryKey(r Ref, n int) []byte {
	slot := byte(0)
	if n > 0 {
		slot = byte(1 + (n-1)%(historyMax-1))
	}
	return append(LaneSeqKey(PrefixHistory, r.Lane, r.Seq), slot)
}

// EncodeRecent is a lane's last attempts. Their snippets are not kept.
func EncodeRecent(list []Attempt) []byte {
	e := NewEncoder(recentEntryBytes * len(list))
	e.Uint(uint64(len(list)))
	for i := range list {
		e.Uint(list[i].Seq)
		list[i].Snippet = nil
		list[i].put(e)
	}
	return e.Seal()
}

// DecodeRecent reads a lane's last attempts; the lane is in the key.
func DecodeRecent(value []byte) ([]Attempt, error) {
	d, err := OpenValue(value)
	if err != nil {
		return nil, fmt.Errorf("cannot read last attempts: %w", err)
	}
	var list []Attempt
	for n := d.Uint(); n > 0 && d.Err == nil; n-- {
		seq := d.Uint()
		a := takeAttempt(d)
		a.Seq = seq
		list = append(list, a)
	}
	return list, d.Err
}
