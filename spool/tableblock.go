package spool

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/hookspool/hookspool/spool/record"
)

// lastBlock is the last block of a table, which Badger reads when it opens the table, and panics
// over in a goroutine where nothing can catch it:
//
//	entries · their places · their number
//	checksum (protobuf, as at a table's end) of that · u32 its length
//	in an encrypted table: 16 bytes that the counter begins with
type lastBlock struct {
	at     int    // in the table
	text   []byte // as it is on disk
	secret []byte // the table's data key; empty: it is in the clear
}

// findLastBlock finds it by the table's index, which fits its checksum.
func findLastBlock(table io.ReaderAt, e *tableEnd, secret []byte) (b *lastBlock, err error) {
	defer func() {
		if recover() != nil { // what is no index leads anywhere
			b, err = nil, fmt.Errorf("%w: its index makes no sense", ErrDamaged)
		}
	}()
	index := e.index
	if len(secret) > 0 {
		at := len(index) - aes.BlockSize
		if index, err = y.XORBlockAllocate(index[:at], secret, index[at:]); err != nil {
			return nil, fmt.Errorf("cannot read the index of a table: %w", err)
		}
	}
	var last fb.BlockOffset
	i := fb.GetRootAsTableIndex(index, 0)
	i.Offsets(&last, i.OffsetsLength()-1)
	if int64(last.Offset())+int64(last.Len()) != e.at {
		return nil, fmt.Errorf("%w: its index makes no sense", ErrDamaged)
	}
	b = &lastBlock{at: int(last.Offset()), text: make([]byte, last.Len()), secret: secret}
	if _, err := table.ReadAt(b.text, int64(b.at)); err != nil {
		return nil, fmt.Errorf("cannot read the last block of a table: %w", err)
	}
	return b, nil
}

// checkLastBlock is checkTable for that block; it needs the table's key.
func checkLastBlock(path string, secret []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e, err := readTableEnd(f, info.Size())
	var b *lastBlock
	if err == nil {
		b, err = findLastBlock(f, &e, secret)
	}
	if err == nil && !b.fits() {
		err = fmt.Errorf("%w: its last block does not fit its checksum", ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("cannot use table %q: %w", path, err)
	}
	return nil
}

// fixLastBlock puts one byte of the block right, in a table whose end is sound; nil if that is not
// it.
func fixLastBlock(content, secret []byte) []byte {
	table := bytes.NewReader(content)
	e, err := readTableEnd(table, int64(len(content)))
	if err != nil || !e.fits() {
		return nil
	}
	b, err := findLastBlock(table, &e, secret)
	if err != nil {
		return nil
	}
	block := b.fixed()
	if block == nil {
		return nil
	}
	fixed := slices.Clone(content)
	copy(fixed[b.at:], block)
	return fixed
}

// plain is the block in the clear; nil if it is too short to be one.
func (b *lastBlock) plain(text []byte) []byte {
	if len(b.secret) == 0 {
		return slices.Clone(text)
	}
	at := len(text) - aes.BlockSize
	if at <= 0 {
		return nil
	}
	plain, err := y.XORBlockAllocate(text[:at], b.secret, text[at:])
	if err != nil {
		return nil
	}
	return plain
}

// blockParts are what a block's checksum is over, and the checksum; false if it has none.
func blockParts(plain []byte) (content []byte, sum uint32, ok bool) {
	end := len(plain) - 4
	if end < 0 {
		return nil, 0, false
	}
	n := int(binary.BigEndian.Uint32(plain[end:]))
	if n <= 0 || n > blockSumMax || n >= end {
		return nil, 0, false
	}
	return plain[:end-n], tableChecksum(plain[end-n : end]), true
}

// blockSumMax bounds a checksum: an algorithm and 64 bits.
const blockSumMax = 13

func blockFits(plain []byte) bool {
	content, sum, ok := blockParts(plain)
	return ok && crc32.Checksum(content, record.Castagnoli()) == sum
}

func (b *lastBlock) fits() bool { return blockFits(b.plain(b.text)) }

// fixed is the block with one byte of it put right; nil if that is not it.
func (b *lastBlock) fixed() []byte {
	plain := b.plain(b.text)
	fixed := slices.Clone(b.text)
	if content, sum, ok := blockParts(plain); ok {
		c := binary.BigEndian.AppendUint32(bytes.Clone(content), sum)
		if correctByte(c, func() bool { return true }) {
			for i := range content {
				fixed[i] ^= content[i] ^ c[i] // encrypted or not: the cipher is a key stream
			}
			if blockFits(b.plain(fixed)) {
				return fixed
			}
		}
	}
	tail := blockSumMax + 4
	if len(b.secret) > 0 {
		tail += aes.BlockSize
	}
	for at := max(0, len(fixed)-tail); at < len(fixed); at++ {
		for flip := 1; flip < 256; flip++ {
			fixed[at] ^= byte(flip)
			if blockFits(b.plain(fixed)) {
				return fixed
			}
			fixed[at] ^= byte(flip)
		}
	}
	return nil
}
