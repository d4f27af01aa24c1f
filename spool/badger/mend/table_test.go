package mend

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"
)

// makeTable is a table as the engine writes it, with keys from first to last in transaction
// newest.
func makeTable(secret string, first, last int, newest uint64) []byte {
	o := table.Options{BlockSize: 4 << 10, BloomFalsePositive: 0.01, TableSize: 1 << 20,
		Compression: options.None}
	if secret != "" {
		o.DataKey = &pb.DataKey{KeyId: 2, Data: []byte(secret)}
	}
	b := table.NewTableBuilder(o)
	defer b.Close()
	for i := first; i <= last; i++ {
		b.Add(tableKey(i, newest), y.ValueStruct{Value: bytes.Repeat([]byte{byte(i)}, 100+i%50)}, 0)
	}
	return b.Finish()
}

func tableKey(i int, txn uint64) []byte { return y.KeyWithTs(fmt.Appendf(nil, "key %05d", i), txn) }

func readTable(t *testing.T, text []byte, named uint64, keys Keys) Table {
	t.Helper()
	got, err := ReadTable(bytes.NewReader(text), int64(len(text)), named, keys)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What is read of a table is what the engine reads of it, with the key that the list names or
// without.
func TestReadTable(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		for _, last := range []int{1, 2, 500} {
			text, keys := makeTable(secret, 1, last, 77), testKeys(secret)
			want := Table{KeyID: keyID, First: tableKey(1, 77), Last: tableKey(last, 77), Newest: 77}
			for _, named := range []uint64{keyID, 0} {
				if got := readTable(t, text, named, keys); !reflect.DeepEqual(got, want) {
					t.Errorf("%d keys, key %d is named: %+v; want %+v", last, named, got, want)
				}
			}
			if secret == "" {
				engineAgrees(t, text, want)
			}
		}
	})
}

// engineAgrees has the engine read a table.
func engineAgrees(t *testing.T, text []byte, want Table) {
	t.Helper()
	path := t.TempDir() + "/000001.sst"
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := table.OpenTable(f, table.Options{ChkMode: options.NoVerification,
		Compression: options.None})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(opened.Smallest(), want.First) || !bytes.Equal(opened.Biggest(), want.Last) ||
		opened.MaxVersion() != want.Newest {
		t.Errorf("the engine reads %q to %q, newest %d", opened.Smallest(), opened.Biggest(),
			opened.MaxVersion())
	}
	if err := opened.Close(-1); err != nil {
		t.Fatal(err)
	}
}

// Whichever byte is changed of what Badger reads of a table to open it, or wherever the table
// ends, it cannot be used; some bits of a checksum's frame mean nothing.
func TestTableFlipped(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		text, keys := makeTable(secret, 1, 60, 77), testKeys(secret)
		sound := readTable(t, text, keyID, keys)
		e, err := readTableEnd(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		from := int(readIndex(e, keys[keyID]).last)
		harmless := 0
		for at := from; at < len(text); at++ {
			b := bytes.Clone(text)
			b[at] ^= 0x40
			got := readTable(t, b, keyID, keys)
			if got.Fault == "" {
				harmless++
				if !reflect.DeepEqual(got, sound) {
					t.Fatalf("byte %d of %d: %+v; want %+v", at, len(text), got, sound)
				}
			}
			fault, err := CheckTable(bytes.NewReader(b), int64(len(b)))
			if err != nil || at >= int(e.at) && (fault == "") != (got.Fault == "") {
				t.Fatalf("byte %d of %d: %q without a key, %q with it", at, len(text), fault, got.Fault)
			}
		}
		if harmless > 4 {
			t.Errorf("%d bytes mean nothing", harmless)
		}
		for _, n := range []int{0, 1, 7, len(text) / 2, len(text) - 1} {
			if got := readTable(t, text[:n], keyID, keys); got.Fault == "" {
				t.Errorf("cut at %d: taken for sound", n)
			}
		}
	})
}

// A byte of another block is the engine's: it opens the table.
func TestTableOtherBlock(t *testing.T) {
	text := makeTable("", 1, 500, 77)
	text[100] ^= 1
	if got := readTable(t, text, 0, nil); got.Fault != "" {
		t.Error(got.Fault)
	}
}

// The key of a table is the one that makes sense of its index. If the list names one that there is
// none of, the table is the engine's to judge; if none makes sense, it cannot be used.
func TestTableKeys(t *testing.T) {
	text := makeTable(testSecret, 1, 60, 77)
	wrong := Keys{1: []byte("another key of16"), 3: []byte("a third of 16 by")}
	for _, c := range []struct {
		name  string
		named uint64
		keys  Keys
		key   uint64
		fault bool
	}{
		{"another key is named", 1, testKeys(testSecret), 2, false},
		{"the key is gone", 2, wrong, 2, false},
		{"no key fits", 1, wrong, 1, true},
		{"no key is named, none fits", 0, wrong, 0, true},
		{"in the clear", 0, nil, 0, true},
	} {
		got := readTable(t, text, c.named, c.keys)
		if got.KeyID != c.key || (got.Fault != "") != c.fault {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	e, err := readTableEnd(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if e.at--; readIndex(e, []byte(testSecret)).blocks > 0 {
		t.Error("an index is taken for one of a shorter table")
	}
}

// failing cannot be read from a place on.
type failing struct {
	*bytes.Reader
	from int64
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at >= f.from {
		return 0, syscall.EIO
	}
	return f.Reader.ReadAt(b, at)
}

// An error of the disk says nothing of a table.
func TestTableReadError(t *testing.T) {
	text := makeTable("", 1, 60, 77)
	e, err := readTableEnd(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	i := readIndex(e, nil)
	for _, from := range []int64{int64(len(text)) - 4, e.at, i.last} {
		r := failing{bytes.NewReader(text), from}
		if got, err := ReadTable(r, int64(len(text)), 0, nil); !errors.Is(err, syscall.EIO) || got.Fault != "" {
			t.Errorf("from byte %d on: %+v, %v", from, got, err)
		}
	}
}

// found are tables with a span of keys each; a negative one cannot be used.
func found(newest uint64, spans ...[3]int) map[uint64]Table {
	there := make(map[uint64]Table)
	for _, s := range spans {
		id := uint64(max(s[0], -s[0]))
		there[id] = Table{KeyID: 2, First: tableKey(s[1], newest), Last: tableKey(s[2], newest), Newest: newest}
		if s[0] < 0 {
			there[id] = Table{Fault: "it is broken", Newest: newest}
		}
	}
	return there
}

// with is some tables and some more.
func with(there, more map[uint64]Table) map[uint64]Table {
	all := maps.Clone(there)
	maps.Copy(all, more)
	return all
}

// The list is left as it is as long as it fits; it is made again of what is there where it does
// not, and what cannot be used goes aside.
func TestFit(t *testing.T) {
	whole := changes(t, []int{1, 2})
	cut := whole[:len(whole)-1]
	replaced := changes(t, []int{1, 2}, []int{-2})
	disjoint := found(5, [3]int{1, 0, 9}, [3]int{2, 10, 19})
	for _, c := range []struct {
		name      string
		list      []byte
		there     map[uint64]Table
		firstTxn  uint64
		distrust  bool
		want      Fit
		on0, on1  []uint64
		unchanged bool
	}{
		{name: "it fits", list: whole, there: disjoint, unchanged: true},
		{name: "a new spool", there: found(0), want: Fit{Explained: true}},
		{name: "a table is gone", list: whole, there: found(5, [3]int{1, 0, 9}),
			want: Fit{Missing: []uint64{2}}, on1: []uint64{1}},
		{name: "a table is broken", list: whole, there: found(5, [3]int{1, 0, 9}, [3]int{-2}),
			want: Fit{Aside: []uint64{2}}, on1: []uint64{1}},
		{name: "there is no list", there: with(disjoint, found(7, [3]int{-3})),
			want: Fit{Explained: true, Aside: []uint64{3}, Added: []uint64{1, 2}}, on0: []uint64{1, 2}},
		{name: "it is cut off", list: cut, there: disjoint,
			want: Fit{Explained: true, Added: []uint64{1, 2}}, on0: []uint64{1, 2}},
		{name: "it was cut where a change ends", list: whole,
			there: found(5, [3]int{1, 0, 9}, [3]int{3, 10, 19}),
			want:  Fit{Explained: true, Missing: []uint64{2}, Added: []uint64{3}},
			on1:   []uint64{1}, on0: []uint64{3}},
		{name: "a table was replaced and is still there", list: replaced, there: disjoint, unchanged: true},
		{name: "it is not to be trusted", list: replaced, there: disjoint, distrust: true,
			want: Fit{Explained: true, Added: []uint64{2}}, on1: []uint64{1}, on0: []uint64{2}},
		{name: "a compaction was cut off", list: whole,
			there: with(disjoint, found(5, [3]int{3, 0, 19})), unchanged: true},
		{name: "a log was being written to a table", list: whole, firstTxn: 6,
			there: with(disjoint, found(9, [3]int{3, 0, 19})), unchanged: true},
		{name: "a table is hidden", list: whole, firstTxn: 10,
			there: with(disjoint, found(9, [3]int{3, 0, 19})),
			want:  Fit{Explained: true, Added: []uint64{3}}, on1: []uint64{1, 2}, on0: []uint64{3}},
		{name: "a table is hidden, and there is no log", list: whole,
			there: with(disjoint, found(9, [3]int{3, 0, 19})),
			want:  Fit{Explained: true, Added: []uint64{3}}, on1: []uint64{1, 2}, on0: []uint64{3}},
		{name: "a hidden table is broken", list: whole, there: with(disjoint, found(9, [3]int{-3})),
			want: Fit{Explained: true, Aside: []uint64{3}}, on1: []uint64{1, 2}},
		{name: "tables overlap", list: append(slices.Clone(whole), 0),
			there: found(5, [3]int{1, 0, 10}, [3]int{2, 10, 19}),
			want:  Fit{Explained: true}, on1: []uint64{1}, on0: []uint64{2}},
		{name: "nobody knows what a table holds", list: append(slices.Clone(whole), 0),
			there: map[uint64]Table{1: {KeyID: 2}, 2: found(5, [3]int{2, 10, 19})[2]},
			want:  Fit{Explained: true}, on1: []uint64{2}, on0: []uint64{1}},
	} {
		l := readList(t, c.list)
		if c.distrust {
			l.Distrust()
		}
		got := l.Fit(c.there, c.firstTxn)
		text := got.List
		got.List = nil
		if (text == nil) != c.unchanged || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, changed %v; want %+v", c.name, got, text != nil, c.want)
		}
		if text == nil {
			continue
		}
		want := map[uint64]Listed{}
		for _, id := range c.on0 {
			want[id] = Listed{KeyID: 2}
		}
		for _, id := range c.on1 {
			want[id] = Listed{Level: 1, KeyID: 2}
		}
		if again := readList(t, text); !again.whole || !reflect.DeepEqual(again.Tables, want) {
			t.Errorf("%s: the list names %v; want %v", c.name, again.Tables, want)
		}
	}
}

// Only what is known to be of no use is taken for unfinished.
func TestUnfinished(t *testing.T) {
	whole := changes(t, []int{1, 2})
	sound := func() map[uint64]Table { return found(5, [3]int{1, 0, 9}, [3]int{2, 10, 19}) }
	merging, empty := found(5, [3]int{3, 0, 19}), map[uint64]Table{4: {Fault: "it is empty"}}
	f := func(what string, list []byte, there map[uint64]Table, want ...uint64) {
		t.Helper()
		if got := readList(t, list).Unfinished(there); !slices.Equal(got, want) {
			t.Errorf("%s: %v; want %v", what, got, want)
		}
	}
	f("nothing", whole, sound())
	f("a compaction was cut off", whole, with(with(sound(), merging), empty), 3, 4)
	f("a memtable was being written", whole, with(sound(), found(6, [3]int{3, 0, 19})))
	f("it is broken, and newer", whole, with(sound(), found(6, [3]int{-3})))
	f("the list is cut off", whole[:len(whole)-1], with(sound(), merging))
	f("there is no list", nil, with(sound(), merging))
	f("a listed table is gone", whole, with(found(5, [3]int{1, 0, 9}), merging))
	f("a listed table is broken", whole, with(found(5, [3]int{1, 0, 9}, [3]int{-2}), merging))
}

// FuzzTable changes a table in one place, or lets any bytes be one: reading ends.
func FuzzTable(f *testing.F) {
	clear, secret := makeTable("", 1, 60, 77), makeTable(testSecret, 1, 60, 77)
	f.Add(uint32(3), byte(1), clear)
	f.Add(uint32(300), byte(0x80), secret[len(secret)/2:])
	f.Fuzz(func(t *testing.T, back uint32, flip byte, any []byte) {
		_ = readTable(t, any, 0, nil)
		_ = readTable(t, any, 2, testKeys(testSecret))
		for _, text := range [][]byte{clear, secret} {
			b := bytes.Clone(text)
			b[int(back)%len(b)] ^= flip
			_ = readTable(t, b, 0, nil)
			_ = readTable(t, b, 2, testKeys(testSecret))
			block := b[int(back)%len(b):]
			_, _ = blockContent(block, nil)
			_ = lastKey(block)
			i := int(back) % len(b)
			_ = readIndex(tableEnd{index: b[i:], at: int64(i)}, nil)
		}
	})
}
