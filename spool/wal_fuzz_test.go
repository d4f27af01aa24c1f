package spool

import (
	"bytes"
	"testing"

	"github.com/hookspool/hookspool/spool/record"
)

// fuzzLog is a log with a few transactions: single events, a batch, a deletion.
func fuzzLog() []byte {
	w := &wal{b: make([]byte, logHeadBytes)}
	seq := uint64(0)
	event := func(txn, batchEnd uint64) {
		seq++
		p := record.Parts{ID: "id", Given: true, Payload: bytes.Repeat([]byte{byte(seq)}, int(40*seq))}
		w.write(logInTxn, 0, record.LogKey(seq), txn,
			record.NewEvent(p, record.Seal{Seq: seq, BatchEnd: batchEnd, Spool: 1}))
	}
	end := func(txn uint64) { w.write(logEndTxn, 0, []byte(walTxnKey), txn, txnNumber(txn)) }
	event(1, 0)
	end(1)
	event(2, 3)
	event(2, 3)
	w.write(logInTxn, 1<<40, record.IDKey("id"), 2, (&record.ID{Seq: 3}).Encode())
	end(2)
	w.write(logInTxn|walMetaDeleted, 0, record.LaneSeqKey(record.PrefixException, 1, 1), 3, nil)
	end(3)
	event(4, 0)
	end(4)
	return append(w.b, make([]byte, 64)...)
}

// FuzzWAL changes a log in one place, by one byte, by many, or by an end: a byte is always put right.
// Whatever is done to it, and whatever bytes are a log, reading it ends, what is made of it is a
// sound log, and no event is in it that was not written.
func FuzzWAL(f *testing.F) {
	text := fuzzLog()
	f.Add(uint16(0), []byte{0x10}, false, []byte{})
	f.Add(uint16(30), []byte{0xff}, false, text)
	f.Add(uint16(60), []byte("garbage, and more of it"), false, text[:100])
	f.Add(uint16(90), bytes.Repeat([]byte{1}, 200), false, append(text[:logHeadBytes:logHeadBytes], 0x40, 0, 9, 0, 0))
	f.Add(uint16(150), []byte{}, true, bytes.Repeat([]byte{0x40, 0, 0x80}, 50))
	f.Fuzz(func(t *testing.T, at uint16, flips []byte, cut bool, any []byte) {
		b := bytes.Clone(text)
		end := len(bytes.TrimRight(b, "\x00"))
		place := logHeadBytes + int(at)%(end-logHeadBytes)
		for i, flip := range flips {
			if place+i < len(b) {
				b[place+i] ^= flip
			}
		}
		if cut {
			b = b[:place]
		}
		s := rewritten(t, b)
		if len(flips) == 1 && !cut && !bytes.Equal(s.remade(0), text[:len(text)-64]) {
			t.Fatalf("byte %d xor %x was not put right", place, flips[0])
		}
		for i := range s.txns {
			for j := range s.txns[i].entries {
				e := &s.txns[i].entries[j]
				if !bytes.Contains(text, e.content) {
					t.Fatalf("an entry %q was made up", e.key)
				}
			}
		}
		rewritten(t, any)
	})
}

// rewritten reads a log and wants what is made of it to read as the same transactions, without any
// damage.
func rewritten(t *testing.T, b []byte) *salvage {
	t.Helper()
	s := newSalvage(newWAL(bytes.Clone(b)))
	s.judge(uint64(len(b)%5), uint64(len(b)%7))
	if s.lostBytes() < 0 || s.promised() > 1<<63 || s.first() > 1<<63 && len(s.txns) == 0 {
		t.Fatal("its figures are wrong")
	}
	again := newSalvage(newWAL(s.remade(0)))
	if again.damaged() || again.begun+again.torn > 0 || len(again.txns) != len(s.txns) {
		t.Fatalf("made of %d transactions, it has %d; damaged %v", len(s.txns), len(again.txns),
			again.damaged())
	}
	return s
}
