package mend

import (
	"bytes"
	"testing"
)

// FuzzLog changes a log in one place, by one byte, by many, or by an end: a byte costs one entry.
// Whatever is done to it, and whatever bytes are a log, reading it ends, what is made of it is a
// sound log, and no event is in it that was not written.
func FuzzLog(f *testing.F) {
	text := file(testLog("", 0).b)
	whole, _ := OpenLog(text, nil, testRecords())
	f.Add(uint16(0), []byte{0x10}, false, []byte{})
	f.Add(uint16(30), []byte{0xff}, false, text)
	f.Add(uint16(60), []byte("garbage, and more of it"), false, text[:100])
	f.Add(uint16(90), bytes.Repeat([]byte{1}, 200), false, append(text[:LogHeadBytes:LogHeadBytes], 0x40, 0, 9, 0, 0))
	f.Add(uint16(150), []byte{}, true, bytes.Repeat([]byte{0x40, 0, 0x80}, 50))
	f.Fuzz(func(t *testing.T, at uint16, flips []byte, cut bool, any []byte) {
		b := bytes.Clone(text)
		end := len(bytes.TrimRight(b, "\x00"))
		place := LogHeadBytes + int(at)%(end-LogHeadBytes)
		for i, flip := range flips {
			if place+i < len(b) {
				b[place+i] ^= flip
			}
		}
		if cut {
			b = b[:place]
		}
		s := rewritten(t, b)
		if len(flips) == 1 && flips[0] != 0 && !cut && len(s.Entries()) < len(whole.Entries())-1 {
			t.Fatalf("byte %d xor %x cost %d entries", place, flips[0], len(whole.Entries())-len(s.Entries()))
		}
		for _, e := range s.Entries() {
			if !bytes.Contains(text, e.Value) {
				t.Fatalf("an entry %q was made up", e.Key)
			}
		}
		rewritten(t, any)
	})
}

// rewritten reads a log and wants what is made of it to read as the same transactions, without any
// damage.
func rewritten(t *testing.T, b []byte) *Log {
	t.Helper()
	l := openTestLog(t, b, nil)
	l.Judge(uint64(len(b)%5), uint64(len(b)%7))
	places, n := l.Lost()
	if places < 0 || n < 0 || l.First() > 1<<63 && l.Transactions() == 0 {
		t.Fatal("its figures are wrong")
	}
	again := openTestLog(t, l.Text(), nil)
	if len(b) >= LogHeadBytes && (again.Damaged() || again.Cut() > 0 ||
		again.Transactions() != l.Transactions()) {
		t.Fatalf("made of %d transactions, it has %d; damaged %v", l.Transactions(),
			again.Transactions(), again.Damaged())
	}
	_, _ = CheckLog(b)
	return l
}
