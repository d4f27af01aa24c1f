package mend

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/dgraph-io/badger/v4/y"
)

const (
	// KeyBytesMax bounds the key in an entry of a log.
	KeyBytesMax = 1 << 10
	// ValueBytesMax bounds the value: Badger keeps what is below 1 MiB in its tables.
	ValueBytesMax = 1<<20 - 1

	// LogHeadBytes is how long a log's head is.
	LogHeadBytes = 20

	metaDeleted  = 1 << 0
	metaPointer  = 1 << 1 // the value is in a value log, and here is where
	metaDiscards = 1 << 2
	metaInTxn    = 1 << 6 // an entry of a transaction
	metaEndTxn   = 1 << 7 // the entry that makes a transaction whole

	pointerBytes = 12 // number of a value log, length, place

	timeBytes  = 8 // after every key: the transaction's number, inverted
	entryMin   = 2 + 3 + 1 + timeBytes + crc32.Size
	entryMax   = ValueBytesMax + KeyBytesMax + 32
	txnKey     = "!badger!txn" // of the entry that ends a transaction
	endKey     = len(txnKey) + timeBytes
	endValue   = 20 // at most
	readBudget = 4 << 30
)

// logEntry is what an entry's head says.
type logEntry struct {
	meta, userMeta byte
	key, value     uint64 // lengths
	expires        uint64
	head, size     int
}

// readLogEntry reads the head of an entry that is there to its end; false if it cannot be one.
func readLogEntry(b []byte) (e logEntry, ok bool) {
	if len(b) < 5+crc32.Size {
		return e, false
	}
	e, ok = readHead(b, ValueBytesMax)
	return e, ok && e.size <= len(b)
}

// readHead reads a head, of an entry with a value of so many bytes at most; false if it cannot be
// one.
func readHead(b []byte, most uint64) (e logEntry, ok bool) {
	if len(b) < 5 {
		return e, false
	}
	e.meta, e.userMeta = b[0], b[1]
	at := 2
	for _, field := range []*uint64{&e.key, &e.value, &e.expires} {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return e, false
		}
		*field = v
		at += n
	}
	if e.key == 0 || e.key > KeyBytesMax || e.value > most {
		return e, false
	}
	e.head, e.size = at, at+int(e.key+e.value)+crc32.Size
	return e, true
}

// whole reports whether the entry at the beginning of b fits its checksum.
func (e logEntry) whole(b []byte) bool {
	end := e.size - crc32.Size
	return crc32.Checksum(b[:end], castagnoli()) == binary.BigEndian.Uint32(b[end:])
}

// wal is one log of the engine in memory; doc.go draws it. Key and value are encrypted, if the
// spool is, in AES-CTR with the file's 12 bytes and the entry's place in it; the checksum is over
// what is on disk.
type wal struct {
	b      []byte
	secret []byte // the file's data key; empty: it is in the clear
	iv     [12]byte
	// budget bounds the bytes that looking for readable entries may read: a payload can be made to
	// look like thousands of entries of a megabyte each.
	budget int
	check  func(key, value []byte) error // Records.Check
}

// walEntry is one entry that fits its checksum.
type walEntry struct {
	logEntry
	at      int
	txn     uint64 // number of its transaction
	key     []byte // without that
	content []byte
}

func newWAL(b []byte, check func(key, value []byte) error) *wal {
	w := &wal{b: b, budget: readBudget, check: check}
	if len(b) >= LogHeadBytes {
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
	if !ok || e.key <= timeBytes {
		return walEntry{}, false
	}
	w.budget -= e.size
	if !e.whole(w.b[at:]) {
		return walEntry{}, false
	}
	return w.split(e, at, w.b[at:]), true
}

// split takes the entry at the beginning of b apart.
func (w *wal) split(e logEntry, at int, b []byte) walEntry {
	body := b[e.head : e.size-crc32.Size]
	if len(w.secret) > 0 {
		body = w.crypt(body, at)
	}
	x := walEntry{logEntry: e, at: at, key: body[:e.key], content: body[e.key:]}
	if len(x.key) > timeBytes {
		x.txn = y.ParseTs(x.key)
		x.key = x.key[:len(x.key)-timeBytes]
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
func (e *walEntry) ends() bool { return e.meta&metaEndTxn != 0 }

// moved reports whether the engine wrote an entry when it gave a value log back: in no transaction,
// with the number of the one that it was in.
func (e *walEntry) moved() bool { return e.meta&(metaInTxn|metaPointer) == metaPointer }

// record is the value of an entry; nil if it is elsewhere.
func (e *walEntry) record() []byte {
	if e.meta&metaPointer != 0 {
		return nil
	}
	return e.content
}

// plausible reports whether an entry is one that the spool or the engine writes. It judges what
// was found by looking for it; what lies where an entry must be needs only its checksum.
func (w *wal) plausible(e *walEntry) bool {
	if e.userMeta != 0 || len(e.key) == 0 || e.txn == 0 || e.txn > math.MaxInt64 {
		return false
	}
	if e.ends() {
		return e.meta == metaEndTxn && string(e.key) == txnKey &&
			bytes.Equal(e.content, txnNumber(e.txn))
	}
	if e.meta&^(metaInTxn|metaDeleted|metaDiscards|metaPointer) != 0 ||
		e.meta&metaInTxn == 0 && !e.moved() {
		return false
	}
	if e.meta&metaPointer != 0 && len(e.content) != pointerBytes {
		return false
	}
	if e.meta&(metaDeleted|metaPointer) != 0 {
		return w.check(e.key, nil) == nil
	}
	return w.check(e.key, e.content) == nil
}

// write appends an entry to a log that is made again.
func (w *wal) write(meta byte, expires uint64, key []byte, txn uint64, content []byte) {
	at := len(w.b)
	w.b = append(w.b, meta, 0)
	w.b = binary.AppendUvarint(w.b, uint64(len(key)+timeBytes))
	w.b = binary.AppendUvarint(w.b, uint64(len(content)))
	w.b = binary.AppendUvarint(w.b, expires)
	body := append(y.KeyWithTs(key, txn), content...)
	if len(w.secret) > 0 {
		body = w.crypt(body, at)
	}
	w.b = append(w.b, body...)
	w.b = binary.BigEndian.AppendUint32(w.b, crc32.Checksum(w.b[at:], castagnoli()))
}

// writeEnd appends the entry that makes a transaction whole.
func (w *wal) writeEnd(txn uint64) {
	w.write(metaEndTxn, 0, []byte(txnKey), txn, txnNumber(txn))
}

// find looks for the next entry after the unreadable one at a place, up to which the transaction
// last came, or 0. Where the head of that one is whole it says so itself. Otherwise bytes of a
// payload can look like an entry. So an entry counts that another one follows, or the log's end,
// and of these the first of the earliest transaction: a payload would have to guess which that is.
// An entry alone will do where there is no such.
func (w *wal) find(at, end int, last uint64) (next int, ok bool) {
	if h, fits := readLogEntry(w.b[at:]); fits {
		if e, found := w.entry(at + h.size); found && w.follows(&e, at, last) {
			return at + h.size, true
		}
	}
	var best walEntry
	alone := true
	for p := at + entryMin; p < end-1 && w.budget > 0 && (!ok || p <= at+entryMax); p++ {
		if w.b[p]&(metaInTxn|metaEndTxn|metaPointer) == 0 || w.b[p+1] != 0 {
			continue // no need to read a checksum's worth of bytes
		}
		e, found := w.entry(p)
		if !found || !w.follows(&e, at, last) {
			continue
		}
		then, more := w.entry(p + e.size)
		more = p+e.size >= end || more && w.plausible(&then) &&
			(then.txn-e.txn <= 1 || then.moved() || e.moved())
		if more && last > 0 && e.txn <= last+1 {
			return p, true
		}
		if !ok || more && (alone || e.txn < best.txn) {
			best, alone, ok = e, !more, true
		}
	}
	return best.at, ok
}

// follows reports whether an entry can be one after the place at. Every transaction takes the next
// number, an entry, and another that ends it, so it is known how far they can have come.
func (w *wal) follows(e *walEntry, at int, last uint64) bool {
	most := last + 1 + uint64(e.at-at)/(2*entryMin)
	return w.plausible(e) && (last == 0 || e.txn <= most && (e.txn >= last || e.moved()))
}

// txnNumber is what the entry says that ends a transaction.
func txnNumber(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }
