package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"github.com/hookspool/hookspool/spool/record"
)

// salvage is what can be read of one log of the engine, which itself ends at the first entry that
// it cannot read.
//
// A transaction is begun only after the one before it was synced and answered, so whatever another
// transaction follows was whole: what is left of it stays, and what is missing is damage. The last
// one may have been cut off by a crash. It stays if the high-water mark says that an event in it
// was answered, or if a later log begins with a later transaction (a start numbers the next one
// like the one it dropped); otherwise it is left to the engine, which drops it: nobody was told,
// the records of a batch come all or not at all, and the sender sends again. A hole of bytes that
// were never written, inside the last transaction, is what a power cut leaves of one that was being
// synced, and is treated the same.
type salvage struct {
	*wal
	end  int      // where the zeros begin that nothing was written to yet
	txns []walTxn // whole, oldest first
	begun,
	torn int // bytes behind the last whole transaction: of one that was begun; that are unreadable
	open      walTxn // the one that was begun
	last      uint64 // the newest transaction's number
	lost      []walGap
	corrected int  // bytes put right
	ended     int  // transactions whose end had to be made
	head      bool // the file's head is wrong
	rotten    bool // the engine chokes on what is behind the last transaction
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

// newSalvage reads a log from its head to where its zeros begin.
func newSalvage(w *wal) *salvage {
	s := &salvage{wal: w, end: len(bytes.TrimRight(w.b, "\x00"))}
	for at := logHeadBytes; at < s.end; {
		e, ok := w.entry(at)
		if !ok {
			var next int
			if e, next, ok = s.mend(at); !ok {
				s.lose(at, next)
				at = next
				continue
			}
			s.corrected++
		}
		s.take(e)
		at += e.size
	}
	return s
}

// mend puts one byte of the entry at a place right, or says where the next readable one is.
func (s *salvage) mend(at int) (e walEntry, next int, ok bool) {
	if h, fits := readLogEntry(s.b[at:]); fits {
		if e, ok = s.correct(at, h.size); ok {
			return e, 0, true
		}
	}
	if next, ok = s.find(at, s.end, s.last); ok {
		e, ok = s.entry(at)
		return e, next, ok
	}
	// The last entry: a checksum may end in zeros.
	for n := s.end - at; n <= s.end-at+4; n++ {
		if e, ok = s.correct(at, n); ok {
			return e, 0, true
		}
	}
	return e, s.end, false
}

// lose notes bytes that cannot be read.
func (s *salvage) lose(at, end int) {
	if end >= s.end {
		s.torn = end - at
		s.rotten = !s.engineReads(at)
		return
	}
	g := walGap{at: at, end: end, txn: len(s.txns)}
	first := (at + sectorBytes - 1) / sectorBytes * sectorBytes
	for p := first; p+sectorBytes <= end; p += sectorBytes {
		if len(bytes.Trim(s.b[p:p+sectorBytes], "\x00")) == 0 {
			g.unwritten = true
		}
	}
	s.lost = append(s.lost, g)
}

// engineReads reports whether the engine can look at what is at a place at all. It ends a replay at
// what it takes for the end of a log, but refuses a log that ends in an endless number, and makes
// room for an entry as large as its head says, be that gigabytes.
func (s *salvage) engineReads(at int) bool {
	var fields [3]uint64
	for i, p := 0, min(at+2, len(s.b)); i < len(fields); i++ {
		v, n := binary.Uvarint(s.b[p:])
		if n < 0 {
			return false
		}
		fields[i] = v
		p += n
	}
	return fields[1] <= record.BytesMax
}

// take puts an entry into its transaction.
func (s *salvage) take(e walEntry) {
	if e.meta&(logInTxn|logEndTxn) == 0 {
		s.endOpen()
		s.txns = append(s.txns, walTxn{number: e.txn, entries: []walEntry{e}, bare: true})
		return
	}
	s.last = max(s.last, e.txn)
	if len(s.open.entries) > 0 && s.open.number != e.txn {
		s.endOpen()
	}
	switch {
	case !e.ends():
		s.open.number = e.txn
		s.open.entries = append(s.open.entries, e)
		s.begun += e.size
	case len(s.open.entries) > 0:
		s.closeOpen()
	}
}

func (s *salvage) closeOpen() {
	s.txns = append(s.txns, s.open)
	s.open, s.begun = walTxn{}, 0
}

// endOpen closes a transaction whose end cannot be read.
func (s *salvage) endOpen() {
	if len(s.open.entries) > 0 {
		s.closeOpen()
		s.ended++
	}
}

// judge decides about the last transaction. answered is the newest event known to be answered, and
// later the number of the first transaction in the logs behind this one, or 0.
func (s *salvage) judge(answered, later uint64) {
	switch {
	case len(s.open.entries) > 0:
		if later > s.open.number || later == 0 && s.open.answered(answered) {
			s.endOpen()
		}
	case len(s.txns) > 0 && later == 0 && !s.txns[len(s.txns)-1].answered(answered):
		s.dropUnwritten()
	}
}

// dropUnwritten removes the last transaction if a hole in it was never written.
func (s *salvage) dropUnwritten() {
	last := len(s.txns) - 1
	cut := len(s.lost)
	unwritten := false
	for cut > 0 && s.lost[cut-1].txn == last {
		cut--
		unwritten = unwritten || s.lost[cut].unwritten
	}
	if unwritten {
		s.torn = s.end - s.lost[cut].at
		s.lost, s.txns = s.lost[:cut], s.txns[:last]
	}
}

// answered reports whether the newest event of a transaction is one that was answered.
func (t *walTxn) answered(newest uint64) bool {
	seq, _ := t.newest()
	return seq > 0 && seq <= newest
}

// newest is the newest event of a transaction, and where its batch ends.
func (t *walTxn) newest() (seq, batchEnd uint64) {
	for i := range t.entries {
		e := &t.entries[i]
		if e.key[0] != record.PrefixLog || len(e.key) != 9 || e.meta&walMetaDeleted != 0 {
			continue
		}
		seq = max(seq, record.KeySeq(e.key))
		if ev, err := record.DecodeEvent(e.content, record.KeySeq(e.key)); err == nil {
			batchEnd = max(batchEnd, ev.BatchEnd)
		}
	}
	return seq, batchEnd
}

// damaged reports whether the engine would read less of the log than there is.
func (s *salvage) damaged() bool {
	return s.head || s.rotten || s.corrected > 0 || s.ended > 0 || len(s.lost) > 0
}

// lostBytes are the bytes that cannot be read.
func (s *salvage) lostBytes() int {
	n := 0
	for _, g := range s.lost {
		n += g.end - g.at
	}
	if s.ended > 0 && len(s.open.entries) == 0 {
		n += s.torn
	}
	return n
}

// newestEvent is the newest event in the whole transactions.
func (s *salvage) newestEvent() uint64 {
	seq := uint64(0)
	for i := range s.txns {
		n, _ := s.txns[i].newest()
		seq = max(seq, n)
	}
	return seq
}

// promised is the newest event that a batch with unreadable records says was in it. A batch that
// lost its last record would look unanswered otherwise, and a start would remove it.
func (s *salvage) promised() uint64 {
	to := uint64(0)
	for _, g := range s.lost {
		for i := max(0, g.txn-1); i <= g.txn && i < len(s.txns); i++ {
			_, end := s.txns[i].newest()
			to = max(to, end)
		}
	}
	return to
}

// first is the number of the first transaction; 0: there is none.
func (s *salvage) first() uint64 {
	if len(s.txns) > 0 {
		return s.txns[0].number
	}
	return s.open.number
}

// remade is a log with the whole transactions, as the engine would have written it.
func (s *salvage) remade(keyID uint64) []byte {
	out := &wal{secret: s.secret, iv: s.iv}
	if len(s.secret) > 0 {
		// Entries move, and one place must never encrypt two texts. Read never fails (crypto/rand).
		_, _ = rand.Read(out.iv[:])
	}
	out.b = binary.BigEndian.AppendUint64(out.b, keyID)
	out.b = append(out.b, out.iv[:]...)
	for i := range s.txns {
		t := &s.txns[i]
		for j := range t.entries {
			e := &t.entries[j]
			out.write(e.meta, e.expires, e.key, t.number, e.content)
		}
		if !t.bare {
			out.write(logEndTxn, 0, []byte(walTxnKey), t.number, txnNumber(t.number))
		}
	}
	return out.b
}
