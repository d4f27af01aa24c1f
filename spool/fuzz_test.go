package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
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
		d := &Draft{ID: id, Given: id != "", Type: typ, ContentType: contentType, Payload: payload,
			Headers: []Header{{name, value}, {"b", ""}}, At: time.Unix(0, at), Session: SessionActive}
		d.rec, d.sum = encodeDraft(d, lanes)
		for i := range lanes {
			d.lanes = append(d.lanes, LaneID(i)*0x01010101)
		}
		rec := sealRecord(d, 7, 9, 0xdeadbeef)
		e, err := decodeEvent(bytes.Clone(rec), 7)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID() != d.ID || e.Type() != typ || e.ContentType() != contentType ||
			!bytes.Equal(e.Payload(), payload) || !reflect.DeepEqual(e.Headers(), d.Headers) ||
			!e.At.Equal(d.At) || e.Session != SessionActive || e.Given != d.Given || e.batchEnd != 9 {
			t.Fatalf("read %+v, wrote %+v", e, d)
		}
		for i := range lanes {
			if !e.owedTo(LaneID(i) * 0x01010101) {
				t.Fatalf("lane %d is lost", i)
			}
		}
		if seq, ok := madeSeq(e.ID(), 0xdeadbeef); id == "" && (!ok || seq != 7) {
			t.Fatalf("the id %q made here says %d, %v", e.ID(), seq, ok)
		}
		broken := bytes.Clone(rec)
		broken[int(uint64(at)%uint64(len(rec)))] ^= flip | 1
		if _, err := decodeEvent(broken, 7); err == nil {
			t.Fatal("a flipped byte was not noticed")
		}
		if _, err := decodeEvent(rec[:len(rec)-1], 7); err == nil {
			t.Fatal("a missing byte was not noticed")
		}
	})
}

// FuzzEventBytes lets any bytes be a record, with a checksum that fits: what is accepted has its
// parts within it, and they fill it.
func FuzzEventBytes(f *testing.F) {
	d := &Draft{ID: "id", Given: true, Type: "t", Payload: []byte("{}"), Headers: []Header{{"a", "b"}}}
	d.rec, d.sum = encodeDraft(d, 1)
	d.lanes = []LaneID{1}
	f.Add(sealRecord(d, 1, 0, 1))
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
		e.laneIDs(func(LaneID) { lanes++ })
		if recordHeadBytes+parts+4*lanes != len(rec) {
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
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(fields, castagnoli()))
	return b
}

// FuzzSmallRecords reads any fields as each of the small records: it ends, and what it accepts is the
// same when written and read again; and an envelope with another byte is refused.
func FuzzSmallRecords(f *testing.F) {
	now := time.Unix(1, 2)
	for _, b := range [][]byte{
		(&idRecord{at: now, seq: 5, hash: [32]byte{1}, lanes: []LaneID{1, 1 << 31}}).encode(),
		(&exception{due: 1, attempts: 144, at: now, firstFailed: now, lastStatus: 503,
			lastError: "é", replay: true}).encode(),
		Standing{FailedJobs: 101, DefectiveSince: now, Held: true}.encode(),
		(&laneRecord{position: 10, above: []uint64{12, 13, 99}, owed: 3, lastError: "x"}).encode(),
	} {
		f.Add(b[5:])
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, fields []byte) {
		b := sealed(fields)
		same(t, b, decodeIDRecord, (*idRecord).encode)
		same(t, b, decodeException, (*exception).encode)
		same(t, b, decodeStanding, Standing.encode)
		same(t, b, decodeLaneRecord, (*laneRecord).encode)
		if len(fields) > 0 {
			b[5+len(fields)/2] ^= 1
			if _, err := openValue(b); err == nil {
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
		a, b := laneSeqKey(prefixException, LaneID(laneA), seqA), laneSeqKey(prefixException, LaneID(laneB), seqB)
		less := laneA < laneB || laneA == laneB && seqA < seqB
		if (bytes.Compare(a, b) < 0) != less {
			t.Fatalf("%x and %x are out of order", a, b)
		}
		if keySeq(a) != seqA || keySeq(logKey(seqA)) != seqA || keySeq(unreadKey(seqB)) != seqB {
			t.Fatalf("%x is not of %d", a, seqA)
		}
		if !bytes.HasPrefix(a, laneKey(prefixException, LaneID(laneA))) {
			t.Fatalf("%x is not of lane %d", a, laneA)
		}
		made := makeID(time.UnixMilli(at&(1<<47-1)), seqA, laneA)
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
	raw, err := idEncoding().DecodeString(strings.ToUpper(id[len(madeIDPrefix):]) + "000")
	if err != nil {
		return ""
	}
	return makeID(time.UnixMilli(int64(binary.BigEndian.Uint64(raw[:8])>>16)), seq, spool)
}

// FuzzExportedLine lets any line be one of an export: what is taken can be written as a record, is
// read back from it part by part, could be sent, and is the same when it is exported again.
func FuzzExportedLine(f *testing.F) {
	const line = `{"id":"a","type":"t","content_type":"x","accepted_at":"2026-01-02T03:04:05.000000006Z",` +
		`"session":"active","headers":[{"name":"a","value":"b"}],"payload":"{}","targets":[{"name":"c",` +
		`"state":"pending","attempts":1}]}`
	f.Add([]byte(line))
	for _, change := range [][2]string{{`"x"`, `{"base64":"/w=="}`}, {`"x"`, `"x\u0001"`}, {`"b"`, `"b\u0001"`},
		{`"name":"a"`, `"name":"a: b"`}, {"2026", "9999"}, {"2026", "0001"}, {"Z", "+23:59"},
		{`"payload":"{}"`, `"payload_base64":"AA=="`}, {`"payload":"{}"`, `"payload_base64":""`},
		{`"id":"a"`, `"id":"a.b"`}} {
		f.Add([]byte(strings.Replace(line, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		x, err := ParseExported(line)
		if err != nil {
			return
		}
		d := x.draft()
		if !d.fits() {
			t.Fatal("it is taken and fits no record")
		}
		d.rec, d.sum = encodeDraft(d, 0)
		e, err := decodeEvent(sealRecord(d, 1, 0, 1), 1)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID() != x.ID || e.Type() != x.Type || e.ContentType() != string(x.ContentType) ||
			!bytes.Equal(e.Payload(), x.payload()) || len(e.Headers()) != len(x.Headers) ||
			!e.At.Equal(x.AcceptedAt) {
			t.Fatalf("read %+v, wrote %+v", e, x)
		}
		for i, h := range e.Headers() {
			if h.Name != string(x.Headers[i].Name) || h.Value != string(x.Headers[i].Value) {
				t.Fatalf("header %q became %q", x.Headers[i], h)
			}
		}
		again, err := marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseExported(again)
		if err != nil || !reflect.DeepEqual(normal(x), normal(back)) {
			t.Fatalf("%s became %+v, %v", again, back, err)
		}
	})
}

// normal makes two that mean the same compare as equal.
func normal(x *Exported) Exported {
	n := *x
	n.AcceptedAt = n.AcceptedAt.UTC()
	if len(n.Headers) == 0 {
		n.Headers = nil
	}
	return n
}

// FuzzBackup changes a backup in one place, plain and encrypted: behind the head every change is
// noticed, and whatever bytes a backup has, reading them ends.
func FuzzBackup(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	plain, secret := madeBackup(f, nil), madeBackup(f, key)
	f.Add(uint32(0), byte(1), plain[:40])
	f.Add(uint32(30), byte(0x80), secret)
	f.Add(uint32(1<<31), byte(255), []byte(backupMagic))
	f.Fuzz(func(t *testing.T, at uint32, flip byte, any []byte) {
		for _, k := range [][]byte{nil, key} {
			_, _ = CheckBackup(bytes.NewReader(any), k)
			_, _ = CheckBackup(bytes.NewReader(append(bytes.Clone(plain[:backupHeadBytes]), any...)), k)
			whole := plain
			if k != nil {
				whole = secret
			}
			if _, err := CheckBackup(bytes.NewReader(whole), k); err != nil {
				t.Fatal(err)
			}
			b := bytes.Clone(whole)
			place := backupHeadBytes + int(at)%(len(b)-backupHeadBytes)
			b[place] ^= flip | 1
			if _, err := CheckBackup(bytes.NewReader(b), k); err == nil {
				t.Fatalf("a change at byte %d was not noticed", place)
			}
			if _, err := CheckBackup(bytes.NewReader(whole[:place]), k); err == nil {
				t.Fatalf("an end at byte %d was not noticed", place)
			}
		}
	})
}

// madeBackup is the backup of a spool with a few events.
func madeBackup(f *testing.F, key []byte) []byte {
	f.Helper()
	s, err := Open(Options{Dir: f.TempDir() + "/spool", EncryptionKey: key,
		Log: slog.New(slog.DiscardHandler), Decide: func(*View, *Draft) {}})
	if err != nil {
		f.Fatal(err)
	}
	s.Start()
	var out bytes.Buffer
	err = s.Append(&Draft{ID: "a", Given: true, Type: "t", Payload: []byte("{}"), At: time.Unix(1, 0)},
		&Draft{Type: "t", Payload: []byte("[]"), At: time.Unix(2, 0)})
	if err == nil {
		_, err = s.Backup(f.Context(), &out)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}
