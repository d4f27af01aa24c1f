package mend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"reflect"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// testFormat is that of the lists here.
func testFormat() ListFormat { return ListFormat{Magic: 1, Levels: 7} }

// changes makes a list of sets of changes: a number makes a table, on level 1; its negative
// removes it.
func changes(t testing.TB, sets ...[]int) []byte {
	t.Helper()
	b := testFormat().head()
	for _, set := range sets {
		m := new(pb.ManifestChangeSet)
		for _, id := range set {
			c := &pb.ManifestChange{Id: uint64(max(id, -id)), Op: pb.ManifestChange_DELETE}
			if id > 0 {
				c.Op, c.Level, c.KeyId = pb.ManifestChange_CREATE, 1, 2
			}
			m.Changes = append(m.Changes, c)
		}
		content, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		b = appendFrame(b, content)
	}
	return b
}

func readList(t testing.TB, text []byte) *List {
	t.Helper()
	l, err := testFormat().Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func names(t *testing.T, what string, l *List, want ...uint64) {
	t.Helper()
	wanted := make(map[uint64]Listed)
	for _, id := range want {
		wanted[id] = Listed{Level: 1, KeyID: 2}
	}
	if !maps.Equal(l.Tables, wanted) {
		t.Errorf("%s: it names %v; want %v", what, l.Tables, want)
	}
}

// A list names what its changes add up to, and written again it is the same.
func TestList(t *testing.T) {
	text := changes(t, []int{1, 2}, []int{3, -1}, nil, []int{1, -2})
	l := readList(t, text)
	names(t, "a list", l, 1, 3)
	if !l.whole || l.Empty() || !maps.Equal(l.deleted, map[uint64]bool{2: true}) ||
		testFormat().Check(text) != "" {
		t.Errorf("%+v, %q", l, testFormat().Check(text))
	}
	again := readList(t, l.Encode())
	if !again.whole || !reflect.DeepEqual(again.Tables, l.Tables) || testFormat().Check(l.Encode()) != "" {
		t.Errorf("written again: %+v", again)
	}
	if l.Distrust(); l.whole || len(l.deleted) > 0 {
		t.Errorf("distrusted: %+v", l)
	}
	if l := readList(t, nil); !l.Empty() || l.whole || len(l.Tables) > 0 {
		t.Errorf("no list: %+v", l)
	}
}

// Whichever byte of a list is changed, it is read up to the change that holds it, and not taken
// for whole. Cut off between two changes it is a list of some time before, which nothing tells.
func TestListFlipped(t *testing.T) {
	sets := [][]int{{1, 2}, {3, -1}, {4}}
	text := changes(t, sets...)
	ends := []int{len(changes(t)), len(changes(t, sets[:1]...)), len(changes(t, sets[:2]...)), len(text)}
	want := [][]uint64{{}, {1, 2}, {2, 3}}
	before := func(at int) []uint64 {
		for i := len(want) - 1; i > 0; i-- {
			if at >= ends[i] {
				return want[i]
			}
		}
		return nil
	}
	for at := range text {
		for _, flip := range []byte{0x10, 0x80, 0xff} {
			b := bytes.Clone(text)
			b[at] ^= flip
			l := readList(t, b)
			names(t, "a flipped byte", l, before(at)...)
			if l.whole || testFormat().Check(b) == "" {
				t.Errorf("byte %d xor %x: taken for whole", at, flip)
			}
		}
		l := readList(t, text[:at])
		names(t, "cut off", l, before(at)...)
		cleanly := at == ends[0] || at == ends[1] || at == ends[2]
		if l.whole != cleanly || (testFormat().Check(text[:at]) == "") != cleanly {
			t.Errorf("cut at %d: whole %v", at, l.whole)
		}
	}
}

// Changes that contradict what was before, or that no engine of ours makes, end the reading.
func TestListContradicts(t *testing.T) {
	for _, change := range []*pb.ManifestChange{
		{Id: 1},
		{Id: 9, Level: 7},
		{Id: 9, Op: 5},
	} {
		content, err := proto.Marshal(&pb.ManifestChangeSet{Changes: []*pb.ManifestChange{change}})
		if err != nil {
			t.Fatal(err)
		}
		if l := readList(t, appendFrame(changes(t, []int{1}), content)); l.whole {
			t.Errorf("%v: taken for whole", change)
		}
	}
	if l := readList(t, appendFrame(changes(t, []int{1}), []byte{0xff})); l.whole {
		t.Error("what is no message is taken for whole")
	}
}

// A list of a later engine is an error; one of an engine with another magic number is not ours.
func TestListNewer(t *testing.T) {
	text := changes(t, []int{1})
	var newer *NewerError
	binary.BigEndian.PutUint16(text[6:], listVersion+1)
	if _, err := testFormat().Read(text); !errors.As(err, &newer) || newer.Version != listVersion+1 {
		t.Errorf("got %v", err)
	}
	if l := readList(t, (ListFormat{Magic: 2}).head()); l.whole {
		t.Error("another magic number is taken for ours")
	}
}

// The file of keys says whether it can be read, whatever key encrypts it.
func TestKeys(t *testing.T) {
	if !SoundClear(ClearKeys()) || HasKeys(ClearKeys()) || CheckKeys(ClearKeys()) != "" {
		t.Error("that of a spool in the clear is damaged")
	}
	var text []byte
	text = append(text, ClearKeys()...)
	ends := []int{len(text)}
	for id := range uint64(2) {
		content, err := proto.Marshal(&pb.DataKey{KeyId: id + 1, Data: bytes.Repeat([]byte{7}, 32),
			Iv: make([]byte, 16), CreatedAt: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		text = appendFrame(text, content)
		ends = append(ends, len(text))
	}
	if !HasKeys(text) || SoundClear(text) || CheckKeys(text) != "" {
		t.Errorf("a sound one: %s", CheckKeys(text))
	}
	for at := range text {
		b := bytes.Clone(text)
		b[at] ^= 0x41
		if fault := CheckKeys(b); (fault == "") != (at < keysHeadBytes) { // that only the key tells
			t.Errorf("byte %d: %q", at, fault)
		}
		b = bytes.Clone(ClearKeys())
		if at >= 16 && at < len(b) {
			if b[at] ^= 1; SoundClear(b) {
				t.Errorf("byte %d: taken for sound", at)
			}
		}
		// The engine takes no notice of up to 8 bytes at the end.
		fits := at >= ends[0] && at <= ends[0]+8 || at >= ends[1] && at <= ends[1]+8
		if fault := CheckKeys(text[:at]); (fault == "") != fits {
			t.Errorf("cut at %d: %q", at, fault)
		}
	}
}

// FuzzList lets any bytes follow a list: reading ends, and what it names can be written and read.
func FuzzList(f *testing.F) {
	f.Add(changes(f, []int{1, 2}, []int{-1}))
	f.Add(testFormat().head())
	f.Add(append(testFormat().head(), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, text := range [][]byte{text, append(testFormat().head(), text...)} {
			_, _ = testFormat().Check(text), CheckKeys(text)
			l, err := testFormat().Read(text)
			if err != nil {
				continue
			}
			again := readList(t, l.Encode())
			if !again.whole || !reflect.DeepEqual(again.Tables, l.Tables) {
				t.Fatalf("%+v became %+v", l, again)
			}
		}
	})
}
