package spool

import (
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/dgraph-io/badger/v4"
)

// errLogKey: no key of the spool decrypts what ends the transactions of a log, which the engine
// writes in the same words every time, so its head is damaged beyond one byte. The engine would
// take the log for one that ends at its first transaction, without a word.
var errLogKey = fmt.Errorf("%w: no key of this spool opens the transactions in a log of its engine",
	ErrLoss)

// unlock finds the key of a log. The head says which one it is and begins the counter that the key
// is used with, and nothing protects the head: if what it says opens nothing, the other keys are
// tried, and then its 12 bytes with one of them changed.
//
// Only what the engine itself is sure to write can refuse a start, or put a head right. A log
// without the end of a transaction goes to the engine with the key that its head names, whatever
// its records look like; if there is no such key, what they look like chooses one.
func (s *Spool) unlock(o badger.Options, b []byte) (*wal, uint64, error) {
	w := newWAL(b)
	said := binary.BigEndian.Uint64(b)
	if len(o.EncryptionKey) == 0 && said == 0 {
		return w, 0, nil
	}
	keys, err := openDataKeys(o)
	if err != nil {
		return nil, 0, err
	}
	if len(o.EncryptionKey) == 0 {
		return w, 0, nil // the registry says that nothing is encrypted, so the head is damaged
	}
	t := newKeyTrial(w)
	if id, ok := t.find(keys, said, s.log); ok {
		return w, id, nil
	}
	return nil, 0, errLogKey
}

// keyTrial is a log with the entries that keys are tried on, some of each sort: those that end a
// transaction, which only the right key turns into what the engine writes, and those before.
type keyTrial struct {
	*wal
	ends, others []trialEntry
}

type trialEntry struct {
	logEntry
	at int
}

const (
	trialEntries = 8
	trialBytes   = 256 << 20 // bounds what looking for them may read
)

// newKeyTrial finds the entries. They fit their checksums, which are over what is on disk, whatever
// the key is.
func newKeyTrial(w *wal) *keyTrial {
	t := &keyTrial{wal: w}
	budget := w.budget
	defer func() { w.budget = budget }()
	for at := logHeadBytes; at < len(w.b) && len(t.ends) < trialEntries &&
		budget-w.budget < trialBytes; {
		e, ok := w.entry(at)
		if !ok {
			at++
			continue
		}
		switch found := (trialEntry{e.logEntry, at}); {
		case e.ends():
			t.ends = append(t.ends, found)
		case len(t.others) < trialEntries:
			t.others = append(t.others, found)
		}
		at += e.size
	}
	return t
}

// find leaves the log with the key, and the counter, that open it, and returns the key's number.
func (t *keyTrial) find(keys *dataKeys, said uint64, log *slog.Logger) (uint64, bool) {
	try := func(id uint64) bool {
		t.secret = keys.secret(id)
		return len(t.secret) > 0 && t.opens()
	}
	if try(said) {
		return said, true
	}
	if len(t.secret) > 0 && len(t.ends) == 0 {
		log.Warn("a log of the engine does not begin with records of this spool; it is read with the " +
			"key that its head names")
		return said, true
	}
	for id := uint64(1); id <= keys.last; id++ {
		if id != said && try(id) {
			return id, true
		}
	}
	if t.secret = keys.secret(said); len(t.ends) == 0 {
		return 0, false
	}
	for at := 0; at < len(t.iv) && len(t.secret) > 0; at++ {
		for flip := 1; flip < 256; flip++ {
			t.iv[at] ^= byte(flip)
			if t.opens() {
				return said, true
			}
			t.iv[at] ^= byte(flip)
		}
	}
	return 0, false
}

// opens reports whether the key makes sense of the entries, if there are any. One end of a
// transaction decides: 11 bytes that are always the same, and a number that is there twice.
func (t *keyTrial) opens() bool {
	for _, e := range t.ends {
		if x := t.open(e.logEntry, e.at, t.b[e.at:]); x.plausible() {
			return true
		}
	}
	if len(t.ends) > 0 {
		return false
	}
	for _, e := range t.others {
		if x := t.open(e.logEntry, e.at, t.b[e.at:]); !x.plausible() || !x.sound() {
			return false
		}
	}
	return true
}
