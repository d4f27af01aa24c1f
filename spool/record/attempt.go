package record

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"
)

const (
	// historyMax attempts of a delivery are kept: the first and the last ones.
	historyMax = 5
	// HistorySnippet bounds the beginning of an answer in a record: 1 KiB (CONTRACT §5) and the mark
	// of what was cut.
	HistorySnippet = 1<<10 + len(moreMark)
	// HistoryHead bounds each of the two heads in a record, with that mark.
	HistoryHead      = 2<<10 + len(moreMark)
	recentEntryBytes = 96
	moreMark         = "…"
	// headsSlot is where the heads of the last attempt lie. It is a slot of its own, so that they
	// make way for the next ones without being read.
	headsSlot = historyMax
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
	// Snippet is the beginning of a failure's answer; it ends in "…" if there was more.
	Snippet []byte
	// Request and Response are the heads that were sent and answered, for people; nil: not kept.
	Request, Response []byte
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
	e := NewEncoder(64 + len(a.Error) + len(a.Snippet) + len(a.Request) + len(a.Response))
	a.put(e)
	if a.hasHeads() {
		e.Bytes(a.Request[:min(len(a.Request), HistoryHead)])
		e.Bytes(a.Response[:min(len(a.Response), HistoryHead)])
	}
	return e.Seal()
}

func (a *Attempt) hasHeads() bool { return len(a.Request)+len(a.Response) > 0 }

// Split parts an attempt into its own record and the one of its heads. The first attempt keeps its
// heads; those of any other replace the heads of the one before it. false: there is one record.
//
// An earlier build takes the second record for the same attempt once more.
func (a Attempt) Split() (own, heads Attempt, two bool) {
	if a.Number == 0 || !a.hasHeads() {
		return a, Attempt{}, false
	}
	own, heads = a, a
	own.Request, own.Response = nil, nil
	heads.Snippet, heads.Remote = nil, ""
	return own, heads, true
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
	if d.more() {
		a.Request, a.Response = d.Bytes(), d.Bytes()
	}
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

// HeadsKey is where the heads of a delivery's last attempt are.
func HeadsKey(r Ref) []byte {
	return append(LaneSeqKey(PrefixHistory, r.Lane, r.Seq), headsSlot)
}

// IsHeads reports a key of the history that HeadsKey made.
func IsHeads(key []byte) bool { return len(key) > 0 && key[len(key)-1] == headsSlot }

// Beginning cuts an answer to so many bytes, and marks it if it was longer. The result is a copy.
func Beginning(answer []byte, most int) []byte {
	if len(answer) <= most {
		return bytes.Clone(answer)
	}
	cut := most - len(moreMark)
	for cut > 0 && !utf8.RuneStart(answer[cut]) {
		cut--
	}
	return append(bytes.Clone(answer[:cut]), moreMark...)
}

// EncodeRecent is a lane's last attempts. Their snippets are not kept.
func EncodeRecent(list []Attempt) []byte {
	e := NewEncoder(recentEntryBytes * len(list))
	e.Uint(uint64(len(list)))
	for i := range list {
		e.Uint(list[i].Seq)
		list[i].Snippet, list[i].Request, list[i].Response = nil, nil, nil
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
