// Package mend decides what becomes of Badger's files when they are damaged: bytes in, bytes and
// findings out. It opens, writes and logs nothing, and knows neither a spool nor its records: what
// tells an entry of ours from noise is given to it (Records).
//
// Badger believes the ends of its files: it ends the replay of a log at the first entry that does
// not fit and the reading of its manifest at a length that does not, both without an error; it
// deletes every table that its manifest does not name; and a broken end of a table ends the
// process. So these are looked at as bytes before it opens them:
//
//	log        u64 number of its data key, 12 bytes that the key's counter begins with; then entries:
//	           u8 meta, u8 user meta, varint lengths of key and value, varint expiry, key, value,
//	           u32 CRC-32C of all that; zeros after the last. With the meta bit 2 the value is in a
//	           value log: u32 its number, u32 length of the entry, u32 its place
//	value log  as a log, but no transaction ends in it
//	manifest   8 bytes, then changes: u32 length, u32 CRC-32C, that many bytes
//	table      blocks · index · u32 its length · checksum (protobuf: 1 algorithm, 2 CRC-32C of the
//	           index) · u32 its length. An encrypted index, or block, ends in the 16 bytes that the
//	           counter begins with
//	block      entries · u32 their places · u32 their number · checksum of that, as at a table's
//	           end · u32 its length. The engine reads the last one of a table when it opens the table
//	keys       16 bytes that the counter begins with, 12 bytes of a text that is always the same,
//	           encrypted with the spool's key; then a change, as in the manifest, for each key. Of a
//	           spool in the clear: no keys, and the text is in the clear
//
// A log is read from its first entry to its last, past whatever cannot be read (Log). In a value
// log nothing may move, because the tables say where each value is, so damage there is covered
// (Values). Tables are held against the manifest that should name them (List.Fit). Of the file of
// keys it is only said whether it can be read. Nothing is ever guessed bit by bit: what does not
// fit its checksum is not there, and whoever calls sets the original aside, counts and tells. (The
// one exception is the head of a value log, which opens all of it or nothing.)
package mend

import (
	"bytes"
	"hash/crc32"
)

// Records are what a caller knows of the records in a log.
type Records struct {
	// Check says whether a key and a value can be a record. The value is nil if the record was
	// deleted, or if the value is in a value log. It judges what was found by looking for it; what
	// lies where an entry must be needs only its checksum.
	Check func(key, value []byte) error
	// Event is the number of the event that a record holds, and of the last one of its batch (0: none
	// is named); 0, 0 if it is no event. The key is any key, the value any value
	// or nil.
	Event func(key, value []byte) (seq, batchEnd uint64)
}

// Keys are the engine's data keys, by number. They are nil for a spool in the clear; one that is
// encrypted and has none can be read by nobody.
type Keys map[uint64][]byte

// TrimZeros is a file without the zeros at its end, of which the engine's logs have tens of MiB.
func TrimZeros(b []byte) []byte {
	// Comparing is ten times as fast as looking at every byte.
	var zeros [4096]byte
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros[:]) {
		b = b[:len(b)-len(zeros)]
	}
	return bytes.TrimRight(b, "\x00")
}

// castagnoli has hardware support on amd64 and arm64; MakeTable returns a shared table.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
