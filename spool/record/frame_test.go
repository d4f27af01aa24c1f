package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// frameOf is a frame of events with these sequences, and their records.
func frameOf(seqs ...uint64) (frame []byte, records [][]byte) {
	for _, seq := range seqs {
		rec := NewEvent(Parts{ID: fmt.Sprint("id-", seq), Given: true, At: time.Unix(int64(seq), 0),
			Type: "t", Payload: bytes.Repeat([]byte{byte(seq)}, 20+int(seq%7)*9)},
			Seal{Seq: seq, Lanes: []LaneID{1, 2}})
		records = append(records, rec)
		frame = append(frame, rec...)
	}
	return frame, records
}

// readFrame are the events of a frame that can be read, and those that cannot.
func readFrame(frame []byte, last uint64) (whole, unread []uint64) {
	for _, r := range SplitFrame(nil, frame, last) {
		if _, err := DecodeEvent(frame[r.From:r.To], r.Seq); err == nil {
			whole = append(whole, r.Seq)
		} else {
			unread = append(unread, r.Seq)
		}
	}
	return whole, unread
}

// TestSplitFrame asserts that a frame is split into its events, whether or not the last of them, or
// some in between, were deleted.
func TestSplitFrame(t *testing.T) {
	for _, seqs := range [][]uint64{{7}, {7, 8, 9}, {3, 9, 11}} {
		frame, records := frameOf(seqs...)
		for _, last := range []uint64{seqs[len(seqs)-1], seqs[len(seqs)-1] + 5} {
			got := SplitFrame(nil, frame, last)
			if len(got) != len(seqs) {
				t.Fatalf("%v under %d is split into %v", seqs, last, got)
			}
			for i, r := range got {
				if r.Seq != seqs[i] || !bytes.Equal(frame[r.From:r.To], records[i]) {
					t.Errorf("%v under %d: event %d is %+v", seqs, last, i, r)
				}
			}
			if n, err := WholeInFrame(frame, last); n != len(seqs) || err != nil {
				t.Errorf("%v under %d: %d whole, %v", seqs, last, n, err)
			}
		}
	}
	if got := SplitFrame(nil, nil, 4); len(got) != 1 || got[0].Seq != 4 {
		t.Errorf("an empty value is split into %v; want an event that cannot be read", got)
	}
}

// TestFrameDamage asserts that a flipped bit anywhere in a frame costs the one record that it is in,
// which is shown as what it was, and invents nothing.
func TestFrameDamage(t *testing.T) {
	seqs := []uint64{40, 41, 42, 43, 44}
	frame, records := frameOf(seqs...)
	at := 0
	for i, rec := range records {
		for range rec {
			for bit := range 8 {
				damaged := bytes.Clone(frame)
				damaged[at] ^= 1 << bit
				whole, unread := readFrame(damaged, 44)
				if len(whole) != len(seqs)-1 || len(unread) != 1 || unread[0] != seqs[i] {
					t.Fatalf("bit %d of byte %d, in event %d: whole %v, unread %v", bit, at, seqs[i], whole,
						unread)
				}
			}
			at++
		}
	}
}

// TestFrameSmashed asserts that damaged stretches leave what is whole around them, and that what a
// payload has of other records is not taken for events where the head of its own still leads on.
func TestFrameSmashed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seqs := []uint64{100, 101, 102, 103, 104, 105, 106, 107}
	frame, records := frameOf(seqs...)
	for range 2000 {
		damaged := bytes.Clone(frame)
		from := rng.IntN(len(frame))
		to := min(len(frame), from+1+rng.IntN(200))
		for i := from; i < to; i++ {
			damaged[i] = byte(rng.Uint32())
		}
		whole, unread := readFrame(damaged, 107)
		at := 0
		var want []uint64
		for i, rec := range records {
			if at+len(rec) <= from || at >= to || bytes.Equal(frame[at:at+len(rec)],
				damaged[at:at+len(rec)]) {
				want = append(want, seqs[i])
			}
			at += len(rec)
		}
		if fmt.Sprint(whole) != fmt.Sprint(want) || len(whole) < len(seqs) && len(unread) == 0 {
			t.Fatalf("bytes %d to %d: whole %v, want %v; unread %v", from, to, whole, want, unread)
		}
	}
	inside, _ := frameOf(3)
	rec := NewEvent(Parts{At: time.Unix(1, 0), Payload: inside}, Seal{Seq: 9})
	for _, last := range []uint64{9, 10} {
		damaged := bytes.Clone(rec)
		damaged[HeadBytes+3] ^= 1
		if last == 10 {
			more, _ := frameOf(10)
			damaged = append(damaged, more...)
		}
		if whole, unread := readFrame(damaged, last); len(whole) != int(last-9) || len(unread) != 1 ||
			unread[0] != 9 {
			t.Errorf("a record in the payload of event 9: whole %v, unread %v", whole, unread)
		}
	}
}

// FuzzFrame asserts that splitting a frame covers it, in order, whatever is in it.
func FuzzFrame(f *testing.F) {
	frame, _ := frameOf(5, 6, 9)
	f.Add(frame, uint64(9))
	f.Add([]byte{1}, uint64(1))
	f.Fuzz(func(t *testing.T, frame []byte, last uint64) {
		prev, end := uint64(0), 0
		for _, r := range SplitFrame(nil, frame, last) {
			if last > 0 && last < 1<<63 && (r.Seq <= prev || r.Seq > last) || r.From < end ||
				r.To < r.From || r.To > len(frame) {
				t.Fatalf("event %+v after event %d and byte %d, in %d bytes", r, prev, end, len(frame))
			}
			prev, end = r.Seq, r.To
		}
	})
}

// TestFrameInAFrame asserts that a record in an event's payload is not taken for one of the frame's
// where the event around it cannot be read, if it is not between its neighbors.
func TestFrameInAFrame(t *testing.T) {
	for _, within := range []uint64{3, 5, 12} {
		first, _ := frameOf(5)
		inner, _ := frameOf(within)
		outer := NewEvent(Parts{ID: "id", Given: true, Payload: inner}, Seal{Seq: 6})
		last, _ := frameOf(7)
		outer[33] ^= 0xff // how long its id is
		frame := bytes.Join([][]byte{first, outer, last}, nil)
		whole, unread := readFrame(frame, 7)
		if fmt.Sprint(whole, unread) != "[5 7] [6]" {
			t.Errorf("record %d in a payload: read %v, not %v; want 5 and 7, not 6", within, whole, unread)
		}
	}
}
