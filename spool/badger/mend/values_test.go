package mend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// testFrames are in a testValues.
const testFrames = 7

// frame is the value of an event in a value log; it has a checksum, as records of ours do.
func frame(seq uint64) []byte {
	body := bytes.Repeat([]byte{byte(seq), 0, 0x40, 'e'}, []int{30, 24, 400, 40, 5000, 32, 31}[seq%7])
	return binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

// valueRecords are events with a frame.
func valueRecords() Records {
	return Records{
		Check: func(key, value []byte) error {
			if len(key) != 9 || key[0] != 'e' {
				return errors.New("no key of ours")
			}
			if n := len(value) - 4; value != nil &&
				(n < 0 || crc32.ChecksumIEEE(value[:n]) != binary.BigEndian.Uint32(value[n:])) {
				return errors.New("no frame")
			}
			return nil
		},
		Event: func(key, _ []byte) (seq, batchEnd uint64) {
			if len(key) != 9 || key[0] != 'e' {
				return 0, 0
			}
			return binary.BigEndian.Uint64(key[1:]), 0
		},
	}
}

// testValues is a value log, and where its entries are.
func testValues(secret string, keyID uint64) (text []byte, at []Place) {
	w := newLog(secret, keyID)
	for seq := uint64(1); seq <= testFrames; seq++ {
		from := len(w.b)
		w.write(0, 0, eventKey(seq), seq+10, frame(seq))
		at = append(at, Place{At: int64(from), Bytes: int64(len(w.b) - from)})
	}
	return w.b, at
}

// ahead is a value log that was not closed: zeros follow.
func ahead(text []byte) []byte { return append(bytes.Clone(text), make([]byte, 3*windowBytes)...) }

func readValues(t testing.TB, text []byte, o ValueOptions) *Values {
	t.Helper()
	if o.Records.Check == nil {
		o.Records = valueRecords()
	}
	v, err := ReadValues(bytes.NewReader(text), int64(len(text)), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mended is a text with the patches of what was read of it.
func mended(text []byte, v *Values) []byte {
	b := bytes.Clone(text)
	for _, p := range v.Patches() {
		copy(b[p.At:], p.Bytes)
	}
	return b
}

// engineWalks are the places of the entries that the engine finds in a value log.
func engineWalks(text []byte) (at []Place) {
	for p := LogHeadBytes; p < len(text); {
		e, ok := readHead(text[p:], math.MaxUint32)
		if !ok || e.size > len(text)-p || !e.whole(text[p:]) {
			break
		}
		at = append(at, Place{At: int64(p), Bytes: int64(e.size)})
		p += e.size
	}
	return at
}

// engineReadsValue is what the engine returns of the entry at a place.
func engineReadsValue(text []byte, at Place, secret string) []byte {
	b := text[at.At : at.At+at.Bytes]
	e, ok := readHead(b, math.MaxUint32)
	if !ok || int64(e.size) > at.Bytes || !e.whole(b[:e.size]) {
		return nil
	}
	w := newWAL(text, nil)
	if secret != "" {
		w.secret = []byte(secret)
	}
	x := w.split(e, int(at.At), b)
	return x.content
}

// wantMended wants a damaged value log to be such, and what is made of it to be walked by the engine
// to the end of what was written. Every entry is read as it was, but for some. It is read again as
// one that is not damaged. It returns what the engine reads of those.
func wantMended(t *testing.T, what string, text []byte, o ValueOptions, but ...int) [][]byte {
	t.Helper()
	secret := ""
	if o.Keys != nil {
		secret = testSecret
	}
	_, places := testValues(secret, 2)
	v := readValues(t, text, o)
	if !v.IsDamaged() {
		t.Fatalf("%s: nobody noticed", what)
	}
	b := mended(text, v)
	walked := engineWalks(b)
	last := places[len(places)-1]
	if n := len(walked); n == 0 || walked[n-1].At+walked[n-1].Bytes != last.At+last.Bytes {
		t.Fatalf("%s: the engine finds %v; the last one is %v", what, walked, last)
	}
	var left [][]byte
	for i, place := range places {
		got := engineReadsValue(b, place, secret)
		if slices.Contains(but, i) {
			left = append(left, got)
		} else if !bytes.Equal(got, frame(uint64(i+1))) {
			t.Fatalf("%s: entry %d is not read", what, i)
		}
	}
	again := readValues(t, b, o)
	if again.IsDamaged() || len(again.Patches()) > 0 || again.End != last.At+last.Bytes {
		t.Fatalf("%s: mended it is damaged: %+v", what, again)
	}
	return left
}

// A sound value log is not damaged; each entry is visited; the zeros ahead are not its.
func TestValuesSound(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		for _, b := range [][]byte{text, ahead(text), text[:LogHeadBytes], ahead(text[:LogHeadBytes])} {
			var got []Place
			v := readValues(t, b, ValueOptions{Keys: testKeys(secret), Visit: func(e *ValueEntry) {
				got = append(got, e.Place)
				seq, _ := valueRecords().Event(e.Key, nil)
				if int(seq) != len(got) || e.Txn != seq+10 || e.Mended {
					t.Errorf("entry %d is %+v", len(got), e)
				}
			}})
			want := places
			if len(bytes.TrimRight(b, "\x00")) <= LogHeadBytes {
				want = nil
			}
			if v.IsDamaged() || v.Torn > 0 || v.Entries != len(want) || !slices.Equal(got, want) ||
				len(want) > 0 && v.End != int64(len(text)) {
				t.Errorf("%d bytes: %+v, entries %v", len(b), v, got)
			}
		}
		for n := range LogHeadBytes {
			if v := readValues(t, text[:n], ValueOptions{Keys: testKeys(secret)}); v.IsDamaged() {
				t.Errorf("%d bytes: %+v", n, v)
			}
		}
	})
}

// Whichever byte of an entry is changed, and however, the engine walks past it and reads all others
// as they were. Of the changed one it reads the value as it is now, which differs in that byte at
// most: a head is put right, and what a key or a checksum holds is in no value.
func TestValuesFlippedByte(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		for _, closed := range []bool{true, false} {
			o := ValueOptions{Keys: testKeys(secret)}
			if !closed {
				o.Known = &Known{Txn: testFrames + 10, End: int64(len(text))}
			}
			for i, place := range places {
				for at := place.At; at < place.At+place.Bytes; at++ {
					if at > place.At+80 && at < place.At+place.Bytes-12 && at%97 > 0 {
						continue
					}
					for n, flip := range []byte{1, 0x10, 0x80, 0xff} {
						if !effort.Long() && int(at)%4 != n {
							continue // each byte is changed in one of the ways
						}
						b := bytes.Clone(text)
						if b[at] ^= flip; !closed {
							b = append(b, make([]byte, 100)...)
						}
						what := fmt.Sprintf("entry %d, byte %d xor %x, closed %v", i, at-place.At, flip, closed)
						left := wantMended(t, what, b, o, i)[0]
						want := frame(uint64(i + 1))
						differ := 0
						for j := range min(len(left), len(want)) {
							if left[j] != want[j] {
								differ++
							}
						}
						if len(left) != len(want) || differ > 1 {
							t.Fatalf("%s: %d of %d bytes are read, %d differ", what, len(left), len(want), differ)
						}
						if bytes.Equal(left, want) && differ > 0 {
							t.Fatal(what)
						}
					}
				}
			}
		}
	})
}

// Whichever entries are destroyed, alone or with their neighbours, all others are read, and nothing
// of the destroyed ones is taken for whole.
func TestValuesDestroyed(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		o := ValueOptions{Keys: testKeys(secret), Known: &Known{Txn: 10, End: int64(len(text))}}
		for from := range places {
			for n := 1; n <= 3 && from+n <= len(places); n++ {
				for way, fill := range []byte{0, 0xa5, 0xff} {
					for k, begin := range []int64{0, 3, 40} {
						if !effort.Long() && (from+n+way+k)%3 > 0 {
							continue // each of the ways meets each of the beginnings somewhere
						}
						b := ahead(text)
						last := places[from+n-1]
						hole := b[places[from].At+begin : last.At+last.Bytes-20]
						copy(hole, bytes.Repeat([]byte{fill}, len(hole)))
						var but []int
						for i := range n {
							but = append(but, from+i)
						}
						what := fmt.Sprintf("%d entries from %d, way %d, from byte %d", n, from, way, begin)
						for i, left := range wantMended(t, what, b, o, but...) {
							if left != nil && valueRecords().Check(eventKey(uint64(from+i+1)), left) == nil {
								t.Fatalf("%s: entry %d is taken for whole", what, from+i)
							}
						}
					}
				}
			}
		}
	})
}

// A head in the middle of a stretch is where its entry begins: damage across two entries costs
// each of them only the bytes that it is in.
func TestValuesAcrossEntries(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		o := ValueOptions{Keys: testKeys(secret)}
		for i := range len(places) - 1 {
			b := bytes.Clone(text)
			clear(b[places[i+1].At-9 : places[i+1].At+9])
			left := wantMended(t, fmt.Sprintf("between %d and %d", i, i+1), b, o, i, i+1)
			for j, left := range left {
				if want := frame(uint64(i + j + 1)); len(left) != len(want) || j == 1 && !bytes.Equal(left, want) {
					t.Errorf("between %d and %d: of the %d. %d bytes are read; want %d", i, i+1, j+1,
						len(left), len(want))
				}
			}
		}
	})
}

// What a crash leaves at the end of a value log is left to the engine, which cuts it off: nobody was
// told of it. It is mended if anything says that it was whole.
func TestValuesTorn(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		last := places[len(places)-1]
		f := func(what string, b []byte, known Known, damaged bool, end int64) {
			t.Helper()
			v := readValues(t, b, ValueOptions{Keys: testKeys(secret), Known: &known})
			if v.IsDamaged() != damaged || v.End != end {
				t.Errorf("%s: damaged %v, its end is %d; want %v, %d", what, v.IsDamaged(), v.End, damaged, end)
			}
			if walked := engineWalks(mended(b, v)); walked[len(walked)-1].At+walked[len(walked)-1].Bytes != end {
				t.Errorf("%s: the engine finds %v", what, walked)
			}
		}
		before := Known{Txn: testFrames + 9}
		for n := int64(1); n < last.Bytes; n += 7 {
			f(fmt.Sprintf("%d bytes are there", n), ahead(text[:last.At+n]), before, false, last.At)
		}
		hole := ahead(text)
		clear(hole[places[5].At+30 : places[5].At+60])
		f("a hole, and nobody was told", hole, Known{Txn: 15}, false, places[5].At)
		f("a hole, and it was whole", hole, Known{Txn: 16}, true, last.At+last.Bytes)
		f("a hole, and what follows was whole", hole, Known{Txn: 17}, true, last.At+last.Bytes)
		f("a hole, and what follows was answered", hole, Known{Txn: 1, Event: 7}, true, last.At+last.Bytes)
		changed := ahead(text)
		changed[last.At+50] ^= 1
		f("the last is changed, and nobody was told", changed, before, false, last.At)
		f("the last is changed, and was whole", changed, Known{Txn: 17}, true, last.At+last.Bytes)
		f("the last is changed, and was answered", changed, Known{Txn: 1, Event: 7}, true,
			last.At+last.Bytes)
		f("the last is changed, and a log leads there", changed, Known{Txn: 1, End: last.At + last.Bytes},
			true, last.At+last.Bytes)
		f("the last is changed, and the file was closed", changed[:len(text)], Known{Txn: 1}, true,
			last.At+last.Bytes)
	})
}

// What the engine would choke on at a value log's end goes.
func TestValuesRotten(t *testing.T) {
	text, _ := testValues("", 0)
	for _, end := range [][]byte{
		append([]byte{0, 0}, bytes.Repeat([]byte{0xff}, 30)...), // an endless number
		{0, 0, 12, 0xff, 0xff, 0xff, 0xff, 7, 0},                // gigabytes
	} {
		b := ahead(append(bytes.Clone(text), end...))
		v := readValues(t, b, ValueOptions{Known: &Known{Txn: testFrames + 10}})
		if !v.IsDamaged() || v.End != int64(len(text)) {
			t.Errorf("%x: %+v", end, v)
		}
		if v := readValues(t, mended(b, v), ValueOptions{Known: &Known{Txn: testFrames + 10}}); v.IsDamaged() {
			t.Errorf("%x: mended it is damaged", end)
		}
	}
}

// Whichever byte of a value log's head is changed, everything in it is read. If more is, nothing
// can be.
func TestValuesHead(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, places := testValues(secret, keyID)
		o := ValueOptions{Keys: testKeys(secret), Records: valueRecords()}
		for at := range LogHeadBytes {
			for _, b := range [][]byte{bytes.Clone(text), bytes.Clone(text[:places[0].Bytes+LogHeadBytes]),
				bytes.Clone(text[:LogHeadBytes])} {
				b[at] ^= 0x21
				v := readValues(t, b, o)
				b = mended(b, v)
				if (secret != "" || at < 8) && len(b) > LogHeadBytes && !bytes.Equal(b, text[:len(b)]) {
					t.Errorf("byte %d of %d: it is not made right", at, len(b))
				}
				if id := binary.BigEndian.Uint64(b); id != keyID {
					t.Errorf("byte %d of %d: key %d", at, len(b), id)
				}
			}
		}
		b := bytes.Clone(text)
		b[9] ^= 1
		b[15] ^= 1
		_, err := ReadValues(bytes.NewReader(b), int64(len(b)), o)
		if want := map[bool]error{true: ErrKey}[secret != ""]; !errors.Is(err, want) {
			t.Errorf("got %v; want %v", err, want)
		}
		v, err := ReadValues(bytes.NewReader(b), int64(len(b)), ValueOptions{Sums: true})
		if err != nil || v.Entries != testFrames || v.IsDamaged() {
			t.Errorf("its checksums: %+v, %v", v, err)
		}
	})
	text, _ := testValues(testSecret, 2)
	_, err := ReadValues(bytes.NewReader(text), int64(len(text)),
		ValueOptions{Keys: Keys{}, Records: valueRecords()})
	if !errors.Is(err, ErrKey) {
		t.Errorf("without any key: %v", err)
	}
}

// Every length of a stretch has an entry.
func TestValuesEveryLength(t *testing.T) {
	for n := int64(entryMin); n < 70_000; n++ {
		head := meantHead(eventKeyBytes, n)
		e, ok := readHead(append(bytes.Clone(head), make([]byte, headBytesMax)...), FrameBytesMax)
		if !ok || int64(e.size) != n || e.head != len(head) || e.key <= timeBytes {
			t.Fatalf("%d bytes: %x, %+v", n, head, e)
		}
	}
}

// A stretch is told by the events around it, and by the key that is left in it.
func TestValuesWhich(t *testing.T) {
	text, places := testValues(testSecret, 2)
	b := bytes.Clone(text)
	b[places[2].At+60] ^= 1
	v := readValues(t, b, ValueOptions{Keys: testKeys(testSecret)})
	if len(v.Damaged) != 1 || v.Damaged[0].Before != 2 || v.Damaged[0].After != 4 ||
		v.Damaged[0].Place != places[2] || !bytes.Equal(v.Damaged[0].Pieces[0].Key, eventKey(3)) {
		t.Errorf("%+v", v.Damaged)
	}
	v = readValues(t, mended(b, v), ValueOptions{Keys: testKeys(testSecret)})
	if v.IsDamaged() || !slices.Equal(v.Mended, places[2:3]) {
		t.Errorf("%+v", v)
	}
}

// BenchmarkReadValues reads a value log of 64 MiB with frames of 64 KiB, and as many zeros.
func BenchmarkReadValues(b *testing.B) {
	w := newLog("", 0)
	for seq := uint64(1); len(w.b) < 64<<20; seq++ {
		w.write(0, 0, eventKey(seq), seq, make([]byte, 64<<10))
	}
	text := append(w.b, make([]byte, 64<<20)...)
	b.SetBytes(int64(len(w.b)))
	b.ReportAllocs()
	for b.Loop() {
		readValues(b, text, ValueOptions{})
	}
}

// A disk that cannot read is not a damaged value log.
func TestValuesReadError(t *testing.T) {
	text, _ := testValues("", 0)
	path := filepath.Join(t.TempDir(), "1.vlog")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := ReadValues(f, int64(len(text)), ValueOptions{Records: valueRecords()}); err == nil {
		t.Error("got no error")
	}
}
