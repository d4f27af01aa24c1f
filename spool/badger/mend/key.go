package mend

import (
	"encoding/binary"
	"errors"
)

// ErrKey: no data key decrypts what ends the transactions of a log, which the engine writes in the
// same words every time, so its head is damaged. The engine would take the log for one that ends
// at its first transaction, without a word.
var ErrKey = errors.New("no key of this spool opens the transactions in a log of its engine")

const (
	trialEntries = 8
	trialBytes   = 256 << 20 // bounds what looking for them may read
)

// unlock finds the key of a log. The head says which one it is and begins the counter that the key
// is used with, and nothing protects the head. If what it says opens nothing, another key may.
//
// Only what the engine itself is sure to write can refuse a log: one without the end of a
// transaction goes to the engine with the key that its head names, whatever is in it.
func (l *Log) unlock(keys Keys) error {
	said := binary.BigEndian.Uint64(l.b)
	if keys == nil {
		l.head = said != 0
		return nil
	}
	ends := l.ends()
	l.secret, l.keyID = keys[said], said
	if len(l.secret) > 0 && (len(ends) == 0 || l.opens(ends)) {
		return nil
	}
	for id, secret := range keys {
		if l.secret = secret; l.opens(ends) {
			l.keyID, l.head = id, true
			return nil
		}
	}
	return ErrKey
}

// ends are some entries that end a transaction. They fit their checksums, which are over what is
// on disk, whatever the key is.
func (w *wal) ends() (found []walEntry) {
	budget := w.budget
	defer func() { w.budget = budget }()
	for at := LogHeadBytes; at < len(w.b) && len(found) < trialEntries &&
		budget-w.budget < trialBytes; {
		e, ok := w.entry(at)
		if !ok {
			at++
			continue
		}
		if e.ends() {
			found = append(found, e)
		}
		at += e.size
	}
	return found
}

// opens reports whether the key makes sense of the ends of transactions. One decides: 11 bytes
// that are always the same, and a number that is there twice.
func (w *wal) opens(ends []walEntry) bool {
	for _, e := range ends {
		if x := w.split(e.logEntry, e.at, w.b[e.at:]); w.plausible(&x) {
			return true
		}
	}
	return false
}
