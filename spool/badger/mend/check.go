package mend

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// Check says what is wrong with a list; "": nothing.
func (f ListFormat) Check(text []byte) (fault string) {
	if len(text) < listHeadBytes {
		return "it is cut off"
	}
	if !bytes.Equal(text[:listHeadBytes], f.head()) {
		return "it does not begin as one"
	}
	for at := listHeadBytes; at < len(text); {
		rest := text[at:]
		if len(rest) < 8 {
			return fmt.Sprintf("%d bytes at its end are no change", len(rest))
		}
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-8 {
			return fmt.Sprintf("the change at byte %d is cut off", at)
		}
		if crc32.Checksum(rest[8:8+n], castagnoli()) != binary.BigEndian.Uint32(rest[4:]) {
			return fmt.Sprintf("the change at byte %d does not fit its checksum", at)
		}
		at += 8 + n
	}
	return ""
}

// CheckLog tells a log that ends in the middle of a write, which a kill leaves (a note), from one
// that is damaged (a fault): there, an entry is whole but for a checksum that does not fit, or
// whole transactions follow the end. No key is needed.
func CheckLog(text []byte) (fault, note string) {
	end, stop := logEnd(text)
	rest := TrimZeros(text[stop:])
	if len(rest) == 0 && stop == end {
		return "", ""
	}
	if n := transactionsIn(rest); n > 0 {
		return fmt.Sprintf("it can be read up to byte %d, and %d whole transactions lie after that: "+
			"it is damaged, or power was lost while the last one was written", end, n), ""
	}
	if e, ok := readLogEntry(text[stop:]); ok && len(rest) > e.size-crc32.Size {
		return fmt.Sprintf("the entry at byte %d does not fit its checksum", stop), ""
	}
	return "", fmt.Sprintf("it ends in a transaction of %d bytes that was never whole; the next "+
		"start cuts it off", stop+len(rest)-end)
}

// logEnd is where the last whole transaction ends, and where reading stopped.
func logEnd(b []byte) (end, stop int) {
	end, stop = min(LogHeadBytes, len(b)), min(LogHeadBytes, len(b))
	for {
		e, ok := readLogEntry(b[stop:])
		if !ok || !e.whole(b[stop:]) {
			return end, stop
		}
		stop += e.size
		if e.meta&metaInTxn == 0 {
			end = stop
		}
	}
}

// transactionsIn counts the entries that end a transaction, wherever they begin.
func transactionsIn(b []byte) int {
	n := 0
	for at := 0; at < len(b); at++ {
		if b[at]&metaEndTxn == 0 {
			continue
		}
		e, ok := readLogEntry(b[at:])
		if ok && int(e.key) == endKey && e.value <= endValue && e.whole(b[at:]) {
			n++
		}
	}
	return n
}

const (
	keysHeadBytes = 16 + len(keysText)
	keysText      = "Hello Badger"
)

// CheckKeys says what is wrong with a file of keys, as far as that can be told without the spool's
// key; "": nothing. Badger makes room for a key as long as a damaged length says, be that
// gigabytes. It takes no notice of up to 8 bytes at the end, which a crash may have left of one.
func CheckKeys(text []byte) (fault string) {
	if len(text) < keysHeadBytes {
		return "it is cut off"
	}
	for at := keysHeadBytes; at < len(text)-8; {
		content, size := readFrame(text[at:])
		if size == 0 || proto.Unmarshal(content, new(pb.DataKey)) != nil {
			return fmt.Sprintf("the key at byte %d cannot be read", at)
		}
		at += size
	}
	return ""
}

// HasKeys reports whether a file of keys holds any, so that its spool is encrypted.
func HasKeys(text []byte) bool { return len(text) > keysHeadBytes }

// SoundClear reports whether a file of keys is that of a spool in the clear.
func SoundClear(text []byte) bool {
	return len(text) == keysHeadBytes && string(text[keysHeadBytes-len(keysText):]) == keysText
}

// ClearKeys is the file of keys of a spool in the clear, in which there are none.
func ClearKeys() []byte { return append(make([]byte, keysHeadBytes-len(keysText)), keysText...) }
