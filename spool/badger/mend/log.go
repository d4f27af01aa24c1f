package mend

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
)

// Log is what can be read of one log of the engine, which itself ends at the first entry that it
// cannot read.
//
// A transaction is begun only after the one before it was synced and answered, so whatever another
// transaction follows was whole: what is left of it stays, and what is missing is damage. The last
// one may have been cut off by a crash. It stays if an event in it is known to have been answered,
// or if a later log begins with a later transaction (a start numbers the next one like the one it
// dropped), or if its end is there and was changed since. Otherwise it is left to the engine,
// which drops it: nobody was told, the records of a batch come all or not at all, and the sender
// sends again. A hole of bytes that were never written, inside the last transaction, is what a
// power cut leaves of one that was being synced, and is treated the same.
type Log struct {
	*wal
	event func(key, value []byte) (seq, batchEnd uint64) // Records.Event
	// end is where the zeros begin that nothing was written to yet.
	end  int
	txns []walTxn // whole, oldest first
	begun,
	torn int // bytes after the last whole transaction: of one that was begun; that are unreadable
	open   walTxn // the one that was begun
	last   uint64 // the newest transaction's number
	lost   []walGap
	ended  int    // transactions whose end had to be made
	keyID  uint64 // of the data key that opens it
	head   bool   // the file's head is wrong
	rotten bool   // the engine chokes on what is after the last transaction
}

// OpenLog reads a log from its head to where its zeros begin. Its data key is among the keys; if
// they are nil it is in the clear, whatever its head says. A log without a whole head, in which
// nothing ever was, has no transactions. ErrKey: no key opens it.
//
// The text is kept and not changed. It ends where the file does, or with LogSlack zeros of those
// that the file ends in.
func OpenLog(text []byte, keys Keys, records Records) (*Log, error) {
	l := &Log{wal: newWAL(text, records.Check), event: records.Event}
	if len(text) < LogHeadBytes {
		return l, nil
	}
	if err := l.unlock(keys); err != nil {
		return nil, err
	}
	l.read()
	return l, nil
}

// LogSlack are the zeros after a log's last byte that belong to what is read of it: a checksum may
// end in some.
const LogSlack = 64

// LogKey is the number of the data key in the head of a log; 0: it is in the clear. The head may
// be longer; false: it is shorter.
func LogKey(head []byte) (uint64, bool) {
	if len(head) < LogHeadBytes {
		return 0, false
	}
	return binary.BigEndian.Uint64(head), true
}

// walTxn is one transaction of a log.
type walTxn struct {
	number  uint64
	entries []walEntry
	bare    bool // one entry that belongs to no transaction
}

// walGap are bytes that cannot be read: in the transaction txn, or just before it.
type walGap struct {
	at, end, txn int
	unwritten    bool // whole sectors of it hold nothing but zeros
}

// sectorBytes is the least that a disk writes.
const sectorBytes = 512

// read goes from entry to entry, past what cannot be read.
func (l *Log) read() {
	l.end = len(TrimZeros(l.b))
	for at := LogHeadBytes; at < l.end; {
		e, ok := l.entry(at)
		if !ok {
			next, ok := l.find(at, l.end, l.last)
			if !ok {
				next = l.end
			}
			l.lose(at, next)
			at = next
			continue
		}
		l.take(e)
		at += e.size
	}
}

// lose notes bytes that cannot be read.
func (l *Log) lose(at, end int) {
	if end >= l.end {
		l.torn = end - at
		l.rotten = !engineReads(l.b[min(at, len(l.b)):], ValueBytesMax)
		return
	}
	g := walGap{at: at, end: end, txn: len(l.txns)}
	first := (at + sectorBytes - 1) / sectorBytes * sectorBytes
	for p := first; p+sectorBytes <= end; p += sectorBytes {
		if len(bytes.Trim(l.b[p:p+sectorBytes], "\x00")) == 0 {
			g.unwritten = true
		}
	}
	l.lost = append(l.lost, g)
}

// engineReads reports whether the engine can look at a head at all. It ends a replay at what it
// takes for the end of a log, but refuses a log that ends in an endless number, and makes room for
// an entry as large as its head says, be that gigabytes. A value has so many bytes at most.
func engineReads(b []byte, most uint64) bool {
	var fields [3]uint64
	for i, p := 0, min(2, len(b)); i < len(fields); i++ {
		v, n := binary.Uvarint(b[p:])
		if n < 0 {
			return false
		}
		fields[i] = v
		p += n
	}
	return fields[1] <= most
}

// take puts an entry into its transaction.
func (l *Log) take(e walEntry) {
	if e.meta&(metaInTxn|metaEndTxn) == 0 {
		l.endOpen()
		l.txns = append(l.txns, walTxn{number: e.txn, entries: []walEntry{e}, bare: true})
		return
	}
	l.last = max(l.last, e.txn)
	if len(l.open.entries) > 0 && l.open.number != e.txn {
		l.endOpen()
	}
	switch {
	case !e.ends():
		l.open.number = e.txn
		l.open.entries = append(l.open.entries, e)
		l.begun += e.size
	case len(l.open.entries) > 0:
		l.closeOpen()
	}
}

func (l *Log) closeOpen() {
	l.txns = append(l.txns, l.open)
	l.open, l.begun = walTxn{}, 0
}

// endOpen closes a transaction whose end cannot be read.
func (l *Log) endOpen() {
	if len(l.open.entries) > 0 {
		l.closeOpen()
		l.ended++
	}
}

// Judge decides about the last transaction. answered is the newest event known to be answered, and
// later the number of the first transaction in the logs after this one, or 0. Everything below is
// after that.
func (l *Log) Judge(answered, later uint64) {
	switch {
	case len(l.open.entries) > 0:
		if later > l.open.number ||
			later == 0 && (l.answered(&l.open, answered) || l.endChanged()) {
			l.endOpen()
		}
	case len(l.txns) > 0 && later == 0 && !l.answered(&l.txns[len(l.txns)-1], answered):
		l.dropUnwritten()
	}
}

// endChanged reports whether what follows the open transaction is its end but for some bytes. A
// write that was cut off leaves some of it, and zeros for the rest; other bytes were changed
// since, and those who sent the events were told.
func (l *Log) endChanged() bool {
	at := l.end - l.torn
	whole := &wal{secret: l.secret, iv: l.iv, b: l.b[:at:at]}
	whole.writeEnd(l.open.number)
	want := whole.b[at:]
	if l.torn > len(want) || at+len(want) > len(l.b) {
		return false
	}
	same, changed := 0, 0
	for i, b := range l.b[at : at+len(want)] {
		switch {
		case b == want[i]:
			same++
		case b != 0:
			changed++
		}
	}
	return changed > 0 && same >= len(want)*3/4
}

// dropUnwritten removes the last transaction if a hole in it was never written.
func (l *Log) dropUnwritten() {
	last := len(l.txns) - 1
	cut := len(l.lost)
	unwritten := false
	for cut > 0 && l.lost[cut-1].txn == last {
		cut--
		unwritten = unwritten || l.lost[cut].unwritten
	}
	if unwritten {
		l.torn = l.end - l.lost[cut].at
		l.lost, l.txns = l.lost[:cut], l.txns[:last]
	}
}

// answered reports whether the newest event of a transaction is one that was answered.
func (l *Log) answered(t *walTxn, newest uint64) bool {
	seq, _ := l.newest(t)
	return seq > 0 && seq <= newest
}

// newest is the newest event of a transaction, and where its batch ends.
func (l *Log) newest(t *walTxn) (seq, batchEnd uint64) {
	for i := range t.entries {
		if e := &t.entries[i]; e.meta&metaDeleted == 0 {
			n, end := l.event(e.key, e.record())
			seq, batchEnd = max(seq, n), max(batchEnd, end)
		}
	}
	return seq, batchEnd
}

// Damaged reports whether the engine would read less of the log than there is.
func (l *Log) Damaged() bool {
	return l.head || l.rotten || l.ended > 0 || len(l.lost) > 0
}

// Lost are the places in whole transactions that cannot be read, and their bytes.
func (l *Log) Lost() (places, n int) {
	for _, g := range l.lost {
		n += g.end - g.at
	}
	if l.ended > 0 && len(l.open.entries) == 0 {
		n += l.torn
	}
	return len(l.lost), n
}

// Cut are the bytes after the last whole transaction, which the engine drops.
func (l *Log) Cut() int { return l.begun + l.torn }

// Ended are the transactions whose end could not be read and was made again.
func (l *Log) Ended() int { return l.ended }

// Transactions is how many whole ones there are.
func (l *Log) Transactions() int { return len(l.txns) }

// Entries are the entries of the whole transactions, oldest first, without those that end one.
// Their bytes are those of the log, or decrypted.
func (l *Log) Entries() (all []Entry) {
	for i := range l.txns {
		for j := range l.txns[i].entries {
			e := &l.txns[i].entries[j]
			all = append(all, Entry{At: e.at, Bytes: e.size, Txn: e.txn, Key: e.key, Value: e.content,
				Deleted: e.meta&metaDeleted != 0, Pointer: e.meta&metaPointer != 0})
		}
	}
	return all
}

// Entry is one change in a log: a key that was set or deleted.
type Entry struct {
	At, Bytes  int    // where it is in the log, and how long
	Txn        uint64 // number of its transaction
	Key, Value []byte
	Deleted    bool
	Pointer    bool // the value says where it is in a value log
}

// ValueEnds are the places up to which the whole transactions lead into value logs, by the numbers
// of those.
func (l *Log) ValueEnds() map[uint32]int64 {
	ends := make(map[uint32]int64)
	for _, e := range l.Entries() {
		if file := e.ValueLog(); file > 0 {
			n, at := binary.NativeEndian.Uint32(e.Value[4:]), binary.NativeEndian.Uint32(e.Value[8:])
			ends[file] = max(ends[file], int64(at)+int64(n))
		}
	}
	return ends
}

// ValueLog is the number of the value log that an entry's value is in; 0: it is in none.
func (e *Entry) ValueLog() uint32 {
	if !e.Pointer || len(e.Value) != pointerBytes {
		return 0
	}
	return binary.NativeEndian.Uint32(e.Value)
}

// NewestEvent is the newest event in the whole transactions.
func (l *Log) NewestEvent() uint64 {
	seq := uint64(0)
	for i := range l.txns {
		n, _ := l.newest(&l.txns[i])
		seq = max(seq, n)
	}
	return seq
}

// Promised is the newest event that a batch with unreadable records says was in it. A batch that
// lost its last record would look unanswered otherwise, and a start would remove it.
func (l *Log) Promised() uint64 {
	to := uint64(0)
	for _, g := range l.lost {
		for i := max(0, g.txn-1); i <= g.txn && i < len(l.txns); i++ {
			_, end := l.newest(&l.txns[i])
			to = max(to, end)
		}
	}
	return to
}

// Newest is the number of the newest whole transaction; 0: there is none.
func (l *Log) Newest() (n uint64) {
	for i := range l.txns {
		n = max(n, l.txns[i].number)
	}
	return n
}

// First is the number of the first transaction; 0: there is none. An entry of none has an old
// number: the engine moved it here when it gave a value log back.
func (l *Log) First() uint64 {
	for i := range l.txns {
		if !l.txns[i].bare {
			return l.txns[i].number
		}
	}
	if len(l.txns) > 0 && len(l.open.entries) == 0 {
		return l.txns[0].number
	}
	return l.open.number
}

// Text is a log with the whole transactions, as the engine would have written it.
func (l *Log) Text() []byte {
	out := &wal{secret: l.secret, iv: l.iv}
	if len(l.secret) > 0 {
		// Entries move, and one place must never encrypt two texts. Read never fails (crypto/rand).
		_, _ = rand.Read(out.iv[:])
	}
	out.b = binary.BigEndian.AppendUint64(out.b, l.keyID)
	out.b = append(out.b, out.iv[:]...)
	for i := range l.txns {
		t := &l.txns[i]
		for j := range t.entries {
			e := &t.entries[j]
			out.write(e.meta, e.expires, e.key, t.number, e.content)
		}
		if !t.bare {
			out.writeEnd(t.number)
		}
	}
	return out.b
}
