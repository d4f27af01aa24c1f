package record

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/receipt"
)

// doc.go tells of exactly the records that there are, in the words of the table.
func TestTableIsDocs(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "// # Keys\n//\n")
	table, _, found := strings.Cut(rest, "\n//\n")
	if !found {
		t.Fatal("doc.go has no table of keys")
	}
	const column = len("//\te seq                 ")
	var told []string
	for _, line := range strings.Split(table, "\n") {
		if len(line) <= column {
			t.Fatalf("%q is no line of the table", line)
		}
		key, use := strings.TrimSpace(strings.TrimPrefix(line[:column], "//")), line[column:]
		if key == "" {
			told[len(told)-1] += " " + use
		} else {
			told = append(told, key+": "+use)
		}
	}
	for i := range kinds {
		want := kinds[i].String() + ": " + kinds[i].use
		if i >= len(told) || told[i] != want {
			t.Errorf("doc.go does not say, as number %d:\n%s\nbut %q", i+1, want, told[i:min(i+1, len(told))])
		}
	}
	if len(told) > len(kinds) {
		t.Errorf("doc.go tells of %q, which are not in the table", told[len(kinds):])
	}
}

// Every prefix that the package has a name for is in the table, once, and all of them are named in
// key.go.
func TestTableHasEveryPrefix(t *testing.T) {
	named := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			for i := 0; ok && i < len(v.Names); i++ {
				if isPrefix := strings.HasPrefix(v.Names[i].Name, "Prefix"); isPrefix {
					named[v.Names[i].Name] = true
					if name != "key.go" {
						t.Errorf("%s: %s belongs into key.go", name, v.Names[i].Name)
					}
				}
			}
			return true
		})
	}
	seen := map[byte]bool{}
	for i := range kinds {
		k := &kinds[i]
		if seen[k.Prefix] {
			t.Errorf("%q is in the table twice", k)
		}
		seen[k.Prefix] = true
		if KindOf([]byte{k.Prefix}) != k || k.check == nil || k.use == "" {
			t.Errorf("%q is incomplete", k)
		}
	}
	if len(named) != len(kinds) {
		t.Errorf("key.go names %d prefixes, and the table has %d: %v", len(named), len(kinds), named)
	}
}

// The lengths of keys, and what they are about.
func TestRecordKeys(t *testing.T) {
	f := func(key []byte, fits bool, lane LaneID, about bool) {
		t.Helper()
		k := KindOf(key)
		if k == nil {
			t.Fatalf("%q has no kind", key)
		}
		if err := k.Fits(key); (err == nil) != fits {
			t.Errorf("%q: %v; want fits %v", key, err, fits)
		}
		if !fits {
			return
		}
		if id, ok := k.Lane(key); ok != about || ok && id != lane {
			t.Errorf("%q is about %d, %v; want %d, %v", key, id, ok, lane, about)
		}
	}
	f(LogKey(1), true, 0, false)
	f(LogKey(1)[:8], false, 0, false)
	f(IDKey("x"), true, 0, false)
	f(LaneKey(PrefixLane, 7), true, 7, true)
	f(LaneKey(PrefixLane, 0), true, 0, true) // there is no lane 0, and verify says so
	f(LaneSeqKey(PrefixException, 7, 1), true, 7, true)
	f(append(LaneSeqKey(PrefixException, 7, 1), 1), false, 0, false)
	f(LaneSeqKey(PrefixNotice, SpoolItself, 1), true, 0, false)
	f(append(LaneSeqKey(PrefixNotice, 7, 1), 1), true, 7, true)
	f(append(LaneSeqKey(PrefixNotice, 7, 1), 0), false, 0, false)
	f(append(LaneSeqKey(PrefixNotice, 7, 1), 1, 1), false, 0, false)
	f(LaneKey(PrefixMemo, SpoolItself), true, 0, false)
	f(append(LaneSeqKey(PrefixHistory, 7, 1), 4), true, 7, true)
	f(LaneSeqKey(PrefixHistory, 7, 1), false, 0, false)
	f(ReleasedKey(time.Unix(1_700_000_000, 0), 1), true, 0, false)
	f(MetaKey(MetaTick), true, 0, false)
	f([]byte{PrefixFlush}, true, 0, false)
	f([]byte{PrefixFlush, 0}, false, 0, false)
	if KindOf(nil) != nil || KindOf([]byte("?")) != nil {
		t.Error("what is no record has a kind")
	}
}

// A piece of receipts is kept under its last, and is as it was written; anything else is a fault.
func TestReceiptsRecord(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	p := receipt.Piece{Apart: true, List: []receipt.Receipt{receipt.Of(7, at, time.Second, 200),
		receipt.Of(9, at, time.Minute, 503)}}
	value := EncodeReceipts(&p)
	got, err := DecodeReceipts(value)
	first, ferr := FirstReceipt(value)
	if err != nil || ferr != nil || first != 7 || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v became %+v, from %d: %v, %v", p, got, first, err, ferr)
	}
	key := ReceiptsKey(3, &p)
	if KeyLane(key) != 3 || KeySeq(key) != 9 || KeyDelivery(key) != 9 || len(key) != LaneSeqBytes {
		t.Errorf("its key is %q", key)
	}
	f := func(what string, key, value []byte, wantFault bool) {
		t.Helper()
		if err := Check(key, value); (err != nil) != wantFault {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("the record", key, value, false)
	f("another key", LaneSeqKey(PrefixReceipts, 3, 8), value, true)
	f("none", key, NewEncoder(0).Seal(), true)
	f("no receipts", key, EncodeReceipts(&receipt.Piece{}), true)
	cut := NewEncoder(0)
	cut.b = append(cut.b, value[5:len(value)-1]...)
	f("half a receipt", key, cut.Seal(), true)
}

// The record of a lane has its newest receipts, and does without them as one of before does.
func TestLaneRecordReceipts(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	f := func(l Lane) {
		t.Helper()
		value := l.Encode()
		got, err := DecodeLane(value)
		if err != nil || !reflect.DeepEqual(got, &l) {
			t.Errorf("%+v became %+v, %v", l, got, err)
		}
		if n := len(value); len(l.Receipts) == 0 && n > 40 {
			t.Errorf("a record without receipts has %d bytes", n)
		}
	}
	f(Lane{Position: 7, Owed: 3})
	f(Lane{Position: 7, Owed: 3, Expired: 2})
	f(Lane{Position: 7, Owed: 3, Receipts: []receipt.Receipt{receipt.Of(7, at, 0, 200)}})
	f(Lane{Position: 7, Owed: 3, Expired: 2, Receipts: []receipt.Receipt{receipt.Of(7, at, 0, 200),
		receipt.Of(8, at, time.Second, 204)}})
}
