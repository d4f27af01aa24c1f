package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzEventRecord holds reading to writing: what is written is read back part by part; a record that
// differs in any one byte is refused; and whatever bytes are there, reading ends and what it accepts
// has its parts in order.
func FuzzEventRecord(f *testing.F) {
	f.Add("evt", "message", "application/json", "traceparent", "00-ab", []byte("{}"), int64(1), 3, byte(1))
	f.Add("", "", "", "", "", []byte{}, int64(-1), 0, byte(0x80))
	f.Add("a/b", strings.Repeat("t", 256), "x", "ce-id", "", bytes.Repeat([]byte{0}, 5000),
		int64(1)<<62, 40, byte(255))
	f.Fuzz(func(t *testing.T, id, typ, contentType, name, value string, payload []byte, at int64,
		lanes int, flip byte) {
		if len(id) > 256 || len(typ) > 256 || len(contentType) > 1<<14 || len(name) > 1<<13 ||
			len(value) > 1<<13 || strings.ContainsRune(name+value, 0) || name == "" {
			return // accepting never lets these through
		}
		lanes = (lanes&0x3f + 64) % 64
		p := Parts{ID: id, Given: id != "", Type: typ, ContentType: contentType, Payload: payload,
			Headers: []Header{{name, value}, {"b", ""}}, At: time.Unix(0, at)}
		s := Seal{Seq: 7, BatchEnd: 9, Session: SessionActive, Spool: 0xdeadbeef}
		for i := range lanes {
			s.Lanes = append(s.Lanes, LaneID(i)*0x01010101)
		}
		var rec []byte
		rec, s.Sum = p.LayOut(lanes)
		rec, made := SealEvent(rec, s)
		if p.Given {
			made = p.ID
		}
		e, err := DecodeEvent(bytes.Clone(rec), 7)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID() != made || e.Type() != typ || e.ContentType() != contentType ||
			!bytes.Equal(e.Payload(), payload) || !reflect.DeepEqual(e.Headers(), p.Headers) ||
			!e.At.Equal(p.At) || e.Session != SessionActive || e.Given != p.Given || e.BatchEnd != 9 {
			t.Fatalf("read %+v, wrote %+v", e, p)
		}
		for i := range lanes {
			if !e.OwedTo(LaneID(i) * 0x01010101) {
				t.Fatalf("lane %d is lost", i)
			}
		}
		if seq, ok := madeSeq(e.ID(), 0xdeadbeef); id == "" && (!ok || seq != 7) {
			t.Fatalf("the id %q made here says %d, %v", e.ID(), seq, ok)
		}
		broken := bytes.Clone(rec)
		broken[int(uint64(at)%uint64(len(rec)))] ^= flip | 1
		if _, err := DecodeEvent(broken, 7); err == nil {
			t.Fatal("a flipped byte was not noticed")
		}
		if _, err := DecodeEvent(rec[:len(rec)-1], 7); err == nil {
			t.Fatal("a missing byte was not noticed")
		}
	})
}

// FuzzEventBytes lets any bytes be a record, with a checksum that fits: what is accepted has its
// parts within it, and they fill it.
func FuzzEventBytes(f *testing.F) {
	p := Parts{ID: "id", Given: true, Type: "t", Payload: []byte("{}"), Headers: []Header{{"a", "b"}}}
	f.Add(NewEvent(p, Seal{Seq: 1, Spool: 1, Lanes: []LaneID{1}}))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 60))
	f.Fuzz(func(t *testing.T, rec []byte) {
		e := &Event{rec: rec}
		if e.layOut() != nil {
			return
		}
		_ = e.checkSum()
		parts := len(e.ID()) + len(e.Type()) + len(e.ContentType()) + (e.headEnd - e.contentEnd) +
			len(e.Payload())
		lanes := 0
		e.LaneIDs(func(LaneID) { lanes++ })
		if HeadBytes+parts+4*lanes != len(rec) {
			t.Fatalf("parts of %d bytes and %d lanes in %d bytes", parts, lanes, len(rec))
		}
		for _, h := range e.Headers() {
			if strings.ContainsRune(h.Name+h.Value, 0) {
				t.Fatalf("a header holds NUL: %q", h)
			}
		}
	})
}

// sealed puts any bytes into the envelope of small records.
func sealed(fields []byte) []byte {
	b := append([]byte{valueVersion, 0, 0, 0, 0}, fields...)
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(fields, Castagnoli()))
	return b
}

// FuzzSmallRecords reads any fields as each of the small records: it ends, and what it accepts is the
// same when written and read again; and an envelope with another byte is refused.
func FuzzSmallRecords(f *testing.F) {
	now := time.Unix(1, 2)
	for _, b := range [][]byte{
		(&ID{At: now, Seq: 5, Hash: [32]byte{1}, Lanes: []LaneID{1, 1 << 31}}).Encode(),
		(&Exception{Due: 1, Attempts: 144, At: now, FirstFailed: now, LastStatus: 503,
			LastError: "é", Replay: true}).Encode(),
		Standing{FailedJobs: 101, DefectiveSince: now, Held: true}.Encode(),
		(&Lane{Position: 10, Above: []uint64{12, 13, 99}, Owed: 3, LastError: "x"}).Encode(),
	} {
		f.Add(b[5:])
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, fields []byte) {
		b := sealed(fields)
		same(t, b, DecodeID, (*ID).Encode)
		same(t, b, DecodeException, (*Exception).Encode)
		same(t, b, DecodeStanding, Standing.Encode)
		same(t, b, DecodeLane, (*Lane).Encode)
		if len(fields) > 0 {
			b[5+len(fields)/2] ^= 1
			if _, err := OpenValue(b); err == nil {
				t.Fatal("a flipped bit was not noticed")
			}
		}
	})
}

// same wants a record that can be read to survive being written and read.
func same[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	t.Helper()
	first, err := decode(b)
	if err != nil {
		return
	}
	second, err := decode(encode(first))
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("%+v became %+v, %v", first, second, err)
	}
}

// FuzzKeys holds the order of keys to the order of what they name, and reading to writing.
func FuzzKeys(f *testing.F) {
	f.Add(uint32(0), uint64(0), uint32(1), uint64(1), "evt_", int64(0))
	f.Add(^uint32(0), ^uint64(0), ^uint32(0), uint64(255), "evt_00000000000000000000000000000", int64(-1))
	f.Add(uint32(0), uint64(0), uint32(1), uint64(1), "evt_00000000000000000000000000001", int64(0))
	f.Add(uint32(1), uint64(1), uint32(1), uint64(1), "evt_"+strings.Repeat("\n", 16)+"0000000000000", int64(-1))
	f.Fuzz(func(t *testing.T, laneA uint32, seqA uint64, laneB uint32, seqB uint64, id string, at int64) {
		a, b := LaneSeqKey(PrefixException, LaneID(laneA), seqA), LaneSeqKey(PrefixException, LaneID(laneB), seqB)
		less := laneA < laneB || laneA == laneB && seqA < seqB
		if (bytes.Compare(a, b) < 0) != less {
			t.Fatalf("%x and %x are out of order", a, b)
		}
		if KeySeq(a) != seqA || KeySeq(LogKey(seqA)) != seqA || KeySeq(UnreadKey(seqB)) != seqB {
			t.Fatalf("%x is not of %d", a, seqA)
		}
		if !bytes.HasPrefix(a, LaneKey(PrefixException, LaneID(laneA))) {
			t.Fatalf("%x is not of lane %d", a, laneA)
		}
		made := MakeID(time.UnixMilli(at&(1<<47-1)), seqA, laneA)
		if seq, ok := madeSeq(made, laneA); !ok || seq != seqA || strings.ContainsAny(made, ". ") {
			t.Fatalf("the id %q is of %d, says %d, %v", made, seqA, seq, ok)
		}
		if _, ok := madeSeq(made, laneA+1); ok {
			t.Fatalf("the id %q passes for another spool's", made)
		}
		if seq, ok := madeSeq(id, laneA); ok && !strings.EqualFold(id, makeIDLike(id, seq, laneA)) {
			t.Fatalf("the id %q is taken for %d", id, seq)
		}
	})
}

// makeIDLike makes the id again that madeSeq has read, with the time that id has.
func makeIDLike(id string, seq uint64, spool uint32) string {
	raw, err := IDEncoding().DecodeString(strings.ToUpper(id[len(MadeIDPrefix):]) + "000")
	if err != nil {
		return ""
	}
	return MakeID(time.UnixMilli(int64(binary.BigEndian.Uint64(raw[:8])>>16)), seq, spool)
}
