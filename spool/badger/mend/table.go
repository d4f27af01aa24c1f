package mend

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/y"
)

// Table is what the engine reads of a table to open it.
type Table struct {
	// Fault says why the engine cannot use it. The rest may be unknown then.
	Fault string
	// KeyID is the number of its data key; 0: it is in the clear.
	KeyID uint64
	// First and Last are its keys, as the engine orders them; nil: not known.
	First, Last []byte
	// Newest is the newest transaction in it; 0: not known.
	Newest uint64
}

// ReadTable looks at a table's end: its index and its last block, over which Badger panics, in a
// goroutine where nothing can catch it. named is the number of the data key that the list names
// for it; 0: it names none, or the table is in the clear. Which key it is only the list says, so
// where that is wrong or gone it is the one that makes sense of the index. If the list names a key
// that there is none of, only the index's checksum is looked at; the rest is the engine's to tell.
//
// The error is one of reading, and says nothing of the table.
func ReadTable(r io.ReaderAt, size int64, named uint64, keys Keys) (t Table, err error) {
	t.KeyID = named
	e, err := readTableEnd(r, size)
	if err != nil || e.fault != "" {
		t.Fault = e.fault
		return t, err
	}
	if _, there := keys[named]; named != 0 && !there {
		return t, nil
	}
	var i tableIndex
	for _, id := range append([]uint64{named}, slices.Sorted(maps.Keys(keys))...) {
		if i = readIndex(e, keys[id]); i.blocks > 0 {
			t.KeyID = id
			break
		}
	}
	if i.blocks == 0 {
		t.Fault = "its index makes no sense"
		return t, nil
	}
	t.First, t.Newest = i.first, i.newest
	block := make([]byte, e.at-i.last)
	if _, err := r.ReadAt(block, i.last); err != nil {
		return t, fmt.Errorf("cannot read the last block of a table: %w", err)
	}
	content, ok := blockContent(block, keys[t.KeyID])
	if !ok {
		t.Fault = "its last block does not fit its checksum"
		return t, nil
	}
	t.Last = lastKey(content)
	return t, nil
}

// CheckTable says what is wrong with a table's end, as far as that can be told without a key. The
// error is one of reading.
func CheckTable(r io.ReaderAt, size int64) (fault string, err error) {
	e, err := readTableEnd(r, size)
	return e.fault, err
}

// tableEnd is the end of a table as the engine reads it.
type tableEnd struct {
	index []byte
	at    int64 // where the index begins
	fault string
}

func readTableEnd(r io.ReaderAt, end int64) (e tableEnd, err error) {
	before := func(n int64) []byte { // the n bytes before end, or nil
		if err != nil || e.fault != "" {
			return nil // what follows from that is no finding
		}
		if n < 0 || n > end {
			e.fault = "its end is unreadable"
			return nil
		}
		b := make([]byte, n)
		end -= n
		if _, err = r.ReadAt(b, end); err != nil {
			return nil
		}
		return b
	}
	length := func() int64 {
		if b := before(4); b != nil {
			return int64(binary.BigEndian.Uint32(b))
		}
		return -1
	}
	sum := checksum(before(length()))
	e.index = before(length())
	e.at = end
	if err == nil && e.fault == "" &&
		(len(e.index) == 0 || sum != crc32.Checksum(e.index, castagnoli())) {
		e.fault = "its index does not fit its checksum"
	}
	return e, err
}

// checksum is the sum in a checksum message; 0 if it has none.
func checksum(b []byte) uint32 {
	const tagAlgorithm, tagSum = 0x08, 0x10
	for len(b) > 1 && (b[0] == tagAlgorithm || b[0] == tagSum) {
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			break
		}
		if b[0] == tagSum {
			return uint32(v)
		}
		b = b[1+n:]
	}
	return 0
}

// tableIndex is what an index says.
type tableIndex struct {
	blocks int
	last   int64 // where the last block begins; the index follows it
	first  []byte
	newest uint64
}

// readIndex reads an index; no blocks if the key makes no sense of it: with the right one its
// blocks follow one another from the table's beginning to the index, whatever records are in them.
func readIndex(e tableEnd, secret []byte) (x tableIndex) {
	defer func() {
		if recover() != nil { // what is no index leads anywhere
			x = tableIndex{}
		}
	}()
	plain, ok := decrypted(e.index, secret)
	if !ok {
		return tableIndex{}
	}
	i := fb.GetRootAsTableIndex(plain, 0)
	at := int64(0)
	var b fb.BlockOffset
	for n := range i.OffsetsLength() {
		if !i.Offsets(&b, n) || int64(b.Offset()) != at || b.Len() == 0 {
			return tableIndex{}
		}
		if n == 0 {
			x.first = bytes.Clone(b.KeyBytes())
		}
		x.last = at
		at += int64(b.Len())
	}
	if at != e.at {
		return tableIndex{}
	}
	x.blocks, x.newest = i.OffsetsLength(), i.MaxVersion()
	return x
}

// decrypted is an index or a block in the clear; false if it is too short to be encrypted.
func decrypted(text, secret []byte) ([]byte, bool) {
	if len(secret) == 0 {
		return text, true
	}
	at := len(text) - aes.BlockSize
	if at <= 0 {
		return nil, false
	}
	plain, err := y.XORBlockAllocate(text[:at], secret, text[at:])
	return plain, err == nil
}

// blockSumMax bounds a checksum: an algorithm and 64 bits.
const blockSumMax = 13

// blockContent is what a block's checksum is over; false if that does not fit.
func blockContent(text, secret []byte) ([]byte, bool) {
	plain, ok := decrypted(text, secret)
	end := len(plain) - 4
	if !ok || end < 0 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint32(plain[end:]))
	if n <= 0 || n > blockSumMax || n >= end {
		return nil, false
	}
	content := plain[:end-n]
	return content, checksum(plain[end-n:end]) == crc32.Checksum(content, castagnoli())
}

// lastKey is the last key in a block; nil if its entries make no sense. An entry begins with how
// many bytes of the block's first key its own begins with, and how many follow; these numbers, and
// the places of entries, are as the machine has them.
func lastKey(content []byte) []byte {
	end := len(content) - 4
	if end < 0 {
		return nil
	}
	n := binary.BigEndian.Uint32(content[end:])
	if n == 0 || int64(n) > int64(end/4) {
		return nil
	}
	places := end - 4*int(n)
	key := func(at int, base []byte) []byte {
		if at > places-4 {
			return nil
		}
		shared := int(binary.NativeEndian.Uint16(content[at:]))
		own := int(binary.NativeEndian.Uint16(content[at+2:]))
		if shared > len(base) || at+4+own > places {
			return nil
		}
		return append(slices.Clone(base[:shared]), content[at+4:at+4+own]...)
	}
	return key(int(binary.NativeEndian.Uint32(content[end-4:])), key(0, nil))
}
