package receipt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// What is stored is what was told, in as few bytes as the package says.
func TestReceipts(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	f := func(bytesMax int, list ...Receipt) {
		t.Helper()
		b := Append(nil, list)
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, list) {
			t.Errorf("%.300v became %.300v, %v", fmt.Sprint(list), fmt.Sprint(got), err)
		}
		if len(b) > bytesMax || len(list) > 0 && First(b) != list[0].Seq {
			t.Errorf("%d receipts have %d bytes, and begin at %d; want %d at most", len(list), len(b),
				First(b), bytesMax)
		}
	}
	f(0)
	f(9, Of(1, at, 0, 200))
	// a target that is quick, and one that is slow and busy
	var quick, slow []Receipt
	for i := range 1000 {
		quick = append(quick, Of(uint64(1+i), at.Add(time.Duration(i)*50*time.Microsecond),
			time.Duration(i%9)*time.Millisecond, 200))
		slow = append(slow, Of(uint64(1+3*i), at.Add(time.Duration(i%32-i)*time.Millisecond),
			400*time.Millisecond, 202))
	}
	f(3*1000+10, quick...)
	f(7*1000+10, slow...)
	// instants before and after, the largest numbers
	f(60, Of(5, at, time.Hour, 299), Of(1<<63, at.Add(-time.Hour), 0, 200),
		Receipt{Seq: 1<<64 - 1, Milliseconds: millisecondsMax, Tenths: 1<<32 - 1, Status: statusMax})
	f(30, Receipt{Seq: 1, Milliseconds: -millisecondsMax}, Receipt{Seq: 2, Milliseconds: 0})
}

// An instant keeps its milliseconds, a duration its tenths of one, and neither runs over.
func TestOf(t *testing.T) {
	t.Parallel()
	r := Of(7, time.Unix(1_700_000_000, 412_999_999), 38*time.Millisecond+96*time.Microsecond, 200)
	if !r.At().Equal(time.Unix(1_700_000_000, 412_000_000)) ||
		r.Took() != 38*time.Millisecond+100*time.Microsecond {
		t.Errorf("it is %s, %s", r.At(), r.Took())
	}
	for took, want := range map[time.Duration]uint32{0: 0, 1: 1, 49 * time.Microsecond: 1,
		149 * time.Microsecond: 1, 150 * time.Microsecond: 2} {
		if r := Of(7, time.Unix(0, 0), took, 200); r.Tenths != want {
			t.Errorf("%s became %d tenths", took, r.Tenths)
		}
	}
	if r := Of(7, time.Unix(0, 0), -time.Second, -1); r.Tenths != 0 || r.Status != 0 {
		t.Errorf("it is %+v", r)
	}
	if r := Of(7, time.Unix(0, 0), 1000*24*time.Hour, 1<<20); r.Tenths != 1<<32-1 ||
		r.Status != statusMax {
		t.Errorf("it is %+v", r)
	}
}

// What nobody wrote is refused.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	f := func(what string, numbers ...uint64) {
		t.Helper()
		var b []byte
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
		if list, err := Decode(b); err == nil {
			t.Errorf("%s became %v", what, list)
		}
	}
	f("one that ends too early", 1, 2)
	f("one without its status", 1, 1, 3)
	f("one twice", 1, 2, 3, 0, 2, 3)
	f("a sequence that runs over", 1<<64-1, 0, 0, 2, 0, 0)
	f("a long time", 1, 0, 1<<32)
	f("a large status", 1, 1, 0, 1<<16)
	f("the usual status, written out", 1, 1, 0, 200)
	f("a late instant", 1, 1<<63, 0)
}

// What Decode takes is what Append writes, but for numbers that are written longer than they are.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(Append(nil, []Receipt{Of(1, time.Unix(1_700_000_000, 0), time.Second, 200),
		Of(4, time.Unix(1_700_000_001, 0), time.Millisecond, 503)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Decode(b)
		if err != nil {
			return
		}
		again := Append(nil, list)
		if len(again) > len(b) || len(again) == len(b) && !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
		if got, err := Decode(again); err != nil || !reflect.DeepEqual(got, list) {
			t.Errorf("%v became %v, %v", list, got, err)
		}
	})
}
