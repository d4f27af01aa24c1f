package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Small records share one envelope: u8 version, u32 CRC-32C of the rest, then fields. A field is a
// varint number or a varint length and that many bytes; order is the struct's.
const valueVersion = 1

var errShortValue = errors.New("it ends too early")

// encoder appends fields to an envelope.
type encoder struct{ b []byte }

func newEncoder(sizeHint int) *encoder {
	b := make([]byte, 5, 5+sizeHint)
	b[0] = valueVersion
	return &encoder{b: b}
}

func (e *encoder) uint(v uint64)    { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)      { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) time(t time.Time) { e.int(unixNano(t)) }
func (e *encoder) bytes(p []byte) {
	e.uint(uint64(len(p)))
	e.b = append(e.b, p...)
}
func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) seal() []byte {
	binary.BigEndian.PutUint32(e.b[1:], crc32.Checksum(e.b[5:], castagnoli()))
	return e.b
}

// decoder reads what an encoder wrote; the first mistake sticks in err.
type decoder struct {
	b   []byte
	err error
}

func openValue(b []byte) (*decoder, error) {
	switch {
	case len(b) < 5:
		return nil, errShortValue
	case b[0] != valueVersion:
		return nil, fmt.Errorf("got version %d; want %d", b[0], valueVersion)
	case binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli()):
		return nil, errors.New("its checksum does not fit")
	}
	return &decoder{b: b[5:]}, nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	p := append([]byte(nil), d.b[:n]...)
	d.b = d.b[n:]
	return p
}

func (d *decoder) string() string  { return string(d.bytes()) }
func (d *decoder) bool() bool      { return d.uint() != 0 }
func (d *decoder) time() time.Time { return fromUnixNano(d.int()) }

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errShortValue
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

// idRecord remembers an id that an app supplied, for the dedupe window.
type idRecord struct {
	at    time.Time
	seq   uint64 // 0: no target wanted the event, so it was not spooled
	hash  [32]byte
	lanes []LaneID
}

func (r *idRecord) encode() []byte {
	e := newEncoder(64)
	e.time(r.at)
	e.uint(r.seq)
	e.bytes(r.hash[:])
	e.uint(uint64(len(r.lanes)))
	for _, lane := range r.lanes {
		e.uint(uint64(lane))
	}
	return e.seal()
}

func decodeIDRecord(b []byte) (*idRecord, error) {
	d, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read id record: %w", err)
	}
	r := &idRecord{at: d.time(), seq: d.uint()}
	copy(r.hash[:], d.bytes())
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		r.lanes = append(r.lanes, LaneID(d.uint()))
	}
	return r, d.err
}

// exception is one delivery that is not settled although its lane's position may have passed it:
// it failed, or it waits for a job.
type exception struct {
	due         uint64 // first tick that may take it
	attempts    int    // requests made
	at          time.Time
	firstFailed time.Time
	lastAt      time.Time
	lastStatus  int
	lastError   string
	replay      bool
}

func (x *exception) encode() []byte {
	e := newEncoder(64 + len(x.lastError))
	e.uint(x.due)
	e.uint(uint64(x.attempts))
	e.time(x.at)
	e.time(x.firstFailed)
	e.time(x.lastAt)
	e.uint(uint64(x.lastStatus))
	e.string(x.lastError)
	e.bool(x.replay)
	return e.seal()
}

func decodeException(b []byte) (*exception, error) {
	d, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read exception: %w", err)
	}
	x := &exception{due: d.uint(), attempts: int(d.uint()), at: d.time(), firstFailed: d.time(),
		lastAt: d.time(), lastStatus: int(d.uint()), lastError: d.string(), replay: d.bool()}
	return x, d.err
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
}

func (s Standing) encode() []byte {
	e := newEncoder(16)
	e.uint(uint64(s.FailedJobs))
	e.time(s.DefectiveSince)
	e.bool(s.Held)
	return e.seal()
}

func decodeStanding(b []byte) (Standing, error) {
	d, err := openValue(b)
	if err != nil {
		return Standing{}, fmt.Errorf("cannot read standing: %w", err)
	}
	s := Standing{FailedJobs: int(d.uint()), DefectiveSince: d.time(), Held: d.bool()}
	return s, d.err
}

// laneRecord is everything a lane must know after a restart; see Lane for the meaning of the
// fields.
type laneRecord struct {
	position    uint64
	above       []uint64 // settled although above position, ascending
	owed        uint64
	owedSeq     uint64 // owed counts the log up to here
	passed      uint64
	exceptions  uint64
	exhausted   uint64
	delivered   uint64
	quarantined uint64
	purged      uint64
	lastSuccess time.Time
	lastFailure time.Time
	lastError   string
}

func (r *laneRecord) encode() []byte {
	e := newEncoder(64 + 2*len(r.above) + len(r.lastError))
	e.uint(r.position)
	e.uint(uint64(len(r.above)))
	last := r.position
	for _, seq := range r.above {
		e.uint(seq - last)
		last = seq
	}
	e.uint(r.owed)
	e.uint(r.owedSeq)
	e.uint(r.passed)
	e.uint(r.exceptions)
	e.uint(r.exhausted)
	e.uint(r.delivered)
	e.uint(r.quarantined)
	e.time(r.lastSuccess)
	e.time(r.lastFailure)
	e.string(r.lastError)
	e.uint(r.purged)
	return e.seal()
}

func decodeLaneRecord(b []byte) (*laneRecord, error) {
	d, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read lane record: %w", err)
	}
	r := &laneRecord{position: d.uint()}
	last := r.position
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		last += d.uint()
		r.above = append(r.above, last)
	}
	r.owed, r.owedSeq, r.passed = d.uint(), d.uint(), d.uint()
	r.exceptions, r.exhausted = d.uint(), d.uint()
	r.delivered, r.quarantined = d.uint(), d.uint()
	r.lastSuccess, r.lastFailure, r.lastError = d.time(), d.time(), d.string()
	r.purged = d.uint()
	return r, d.err
}
