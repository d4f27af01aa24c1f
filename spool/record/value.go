package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hookspool/hookspool/spool/receipt"
)

// Small records share one envelope: u8 version, u32 CRC-32C of the rest, then fields. A field is a
// varint number or a varint length and that many bytes; order is the struct's.
const valueVersion = 1

var errShortValue = errors.New("it ends too early")

// Encoder appends fields to an envelope.
type Encoder struct{ b []byte }

// NewEncoder begins an envelope for about so many bytes of fields.
func NewEncoder(sizeHint int) *Encoder {
	b := make([]byte, 5, 5+sizeHint)
	b[0] = valueVersion
	return &Encoder{b: b}
}

// Uint appends a number.
func (e *Encoder) Uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *Encoder) int(v int64) { e.b = binary.AppendVarint(e.b, v) }

// Time appends an instant; the zero one stays zero.
func (e *Encoder) Time(t time.Time) { e.int(unixNano(t)) }

// Bytes appends any bytes.
func (e *Encoder) Bytes(p []byte) {
	e.Uint(uint64(len(p)))
	e.b = append(e.b, p...)
}

func (e *Encoder) String(s string) {
	e.Uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *Encoder) bool(v bool) {
	if v {
		e.Uint(1)
	} else {
		e.Uint(0)
	}
}

// Seal is the whole envelope.
func (e *Encoder) Seal() []byte {
	binary.BigEndian.PutUint32(e.b[1:], crc32.Checksum(e.b[5:], Castagnoli()))
	return e.b
}

// Decoder reads what an encoder wrote; the first mistake sticks in err.
type Decoder struct {
	b   []byte
	Err error
}

// OpenValue checks an envelope and reads its fields.
func OpenValue(b []byte) (*Decoder, error) {
	switch {
	case len(b) < 5:
		return nil, errShortValue
	case b[0] != valueVersion:
		return nil, fmt.Errorf("got version %d; want %d", b[0], valueVersion)
	case binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], Castagnoli()):
		return nil, errors.New("its checksum does not fit")
	}
	return &Decoder{b: b[5:]}, nil
}

// Uint is the next field, a number.
func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *Decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Bytes is the next field, copied.
func (d *Decoder) Bytes() []byte {
	n := d.Uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	p := append([]byte(nil), d.b[:n]...)
	d.b = d.b[n:]
	return p
}

// more reports whether there are fields that records of an earlier build lack.
func (d *Decoder) more() bool { return d.Err == nil && len(d.b) > 0 }

func (d *Decoder) string() string { return string(d.Bytes()) }
func (d *Decoder) bool() bool     { return d.Uint() != 0 }

// Time is the next field, an instant.
func (d *Decoder) Time() time.Time { return fromUnixNano(d.int()) }

func (d *Decoder) fail() {
	d.b = nil
	if d.Err == nil {
		d.Err = errShortValue
	}
}

// unixNano and fromUnixNano keep the zero instant zero.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// ID remembers an id that an app supplied, for the dedupe window.
type ID struct {
	At    time.Time
	Seq   uint64 // 0: no target wanted the event, so it was not spooled
	Hash  [32]byte
	Lanes []LaneID
}

// Encode is its record.
func (r *ID) Encode() []byte {
	e := NewEncoder(64)
	e.Time(r.At)
	e.Uint(r.Seq)
	e.Bytes(r.Hash[:])
	e.Uint(uint64(len(r.Lanes)))
	for _, lane := range r.Lanes {
		e.Uint(uint64(lane))
	}
	return e.Seal()
}

// DecodeID reads the record of an id.
func DecodeID(b []byte) (*ID, error) {
	d, err := OpenValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read id record: %w", err)
	}
	r := &ID{At: d.Time(), Seq: d.Uint()}
	copy(r.Hash[:], d.Bytes())
	for n := d.Uint(); n > 0 && d.Err == nil; n-- {
		r.Lanes = append(r.Lanes, LaneID(d.Uint()))
	}
	return r, d.Err
}

// Exception is one delivery that is not settled although its lane's position may have passed it:
// it failed, or it waits for a job.
type Exception struct {
	Due         uint64 // first tick that may take it
	Attempts    int    // requests made
	At          time.Time
	FirstFailed time.Time
	LastAt      time.Time
	LastStatus  int
	LastError   string
	Replay      bool
	// Order is the number of the deliveries of which one is attempted at a time; 0: none.
	Order uint64
	// Expired: it is kept because it became too old, and not because its attempts are exhausted.
	Expired bool
}

// Kept is the state of a delivery that is kept.
func (x *Exception) Kept() State {
	if x.Expired {
		return StateExpired
	}
	return StateExhausted
}

// Encode is its record.
func (x *Exception) Encode() []byte {
	e := NewEncoder(64 + len(x.LastError))
	e.Uint(x.Due)
	e.Uint(uint64(x.Attempts))
	e.Time(x.At)
	e.Time(x.FirstFailed)
	e.Time(x.LastAt)
	e.Uint(uint64(x.LastStatus))
	e.String(x.LastError)
	e.bool(x.Replay)
	if x.Order != 0 || x.Expired {
		e.Uint(x.Order)
	}
	if x.Expired {
		e.bool(true)
	}
	return e.Seal()
}

// DecodeException reads an exception or exhausted delivery.
func DecodeException(b []byte) (*Exception, error) {
	d, err := OpenValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read exception: %w", err)
	}
	x := &Exception{Due: d.Uint(), Attempts: int(d.Uint()), At: d.Time(), FirstFailed: d.Time(),
		LastAt: d.Time(), LastStatus: int(d.Uint()), LastError: d.string(), Replay: d.bool()}
	if d.more() {
		x.Order = d.Uint()
	}
	if d.more() {
		x.Expired = d.bool()
	}
	return x, d.Err
}

// Standing is a target's run of failed jobs, and what the operator asked of it. The zero value is
// a target in good standing.
type Standing struct {
	// FailedJobs is the number of failed jobs in a row.
	FailedJobs int
	// DefectiveSince is when the run passed the limit; zero: the target is not Defective.
	DefectiveSince time.Time
	// Held says that an operator paused the target at run time.
	Held bool
	// ShutUntil is until when the target asked to be left alone; zero, or passed: it does not.
	ShutUntil time.Time
	// GoneSince is when the target was paused (Held) because it answered 410; zero: it was not.
	GoneSince time.Time
	// HeldSince is when it was paused (Held); zero: it is not, or nobody noted it. HeldBy is who did,
	// as a person would be told; empty: the relay itself, or nobody knows.
	HeldSince time.Time
	HeldBy    string
}

// Encode is its record.
func (s Standing) Encode() []byte {
	e := NewEncoder(16)
	e.Uint(uint64(s.FailedJobs))
	e.Time(s.DefectiveSince)
	e.bool(s.Held)
	held := !s.HeldSince.IsZero()
	if held || !s.ShutUntil.IsZero() || !s.GoneSince.IsZero() {
		e.Time(s.ShutUntil)
	}
	if held || !s.GoneSince.IsZero() {
		e.Time(s.GoneSince)
	}
	if held {
		e.Time(s.HeldSince)
		e.String(s.HeldBy)
	}
	return e.Seal()
}

// DecodeStanding reads a standing.
func DecodeStanding(b []byte) (Standing, error) {
	d, err := OpenValue(b)
	if err != nil {
		return Standing{}, fmt.Errorf("cannot read standing: %w", err)
	}
	s := Standing{FailedJobs: int(d.Uint()), DefectiveSince: d.Time(), Held: d.bool()}
	if len(d.b) > 0 {
		s.ShutUntil = d.Time()
	}
	if len(d.b) > 0 {
		s.GoneSince = d.Time()
	}
	if d.more() {
		s.HeldSince, s.HeldBy = d.Time(), d.string()
	}
	return s, d.Err
}

// Lane is everything a lane must know after a restart; see Lane for the meaning of the
// fields.
type Lane struct {
	Position    uint64
	Above       []uint64 // settled although above position, ascending
	Owed        uint64
	OwedSeq     uint64 // owed counts the log up to here
	Passed      uint64
	Exceptions  uint64
	Exhausted   uint64
	Delivered   uint64
	Quarantined uint64
	Purged      uint64
	LastSuccess time.Time
	LastFailure time.Time
	LastError   string
	Expired     uint64 // how many of those that count as Exhausted became too old
	// Receipts are the newest of those deliveries that succeeded at once, by their sequences.
	Receipts []receipt.Receipt
}

// Encode is its record.
func (r *Lane) Encode() []byte {
	e := NewEncoder(64 + 2*len(r.Above) + len(r.LastError) + 6*len(r.Receipts))
	e.Uint(r.Position)
	e.Uint(uint64(len(r.Above)))
	last := r.Position
	for _, seq := range r.Above {
		e.Uint(seq - last)
		last = seq
	}
	e.Uint(r.Owed)
	e.Uint(r.OwedSeq)
	e.Uint(r.Passed)
	e.Uint(r.Exceptions)
	e.Uint(r.Exhausted)
	e.Uint(r.Delivered)
	e.Uint(r.Quarantined)
	e.Time(r.LastSuccess)
	e.Time(r.LastFailure)
	e.String(r.LastError)
	e.Uint(r.Purged)
	if r.Expired > 0 || len(r.Receipts) > 0 {
		e.Uint(r.Expired)
	}
	if len(r.Receipts) > 0 {
		e.Bytes(receipt.Append(make([]byte, 0, 6*len(r.Receipts)), r.Receipts))
	}
	return e.Seal()
}

// DecodeLane reads a lane's record.
func DecodeLane(b []byte) (*Lane, error) {
	d, err := OpenValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read lane record: %w", err)
	}
	r := &Lane{Position: d.Uint()}
	last := r.Position
	for n := d.Uint(); n > 0 && d.Err == nil; n-- {
		last += d.Uint()
		r.Above = append(r.Above, last)
	}
	r.Owed, r.OwedSeq, r.Passed = d.Uint(), d.Uint(), d.Uint()
	r.Exceptions, r.Exhausted = d.Uint(), d.Uint()
	r.Delivered, r.Quarantined = d.Uint(), d.Uint()
	r.LastSuccess, r.LastFailure, r.LastError = d.Time(), d.Time(), d.string()
	r.Purged = d.Uint()
	if len(d.b) > 0 {
		r.Expired = d.Uint()
	}
	if d.more() {
		b := d.Bytes()
		if d.Err == nil {
			r.Receipts, d.Err = receipt.Decode(b)
		}
	}
	return r, d.Err
}
