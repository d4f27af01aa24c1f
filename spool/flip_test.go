package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// Whichever byte of what Badger reads of a table to open it is flipped, its last block, its index
// and its end, encrypted or not, the table is put right: nothing is lost. (It panicked over the
// last block, in a goroutine of its own.)
func TestRepairFlippedTable(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", testKey} {
		f, dir := inTables(t, key)
		o := ondisk.Options(dir, f.secret, nil)
		list, err := readTableList(o.Dir)
		if err != nil || len(list.tables) == 0 {
			t.Fatal(list, err)
		}
		r := &tableRepair{s: &Spool{dir: dir, log: f.options().Log, repairs: true}, o: o,
			keys: new(dataKeys)}
		if key != "" {
			if r.keys, err = openDataKeys(o); err != nil {
				t.Fatal(err)
			}
		}
		for id, table := range list.tables {
			f.flipTable(r, id, table.KeyID)
		}
		for id := range list.tables {
			name := filepath.Base(r.path(id))
			got, aside := f.starts(dir, func(dir string) {
				f.flipLastBlock(r, filepath.Join(dir, ondisk.Dir, name), list.tables[id].KeyID)
			})
			if arrived(got) != furnished || aside > 0 {
				t.Errorf("table %d: %d events arrive, %d are set aside", id, arrived(got), aside)
			}
		}
	}
}

// lastBlockOf is the block, read by the table's own index.
func (f *fixture) lastBlockOf(r *tableRepair, path string, key uint64) *lastBlock {
	f.t.Helper()
	file, err := os.Open(path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		f.t.Fatal(err)
	}
	e, err := readTableEnd(file, info.Size())
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := findLastBlock(file, &e, r.keys.secret(key))
	if err != nil || !b.fits() {
		f.t.Fatal("a sound block does not fit", err)
	}
	return b
}

// flipTable flips every byte from the last block on, one after the other, in memory.
func (f *fixture) flipTable(r *tableRepair, id, key uint64) {
	f.t.Helper()
	text, err := os.ReadFile(r.path(id))
	if err != nil {
		f.t.Fatal(err)
	}
	b := f.lastBlockOf(r, r.path(id), key)
	want, _, _ := blockParts(b.plain(b.text))
	for at := range b.text {
		text[b.at+at] ^= 0x40
		flipped := *b
		flipped.text = text[b.at : b.at+len(b.text)]
		if !flipped.fits() { // some bits of a checksum's number mean nothing
			flipped.text = flipped.fixed()
		}
		got, _, ok := blockParts(flipped.plain(flipped.text))
		if !ok || !bytes.Equal(got, want) {
			f.t.Fatalf("table %d: byte %d of the last block, of %d, is not put right", id, at, len(b.text))
		}
		text[b.at+at] ^= 0x40
	}
}

// flipLastBlock flips a byte that says where an entry of the block is.
func (f *fixture) flipLastBlock(r *tableRepair, path string, key uint64) {
	f.t.Helper()
	b := f.lastBlockOf(r, path, key)
	content, _, _ := blockParts(b.plain(b.text))
	flipAt(f.t, path, b.at+len(content)-8)
}
