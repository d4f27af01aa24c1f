package mend

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/dgraph-io/badger/v4/y"
)

const (
	// FrameBytesMax bounds a value in a value log.
	FrameBytesMax = 16 << 20
	// mendedMark stands in an entry of a value log, where the engine keeps a byte for its user and
	// looks at none: its checksum was made again, and vouches for nothing that it held before.
	mendedMark = 'M'

	headBytesMax = 22
)

// Values is what can be read of one value log of the engine: entries as in a log, but each on its
// own, without the ends of transactions. The tree says where a value is, and how long its entry,
// so nothing in a value log may ever move. The engine cuts the newest one off at the first entry
// that does not fit its checksum, in silence, and takes no notice of the others until it is to give
// them back: then it ends at the first such entry, and deletes the values after it.
//
// So damage in the newest one is covered: each damaged entry gets a head that leads to the next
// one, where its own does not, and a checksum over what is there. What can be told from the
// checksum is put right; otherwise the value stays as it is, and its records say which of them are
// whole. Such an entry is marked.
type Values struct {
	// Entries are those that fit their checksums, Mended are those of them that an earlier mending
	// has covered.
	Entries int
	Mended  []Place
	// Damaged are the stretches of which no entry can be made, and that sound entries follow or must
	// have followed; oldest first.
	Damaged []Stretch
	// End is where the last of all these ends; Torn are the bytes after it up to the zeros. A crash
	// leaves some, to which nothing in the tree leads.
	End, Torn int64
	// Size is the file's.
	Size int64
	// Head: the number of the key in the file's head is wrong, or what the key's counter begins with.
	Head bool

	head   [LogHeadBytes]byte // as it should be
	rotten bool               // the engine chokes on what is after End
}

// Place is where an entry is.
type Place struct{ At, Bytes int64 }

// Stretch is a damaged part of a value log, and the entries it is taken for.
type Stretch struct {
	Place
	// Before and After are the numbers of events in the sound entries around it; 0: there is none.
	// Events are written in their order, unless the engine has moved them.
	Before, After uint64
	Pieces        []Piece
}

// Piece is one damaged entry.
type Piece struct {
	Place
	// Key is what the entry says its record is; nil: that makes no sense. It may be wrong.
	Key []byte
	Txn uint64
	// Restored: the checksum says what its head was, and nothing of it is lost.
	Restored bool

	meant []byte // its head as it should be
	sum   uint32
}

// ValueEntry is one entry that fits its checksum. Its key holds while it is visited.
type ValueEntry struct {
	Place
	Txn    uint64
	Key    []byte
	Mended bool // its key, too, may be wrong
}

// ValueOptions say how a value log is read.
type ValueOptions struct {
	// Keys is nil for a spool in the clear. Without the keys of an encrypted one, Sums has its
	// checksums looked at and nothing else.
	Keys Keys
	Sums bool
	// Records.Check is asked about keys.
	Records Records
	// Known: the newest transaction known to have been whole, the newest event known to have been
	// answered, the last place that is in use. Damage after all that is what a crash leaves. Nil is
	// for a file that another was begun after: everything in it was whole.
	Known *Known
	// HeadOnly: the rest is not looked at, but for some entries to try the key on.
	HeadOnly bool
	// Visit, if any, sees each entry that fits its checksum.
	Visit func(*ValueEntry)
}

// Known is how far a spool is known to have come: transactions and events, and the place in this
// value log up to which the logs of the engine lead.
type Known struct {
	Txn, Event uint64
	End        int64
}

// ReadValues reads a value log from its head to its zeros, past whatever cannot be read. It takes
// little memory, and time as the file is long. ErrKey: no key opens it. Other errors are those of
// reading, and say nothing of the file.
func ReadValues(r io.ReaderAt, size int64, o ValueOptions) (*Values, error) {
	v := &valueReader{Values: Values{Size: size, End: min(size, LogHeadBytes)}, o: o,
		near: window{r: r, size: size}, far: window{r: r, size: size}, budget: readBudget}
	if o.Known == nil {
		v.o.Known = &Known{Txn: math.MaxUint64}
	}
	if size >= LogHeadBytes {
		copy(v.head[:], v.near.at(0, LogHeadBytes))
		v.used = v.near.used()
		if err := v.unlock(); err != nil {
			return nil, err
		}
		if !o.HeadOnly {
			v.read()
		}
	}
	if v.near.err != nil {
		return nil, v.near.err
	}
	return &v.Values, v.far.err
}

// valueReader reads a value log.
type valueReader struct {
	Values
	o         ValueOptions
	near, far window // for entries, and to look for them
	block     cipher.Block
	used      int64 // where the zeros begin
	budget    int64 // see wal
	settled   int64 // where the last entry ends that was surely whole
	event     uint64
	key       []byte // of the entry that was split last
}

// read goes from entry to entry.
func (v *valueReader) read() {
	for at := int64(LogHeadBytes); at < v.used && v.near.err == nil; {
		e, ok := v.entry(at)
		if !ok {
			next, found := v.find(at)
			if !found {
				if s := v.tail(at); len(s.Pieces) > 0 {
					v.Damaged = append(v.Damaged, s)
				}
				break
			}
			v.Damaged = append(v.Damaged, v.stretch(at, next))
			at = next
			continue
		}
		v.take(&e)
		at += e.Bytes
	}
	v.judge()
}

// take notes an entry.
func (v *valueReader) take(e *ValueEntry) {
	v.Entries++
	v.End = e.At + e.Bytes
	if e.Mended {
		v.Mended = append(v.Mended, e.Place)
	}
	if seq, _ := v.eventOf(e.Key); seq > 0 {
		v.event = seq
		if n := len(v.Damaged); n > 0 && v.Damaged[n-1].After == 0 {
			v.Damaged[n-1].After = seq
		}
	}
	if v.wasWhole(e.Key, e.Txn) {
		v.settled = v.End
	}
	if v.o.Visit != nil {
		v.o.Visit(e)
	}
}

// eventOf is the number of the event in a record.
func (v *valueReader) eventOf(key []byte) (seq, batchEnd uint64) {
	if v.o.Records.Event == nil || v.o.Sums {
		return 0, 0
	}
	return v.o.Records.Event(key, nil)
}

// wasWhole reports that an entry was on disk before anybody was told of it: everything is, before
// the log of the engine says where it is.
func (v *valueReader) wasWhole(key []byte, txn uint64) bool {
	seq, _ := v.eventOf(key)
	return txn <= v.o.Known.Txn || seq > 0 && seq <= v.o.Known.Event
}

// headAt is what the head at a place says; false if there cannot be one.
func (v *valueReader) headAt(at int64) (e logEntry, ok bool) {
	e, ok = readHead(v.near.at(at, headBytesMax), FrameBytesMax)
	ok = ok && e.meta&(metaInTxn|metaEndTxn) == 0 && e.key > timeBytes && at+int64(e.size) <= v.Size
	return e, ok
}

// entry reads the entry at a place; false if there is none that fits its checksum.
func (v *valueReader) entry(at int64) (ValueEntry, bool) {
	e, ok := v.headAt(at)
	if !ok || !v.fits(at, int64(e.size), nil) {
		return ValueEntry{}, false
	}
	return v.split(e, at), true
}

// fits reports whether so many bytes end in their checksum, if they begin as they are meant to.
func (v *valueReader) fits(at, size int64, meant []byte) bool {
	end := at + size - crc32.Size
	sum := v.near.sum(meant, at+int64(len(meant)), end)
	tail := v.near.at(end, crc32.Size)
	return len(tail) == crc32.Size && sum == binary.BigEndian.Uint32(tail)
}

// split takes an entry apart. Its key holds until the next one is.
func (v *valueReader) split(e logEntry, at int64) ValueEntry {
	x := ValueEntry{Place: Place{At: at, Bytes: int64(e.size)}, Mended: e.userMeta == mendedMark}
	v.key = append(v.key[:0], make([]byte, e.key)...)
	key := v.key
	copy(key, v.near.at(at+int64(e.head), int(e.key)))
	if v.block != nil {
		v.counter(at).XORKeyStream(key, key)
	}
	x.Txn, x.Key = y.ParseTs(key), key[:len(key)-timeBytes]
	return x
}

// counter is the key stream of the entry at a place.
func (v *valueReader) counter(at int64) cipher.Stream {
	iv := append(make([]byte, 0, aes.BlockSize), v.head[8:]...)
	return cipher.NewCTR(v.block, binary.BigEndian.AppendUint32(iv, uint32(at)))
}

// ours reports whether an entry can be one that the spool wrote, judged by its head and key.
func (v *valueReader) ours(e logEntry, x *ValueEntry) bool {
	if e.meta != 0 || e.userMeta != 0 && e.userMeta != mendedMark {
		return false
	}
	return v.o.Sums || x.Txn > 0 && x.Txn <= math.MaxInt64 && v.o.Records.Check(x.Key, nil) == nil
}

// find looks for the next entry after a damaged one: where its head leads, if that is whole, and
// otherwise the first that the spool can have written. A payload can be made to look like that,
// which costs the damaged entry what it has left.
func (v *valueReader) find(at int64) (next int64, ok bool) {
	sound := func(p int64) bool {
		e, ok := v.headAt(p)
		if !ok {
			return false
		}
		x := v.split(e, p)
		if !v.ours(e, &x) {
			return false
		}
		v.budget -= x.Bytes
		return v.fits(p, x.Bytes, nil)
	}
	if e, ok := v.headAt(at); ok && sound(at+int64(e.size)) {
		return at + int64(e.size), true
	}
	for p := at + entryMin; v.budget > 0; p++ {
		if p = v.far.next(p, v.used); p >= v.used {
			break
		}
		if sound(p) {
			return p, true
		}
	}
	return 0, false
}

// closed reports that nothing lies ahead of the file's bytes.
func (v *valueReader) closed() bool { return v.Size-v.used < crc32.Size }

// judge leaves to the engine what a crash has left: damage in entries of which it is not known that
// they were whole, and that none such follows.
func (v *valueReader) judge() {
	keep := 0
	for i := range v.Damaged {
		s := &v.Damaged[i]
		// A file that ends where its bytes do was closed, or another was begun after it.
		whole := s.At < max(v.settled, v.o.Known.End) || v.closed()
		for j := range s.Pieces {
			p := &s.Pieces[j]
			whole = whole || p.Key != nil && v.wasWhole(p.Key, p.Txn)
		}
		if whole {
			keep = i + 1
		}
	}
	if keep < len(v.Damaged) {
		v.End = v.Damaged[keep].At
	} else if keep > 0 {
		last := &v.Damaged[keep-1]
		v.End = max(v.End, last.At+last.Bytes)
	}
	v.Damaged = v.Damaged[:keep]
	if v.End < v.used {
		v.Torn = v.used - v.End
		v.rotten = !engineReads(v.near.at(v.End, headBytesMax), FrameBytesMax)
	}
}
