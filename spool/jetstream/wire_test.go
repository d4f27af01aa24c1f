package jetstream

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/record"
)

// What is deleted comes back as it was, packed.
func TestSeqs(t *testing.T) {
	f := func(seqs []uint64, bytesMax int) {
		t.Helper()
		want := slices.Clone(seqs)
		b := writeSeqs(seqs)
		got, err := readSeqs(b)
		slices.Sort(want)
		if want = slices.Compact(want); err != nil || !slices.Equal(got, want) || len(b) > bytesMax {
			t.Errorf("%v became %v in %d bytes: %v", want, got, len(b), err)
		}
	}
	f(nil, 0)
	f([]uint64{7}, 2)
	f([]uint64{1 << 63, 3, 2, 1, 3, 9}, 20)
	run := make([]uint64, 50_000)
	for i := range run {
		run[i] = uint64(i) + 1_000_000
	}
	f(run, 8)
	for range 100 {
		seqs := make([]uint64, rand.IntN(50))
		for i := range seqs {
			seqs[i] = rand.Uint64N(100)
		}
		f(seqs, 200)
	}
	for _, b := range [][]byte{{1}, {1, 0x80}, {0x80}, {1, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if got, err := readSeqs(b); err == nil {
			t.Errorf("%x is read as %v", b, got)
		}
	}
}

// A key becomes a subject and comes back, whatever bytes it has.
func TestKeys(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, key := range [][]byte{{'i'}, []byte("i*.> \x00\r\n"), bytes.Repeat([]byte{0xff}, record.KeyBytesMax)} {
		c, err := read(keyed(key), nats.Header{}, []byte("v"), now, now)
		if err != nil || !bytes.Equal(c.key, key) || string(c.value) != "v" || c.gone || c.ttl != 0 {
			t.Errorf("%q comes back as %+v: %v", key, c, err)
		}
	}
	header := nats.Header{ttlHeader: {"60s"}}
	if c, _ := read(keyed([]byte("k")), header, nil, now.Add(-time.Second), now); c.ttl != 59*time.Second {
		t.Errorf("a second later %v are left of a minute", c.ttl)
	}
	if c, _ := read(keyed([]byte("k")), header, nil, now.Add(-time.Minute), now); !c.gone {
		t.Error("what has expired is there")
	}
	for _, subject := range []string{"", "x", "k.*", "f.x", "f.5000000000", "r.!", "e"} {
		if _, err := read(subject, nats.Header{}, nil, now, now); err == nil {
			t.Errorf("subject %q is taken for ours", subject)
		}
	}
}

// Records that were packed come back as they were, those of a kind that expire together in one
// message as far as it takes them, and nonsense is refused.
func TestPack(t *testing.T) {
	p := packs{packed: func(byte) time.Duration { return 0 }}
	value := bytes.Repeat([]byte("v"), 1<<10)
	const ids = 2000
	for i := range ids {
		if !p.admit(record.IDKey(strconv.Itoa(i)), value, time.Hour+time.Duration(i%2)*time.Minute) {
			t.Fatal("an id is not packed")
		}
	}
	for i := range statesMax + 1 {
		if got := p.admit(record.StateKey([]byte{byte(i)}), nil, time.Hour); got != (i == statesMax) {
			t.Errorf("state %d is packed: %v", i, got)
		}
	}
	if p.admit(record.LaneKey(record.PrefixRecent, 1), nil, time.Hour) || p.admit(record.IDKey("x"), nil, 0) {
		t.Error("what is deleted before, or stays, is packed")
	}
	b := &batch{s: &sender{name: "s"}}
	p.addTo(b, pieceBytes)
	if len(b.msgs) != 2+2+1 { // two lives of 1,000 KiB each, and one state
		t.Errorf("%d messages", len(b.msgs))
	}
	seen := make(map[string]bool)
	now := time.Unix(1_000_000, 0)
	for _, m := range b.msgs {
		c, err := read(packSubject, m.Header, m.Data, now, now.Add(time.Minute))
		if err != nil || len(m.Data) > pieceBytes {
			t.Fatal(len(m.Data), err)
		}
		all, err := unpack(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			seen[string(one.key)] = true
			if i, err := strconv.Atoi(string(one.key[1:])); one.key[0] == record.PrefixID &&
				(err != nil || one.ttl != time.Hour+time.Duration(i%2-1)*time.Minute || one.gone ||
					!bytes.Equal(one.value, value)) {
				t.Errorf("%q comes back as %+v: %v", one.key, one, err)
			}
		}
	}
	if len(seen) != ids+1 {
		t.Errorf("%d records come back", len(seen))
	}
	for _, data := range [][]byte{nil, {1}, {0, 0}, {1, 'i'}, {1, 'i', 2, 'v'}, {0x80}} {
		if all, err := unpack(change{value: data}); err == nil {
			t.Errorf("%x is read as %v", data, all)
		}
	}
}

// What is trimmed is about events before the first, and no other.
func TestTrimmer(t *testing.T) {
	var tr trimmer
	for i := range uint64(10) {
		tr.stored(10*(i+1), 100+i) // events 1 to 10 in message 100, and so on
	}
	tr.deleted([]uint64{5, 12}, 200)
	tr.deleted([]uint64{3}, 201)
	tr.deleted(nil, 202)
	f := func(first, frame, deletion uint64) {
		t.Helper()
		gotFrame, gotDeletion := tr.before(first)
		if gotFrame.message != frame || gotDeletion.message != deletion {
			t.Errorf("before event %d: %d and %d; want %d and %d", first, gotFrame.message,
				gotDeletion.message, frame, deletion)
		}
		tr.trimmed(gotFrame, gotDeletion)
	}
	f(6, 0, 0) // 5 is deleted, its frame is there, and would bring it back
	f(10, 0, 0)
	f(11, 100, 0)
	f(13, 0, 0)
	f(21, 101, 201)
	f(101, 109, 0)
	for i := range uint64(3 * marksMax) {
		tr.stored(i+1, 1000+i)
	}
	if n := len(tr.frames); n > marksMax {
		t.Errorf("%d marks are kept", n)
	}
	f(3*marksMax, 1000+3*marksMax-2, 0)
}
