package mend

import (
	"bytes"
	"testing"
)

// FuzzValues changes a value log in one place, by one byte, by many, or by an end: a byte costs one
// entry. Whatever is done to it, and whatever bytes are a value log, reading it ends, nothing moves,
// and what is made of it is walked by the engine to its end and not damaged.
func FuzzValues(f *testing.F) {
	text, places := testValues("", 0)
	f.Add(uint16(0), []byte{0x10}, uint8(0), []byte{})
	f.Add(uint16(30), []byte{0xff}, uint8(1), text[:3000])
	f.Add(uint16(60), []byte("garbage, and more of it"), uint8(2), text[:100])
	f.Add(uint16(1757), bytes.Repeat([]byte{1}, 200), uint8(3),
		append(text[:LogHeadBytes:LogHeadBytes], 0, 0, 17, 0, 0))
	f.Add(uint16(150), []byte{}, uint8(5), bytes.Repeat([]byte{0, 0, 0x91}, 50))
	f.Fuzz(func(t *testing.T, at uint16, flips []byte, how uint8, any []byte) {
		b := bytes.Clone(text)
		place := LogHeadBytes + int(at)%(len(b)-LogHeadBytes)
		for i, flip := range flips {
			if place+i < len(b) {
				b[place+i] ^= flip
			}
		}
		known := &Known{Txn: 10, End: int64(len(text))}
		if how&1 > 0 {
			known = nil
		}
		if how&2 > 0 {
			b = append(b, make([]byte, 500)...)
		}
		if how&4 > 0 {
			b = b[:place]
		}
		b = covered(t, b, known)
		if len(flips) == 1 && known != nil && how&4 == 0 {
			for i, p := range places {
				in := int64(place) >= p.At && int64(place) < p.At+p.Bytes
				if !in && !bytes.Equal(engineReadsValue(b, p, ""), frame(uint64(i+1))) {
					t.Fatalf("byte %d xor %x cost entry %d", place, flips[0], i)
				}
			}
		}
		covered(t, any, known)
		covered(t, append(bytes.Clone(any), make([]byte, 100)...), &Known{Txn: 12})
	})
}

// covered mends a value log and wants the engine to walk it to its end.
func covered(t *testing.T, b []byte, known *Known) []byte {
	t.Helper()
	o := ValueOptions{Known: known}
	v := readValues(t, b, o)
	for _, p := range v.Patches() {
		if p.At < 0 || p.At+int64(len(p.Bytes)) > int64(len(b)) {
			t.Fatalf("of %d bytes it changes %d at %d", len(b), len(p.Bytes), p.At)
		}
	}
	b = mended(b, v)
	walked := engineWalks(b)
	end := min(int64(len(b)), LogHeadBytes)
	if n := len(walked); n > 0 {
		end = walked[n-1].At + walked[n-1].Bytes
	}
	if end < v.End {
		t.Fatalf("the engine walks to %d; it ends at %d", end, v.End)
	}
	again := readValues(t, b, o)
	if again.IsDamaged() {
		t.Fatalf("mended it is damaged: %+v; before %+v", again, v)
	}
	return b
}
