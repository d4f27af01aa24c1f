package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/dgraph-io/badger/v4/y"

	"github.com/hookspool/hookspool/spool/record"
)

// wal is one log file of the engine in memory; files.go draws it. Key and value are encrypted, if
// the spool is, in AES-CTR with the file's 12 bytes and the entry's place in it; the checksum is
// over what is on disk.
type wal struct {
	b      []byte
	secret []byte // the file's data key; empty: it is in the clear
	iv     [12]byte
	// budget bounds the bytes that looking for readable entries may read: a payload can be made to
	// look like thousands of entries of a megabyte each.
	budget int
}

const (
	walBudget       = 4 << 30
	walMetaDeleted  = 1 << 0
	walMetaDiscards = 1 << 2
	walTimeBytes    = 8 // behind every key: the transaction's number, inverted
	walEntryMin     = 2 + 3 + 1 + walTimeBytes + crc32.Size
	walEntryMax     = record.BytesMax + record.KeyBytesMax + 32
	walTxnKey       = "!badger!txn"
)

// walEntry is one entry that fits its checksum.
type walEntry struct {
	logEntry
	at      int
	txn     uint64 // number of its transaction
	key     []byte // without that
	content []byte
}

func newWAL(b []byte) *wal {
	w := &wal{b: b, budget: walBudget}
	if len(b) >= logHeadBytes {
		copy(w.iv[:], b[8:])
	}
	return w
}

// entry reads the entry at a place; false if there is none that fits its checksum.
func (w *wal) entry(at int) (walEntry, bool) {
	if at >= len(w.b) {
		return walEntry{}, false
	}
	e, ok := readLogEntry(w.b[at:])
	if !ok || e.key <= walTimeBytes {
		return walEntry{}, false
	}
	w.budget -= e.size
	if !e.whole(w.b[at:]) {
		return walEntry{}, false
	}
	return w.open(e, at, w.b[at:]), true
}

// open takes an entry at the begin of b apart.
func (w *wal) open(e logEntry, at int, b []byte) walEntry {
	body := b[e.head : e.size-crc32.Size]
	if len(w.secret) > 0 {
		body = w.crypt(body, at)
	}
	x := walEntry{logEntry: e, at: at, key: body[:e.key], content: body[e.key:]}
	if len(x.key) > walTimeBytes {
		x.txn = y.ParseTs(x.key)
		x.key = x.key[:len(x.key)-walTimeBytes]
	}
	return x
}

// crypt encrypts and decrypts what is at a place.
func (w *wal) crypt(body []byte, at int) []byte {
	iv := binary.BigEndian.AppendUint32(bytes.Clone(w.iv[:]), uint32(at))
	out, err := y.XORBlockAllocate(body, w.secret, iv)
	if err != nil {
		panic("BUG: a data key of the engine is no AES key: " + err.Error())
	}
	return out
}

// ends reports whether an entry is the one that makes a transaction whole.
func (e *walEntry) ends() bool { return e.meta&logEndTxn != 0 }

// plausible reports whether an entry is one that the spool or the engine writes. It judges what was
// found by looking for it; what lies where an entry must be needs only its checksum.
func (e *walEntry) plausible() bool {
	if e.userMeta != 0 || len(e.key) == 0 || e.txn == 0 || e.txn > math.MaxInt64 {
		return false
	}
	if e.ends() {
		return e.meta == logEndTxn && string(e.key) == walTxnKey &&
			bytes.Equal(e.content, txnNumber(e.txn))
	}
	if e.meta&^(logInTxn|walMetaDeleted|walMetaDiscards) != 0 || e.meta&logInTxn == 0 {
		return false
	}
	k := record.KindOf(e.key)
	return k != nil && k.Fits(e.key) == nil
}

// sound reports whether the record in an entry can be read, by the checksum that it carries itself.
func (e *walEntry) sound() bool {
	if e.ends() || e.meta&walMetaDeleted != 0 {
		return true
	}
	return record.Check(e.key, e.content) == nil
}

// correct puts one byte of the n bytes at a place right, whichever it is, so that they are an entry
// that fits its checksum and holds a sound record. A flipped bit, or a byte of flipped bits, costs
// nothing then.
func (w *wal) correct(at, n int) (walEntry, bool) {
	if n < walEntryMin || n > walEntryMax || at+n > len(w.b) {
		return walEntry{}, false
	}
	w.budget -= 8 * n // a byte at a time is slower than a checksum in hardware
	var found walEntry
	b := bytes.Clone(w.b[at : at+n])
	ok := correctByte(b, func() bool {
		e, ok := readLogEntry(b)
		if !ok || e.size != n {
			return false
		}
		found = w.open(e, at, b)
		return found.plausible() && found.sound()
	})
	if ok {
		copy(w.b[at:], b)
	}
	return found, ok
}

// correctByte looks for the one byte of b, which ends in its CRC-32C, big-endian, that makes the
// two fit, and asks whether the result is any good. The difference between the checksum that is
// there and the one that should be says which byte it was: a wrong byte changes it by its own entry
// of the CRC's table, moved on once for every byte behind it, and each move can be undone. For
// other damage, one in 2^24 bytes looks like an answer; hence the question.
func correctByte(b []byte, good func() bool) bool {
	n := len(b) - crc32.Size
	if n < 0 {
		return false
	}
	table := record.Castagnoli()
	var byTop [256]byte // the entries of the table differ in their top bytes
	for i, v := range table {
		byTop[v>>24] = byte(i)
	}
	sum := crc32.Checksum(b[:n], table)
	diff := sum ^ binary.BigEndian.Uint32(b[n:])
	try := func(at int, flip byte) bool {
		b[at] ^= flip
		ok := flip != 0 && good()
		if !ok {
			b[at] ^= flip
		}
		return ok
	}
	for i := range crc32.Size { // the checksum's own bytes
		shift := 8 * (crc32.Size - 1 - i)
		if flip := byte(diff >> shift); diff == uint32(flip)<<shift && try(n+i, flip) {
			return true
		}
	}
	for at := n - 1; at >= 0; at-- {
		x := byTop[diff>>24]
		if diff == table[x] && try(at, x) {
			return true
		}
		diff = (diff^table[x])<<8 | uint32(x)
	}
	return false
}

// write appends an entry to a log that is made anew.
func (w *wal) write(meta byte, expires uint64, key []byte, txn uint64, content []byte) {
	at := len(w.b)
	w.b = append(w.b, meta, 0)
	w.b = binary.AppendUvarint(w.b, uint64(len(key)+walTimeBytes))
	w.b = binary.AppendUvarint(w.b, uint64(len(content)))
	w.b = binary.AppendUvarint(w.b, expires)
	body := append(y.KeyWithTs(key, txn), content...)
	if len(w.secret) > 0 {
		body = w.crypt(body, at)
	}
	w.b = append(w.b, body...)
	w.b = binary.BigEndian.AppendUint32(w.b, crc32.Checksum(w.b[at:], record.Castagnoli()))
}

// find looks for the next entry behind a place that could follow it. Bytes of a payload can look
// like an entry, so one that leads to the log's end, entry by entry, or further than a payload can
// reach, beats all others; then the one that leads furthest. It may put the bytes before right.
func (w *wal) find(at, end int, last uint64) (next int, ok bool) {
	best := 0
	for p := at + walEntryMin; p < end-1 && w.budget > 0; p++ {
		if best > 0 && p > at+walEntryMax {
			break
		}
		if w.b[p]&(logInTxn|logEndTxn) == 0 || w.b[p+1] != 0 {
			continue // no need to read a checksum's worth of bytes
		}
		e, ok := w.entry(p)
		// Every transaction takes the next number, so it is known how far they can have come.
		if !ok || !e.plausible() || last > 0 && (e.txn < last || e.txn-last > uint64(p-at)) {
			continue
		}
		if _, ok := w.correct(at, p-at); ok {
			return p, true
		}
		to := w.follow(e)
		if to >= end || to-p > 2*walEntryMax {
			return p, true
		}
		if to-p > best {
			best, next = to-p, p
		}
	}
	return next, best > 0
}

// follow is the end of the entries that follow one another from e on.
func (w *wal) follow(e walEntry) int {
	for w.budget > 0 {
		next, ok := w.entry(e.at + e.size)
		if !ok || !next.plausible() || next.txn < e.txn || next.txn > e.txn+1 {
			break
		}
		e = next
	}
	return e.at + e.size
}

// txnNumber is what the entry says that ends a transaction.
func txnNumber(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }
