package record

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"
	"unsafe"
)

// Session is the state of an event's conversation, frozen when the event was accepted.
type Session uint8

// The states of CONTRACT §7; SessionNone means that the event belongs to no conversation.
const (
	SessionNone Session = iota
	SessionInactive
	SessionActive
)

// String is the word that goes into the webhook-session header; empty for SessionNone.
func (s Session) String() string {
	switch s {
	case SessionInactive:
		return "inactive"
	case SessionActive:
		return "active"
	}
	return ""
}

// Header is one header that is delivered with an event as it came (trace context, CloudEvents
// attributes).
type Header struct{ Name, Value string }

// The event record, version 1. All numbers big-endian.
//
//	 0  u8   version
//	 1  u32  CRC-32C over type … payload, then bytes 5 … id, then the lanes
//	 5  u64  sequence
//	13  i64  instant of acceptance, unix nanoseconds
//	21  u64  last sequence of the batch this record belongs to; 0: it stands alone
//	29  u8   flags: 1 the id was given by the app
//	30  u8   session
//	31  u16  number of lanes
//	33  u16  length of id
//	35  u16  length of type
//	37  u16  length of content type
//	39  u16  length of headers (name NUL value NUL …)
//	41  u32  length of payload
//	45  body: id, type, content type, headers, payload
//	 …  lanes: u32 each
//
// The checksum starts after the id, so that the caller's goroutine can compute the expensive part
// while the committer, which alone knows sequence, session and lanes, only adds a few bytes. (An id
// made here carries the sequence, so it is the committer's as well.)
const (
	recordVersion = 1
	HeadBytes     = 45
	flagGivenID   = 1
	// BytesMax is what one log value may hold: a transaction of the engine has room for two.
	BytesMax = 1<<20 - 1
)

// Castagnoli has hardware support on amd64 and arm64; MakeTable returns a shared table.
func Castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Event is one spooled event. Its bytes are shared by every lane and never change.
type Event struct {
	// Seq is the event's place in the log, from 1, without gaps.
	Seq uint64
	// At is the instant of acceptance.
	At time.Time
	// Session is the conversation's state, frozen at acceptance.
	Session Session
	// Given says that the app supplied the id.
	Given bool

	rec      []byte
	BatchEnd uint64
	idEnd, typeEnd, contentEnd,
	headEnd, payloadEnd int
}

// ID is the event's id, the same on every attempt.
func (e *Event) ID() string { return view(e.rec[HeadBytes:e.idEnd]) }

// Type is the event's type; it may be empty.
func (e *Event) Type() string { return view(e.rec[e.idEnd:e.typeEnd]) }

// ContentType is the content type the event came with; empty when it had none.
func (e *Event) ContentType() string { return view(e.rec[e.typeEnd:e.contentEnd]) }

// view is a string over the record itself. A record never changes once it is sealed, so nothing
// is copied on the way to every target.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) // #nosec G103 -- nobody writes to a sealed one
}

// Payload is the event's body, byte for byte. The caller must not change it.
func (e *Event) Payload() []byte { return e.rec[e.headEnd:e.payloadEnd:e.payloadEnd] }

// Headers are the headers frozen with the event, in the order they came.
func (e *Event) Headers() []Header {
	var out []Header
	rest := e.rec[e.contentEnd:e.headEnd]
	for len(rest) > 0 {
		var name, value string
		name, rest = cutNUL(rest)
		value, rest = cutNUL(rest)
		out = append(out, Header{Name: name, Value: value})
	}
	return out
}

// Header is the value of the first header of a name; false: there is none.
func (e *Event) Header(name string) (string, bool) {
	rest := e.rec[e.contentEnd:e.headEnd]
	for len(rest) > 0 {
		var at, value []byte
		at, rest, _ = bytes.Cut(rest, []byte{0})
		value, rest, _ = bytes.Cut(rest, []byte{0})
		if string(at) == name {
			return view(value), true
		}
	}
	return "", false
}

func cutNUL(b []byte) (string, []byte) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), b[i+1:]
		}
	}
	return string(b), nil
}

// LaneIDs visits the lanes that owe this event.
func (e *Event) LaneIDs(visit func(lane LaneID)) {
	for b := e.rec[e.payloadEnd:]; len(b) >= 4; b = b[4:] {
		visit(LaneID(binary.BigEndian.Uint32(b)))
	}
}

// Lanes are the lanes that owe this event.
func (e *Event) Lanes() (out []LaneID) {
	e.LaneIDs(func(lane LaneID) { out = append(out, lane) })
	return out
}

// OwedTo reports whether the event was accepted for this lane.
func (e *Event) OwedTo(lane LaneID) bool {
	for b := e.rec[e.payloadEnd:]; len(b) >= 4; b = b[4:] {
		if LaneID(binary.BigEndian.Uint32(b)) == lane {
			return true
		}
	}
	return false
}

// Size is what the event holds in memory.
func (e *Event) Size() int { return len(e.rec) }

// Parts are what an event is made of before it has a place in the log.
type Parts struct {
	// ID is the id that the app gave, if Given.
	ID                string
	Given             bool
	At                time.Time
	Type, ContentType string
	Headers           []Header
	Payload           []byte
}

// headerBytes is what headers take in a record.
func headerBytes(headers []Header) (n int) {
	for _, h := range headers {
		n += len(h.Name) + len(h.Value) + 2
	}
	return n
}

// Fits reports that every part but the payload can be counted in the 16 bits it has in a record. A
// part that does not would make a record that nobody can read.
func (p *Parts) Fits() bool {
	return max(len(p.ID), len(p.Type), len(p.ContentType), headerBytes(p.Headers)) <= math.MaxUint16
}

// LayOut is a record with everything but sequence, batch, session, lanes and an id made here, with
// room for the lanes, and the checksum of what follows the id.
func (p *Parts) LayOut(lanes int) (rec []byte, sum uint32) {
	headers := headerBytes(p.Headers)
	idBytes := len(p.ID)
	if !p.Given {
		idBytes = madeIDBytes
	}
	body := idBytes + len(p.Type) + len(p.ContentType) + headers + len(p.Payload)
	rec = make([]byte, HeadBytes+idBytes, HeadBytes+body+4*lanes)
	rec[0] = recordVersion
	binary.BigEndian.PutUint64(rec[13:], uint64(p.At.UnixNano()))
	if p.Given {
		rec[29] = flagGivenID
		copy(rec[HeadBytes:], p.ID)
	}
	binary.BigEndian.PutUint16(rec[33:], uint16(idBytes))
	binary.BigEndian.PutUint16(rec[35:], uint16(len(p.Type)))
	binary.BigEndian.PutUint16(rec[37:], uint16(len(p.ContentType)))
	binary.BigEndian.PutUint16(rec[39:], uint16(headers))
	binary.BigEndian.PutUint32(rec[41:], uint32(len(p.Payload)))
	rec = append(rec, p.Type...)
	rec = append(rec, p.ContentType...)
	for _, h := range p.Headers {
		rec = append(rec, h.Name...)
		rec = append(rec, 0)
		rec = append(rec, h.Value...)
		rec = append(rec, 0)
	}
	rec = append(rec, p.Payload...)
	return rec, crc32.Checksum(rec[HeadBytes+idBytes:], Castagnoli())
}

// Seal is what a record says beyond its parts.
type Seal struct {
	Seq, BatchEnd uint64
	Session       Session
	Spool         uint32 // its number, for an id made here
	Lanes         []LaneID
	Sum           uint32 // as layOut returned it
}

// SealEvent completes what layOut began, in place as far as there is room. madeID is the id that
// was made here; empty if the app gave one.
func SealEvent(rec []byte, s Seal) (_ []byte, madeID string) {
	binary.BigEndian.PutUint64(rec[5:], s.Seq)
	binary.BigEndian.PutUint64(rec[21:], s.BatchEnd)
	rec[30] = byte(s.Session)
	binary.BigEndian.PutUint16(rec[31:], uint16(len(s.Lanes)))
	idEnd := HeadBytes + int(binary.BigEndian.Uint16(rec[33:]))
	if rec[29]&flagGivenID == 0 {
		madeID = MakeID(AcceptedAt(rec), s.Seq, s.Spool)
		copy(rec[HeadBytes:idEnd], madeID)
	}
	bodyEnd := len(rec)
	for _, lane := range s.Lanes {
		rec = binary.BigEndian.AppendUint32(rec, uint32(lane))
	}
	sum := crc32.Update(s.Sum, Castagnoli(), rec[5:idEnd])
	sum = crc32.Update(sum, Castagnoli(), rec[bodyEnd:])
	binary.BigEndian.PutUint32(rec[1:], sum)
	return rec, madeID
}

// NewEvent is a whole record of its parts.
func NewEvent(p Parts, s Seal) []byte {
	rec, sum := p.LayOut(len(s.Lanes))
	s.Sum = sum
	rec, _ = SealEvent(rec, s)
	return rec
}

// Sealed is the event of a record that was just sealed: its checksum is not checked.
func Sealed(rec []byte) *Event {
	e := &Event{rec: rec}
	if err := e.layOut(); err != nil {
		panic("BUG: a record just written cannot be read: " + err.Error())
	}
	return e
}

// AcceptedAt is the instant of acceptance in a record, without reading the rest; a record too
// short to have one counts as old: the sweep is not who judges it.
func AcceptedAt(rec []byte) time.Time {
	if len(rec) < HeadBytes {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(rec[13:])))
}

// An id made here is "evt_" and 18 bytes in base32hex: 6 of unix milliseconds, 8 of sequence, 4 of
// spool id. It sorts by time, and finding the event by it needs no index.
const (
	MadeIDPrefix = "evt_"
	madeIDBytes  = len(MadeIDPrefix) + 29
)

// IDEncoding is how an id made here spells its bytes, before it is put into lower case.
func IDEncoding() *base32.Encoding { return base32.HexEncoding }

// MakeID is the id of an event whose sender gave none.
func MakeID(at time.Time, seq uint64, spool uint32) string {
	var raw [20]byte
	binary.BigEndian.PutUint64(raw[:], uint64(at.UnixMilli())<<16)
	binary.BigEndian.PutUint64(raw[6:], seq)
	binary.BigEndian.PutUint32(raw[14:], spool)
	var text [madeIDBytes + 3]byte
	copy(text[:], MadeIDPrefix)
	IDEncoding().Encode(text[len(MadeIDPrefix):], raw[:])
	id := text[:madeIDBytes]
	for i := len(MadeIDPrefix); i < len(id); i++ {
		if id[i] >= 'A' {
			id[i] += 'a' - 'A'
		}
	}
	return string(id)
}

// madeSeq is the sequence inside an id made by this spool; false for any other id. The length is
// judged again after decoding: base32 skips line ends, wherever in an id a stranger puts them. Nor
// may the last digit's spare bit be set: a second id would name the same event.
func madeSeq(id string, spool uint32) (uint64, bool) {
	if len(id) != madeIDBytes || !strings.HasPrefix(id, MadeIDPrefix) {
		return 0, false
	}
	text := strings.ToUpper(id[len(MadeIDPrefix):]) + "000"
	raw, err := IDEncoding().DecodeString(text)
	if err != nil || len(raw) != 20 || raw[18] != 0 || binary.BigEndian.Uint32(raw[14:]) != spool {
		return 0, false
	}
	return binary.BigEndian.Uint64(raw[6:]), true
}

// DecodeEvent reads a record that is stored under seq. It keeps rec.
func DecodeEvent(rec []byte, seq uint64) (*Event, error) {
	e := &Event{rec: rec}
	err := e.layOut()
	if err == nil {
		err = e.checkSum()
	}
	if err == nil && e.Seq != seq {
		err = fmt.Errorf("it says that it is %d", e.Seq)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read event record %d: %w", seq, err)
	}
	return e, nil
}

// layOut finds the parts of a record; it trusts nothing but does not check the sum.
func (e *Event) layOut() error {
	rec := e.rec
	if len(rec) < HeadBytes {
		return fmt.Errorf("got %d bytes; want at least %d", len(rec), HeadBytes)
	}
	if rec[0] != recordVersion {
		return fmt.Errorf("got version %d; want %d", rec[0], recordVersion)
	}
	e.idEnd = HeadBytes + int(binary.BigEndian.Uint16(rec[33:]))
	e.typeEnd = e.idEnd + int(binary.BigEndian.Uint16(rec[35:]))
	e.contentEnd = e.typeEnd + int(binary.BigEndian.Uint16(rec[37:]))
	e.headEnd = e.contentEnd + int(binary.BigEndian.Uint16(rec[39:]))
	e.payloadEnd = e.headEnd + int(binary.BigEndian.Uint32(rec[41:]))
	end := e.payloadEnd + 4*int(binary.BigEndian.Uint16(rec[31:]))
	if end != len(rec) {
		return fmt.Errorf("got %d bytes; its lengths add up to %d", len(rec), end)
	}
	e.Seq = binary.BigEndian.Uint64(rec[5:])
	e.At = time.Unix(0, int64(binary.BigEndian.Uint64(rec[13:])))
	e.BatchEnd = binary.BigEndian.Uint64(rec[21:])
	e.Given = rec[29]&flagGivenID != 0
	e.Session = Session(rec[30])
	return nil
}

func (e *Event) checkSum() error {
	rec := e.rec
	sum := crc32.Checksum(rec[e.idEnd:e.payloadEnd], Castagnoli())
	sum = crc32.Update(sum, Castagnoli(), rec[5:e.idEnd])
	sum = crc32.Update(sum, Castagnoli(), rec[e.payloadEnd:])
	if want := binary.BigEndian.Uint32(rec[1:]); sum != want {
		return fmt.Errorf("got checksum %08x; want %08x", sum, want)
	}
	return nil
}
