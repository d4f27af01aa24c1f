// Package engine is what a spool stands on: an ordered log and small keyed records beside it,
// written together. Package spool is its user; the engines are behind it, so that nothing above
// knows which one it is: [badger] on this machine's disk, [jetstream] on several machines, and one
// in memory that only tests have.
//
// # What an engine promises
//
// A transaction is all or nothing, and on disk when Commit returns nil. There is one writer: the
// committer of the spool has one transaction open at a time, and what it reads in it is what it has
// put before, then what is committed. A Look is the spool between two commits, whatever is written
// meanwhile. Keys are in the order of their bytes. The log is what lies under record.PrefixLog, so
// in the order of its sequences, which have gaps where events were deleted, and where an engine
// leaves some out; an engine may keep the log in another place than the rest.
//
// A lane is served by one relay at a time, which has a tenure of it. What it writes of the lane is
// guarded by the tenure's fence, so a relay that has lost a lane without hearing of it writes
// nothing of it any more. On one machine the lock of the spool's directory is all of that.
//
// After an error of Commit nobody knows what is stored: the spool acknowledges nothing any more
// until it is opened again.
package engine

import (
	"bytes"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// Log is the hot path: what is written, in the order of its acceptance.
type Log interface {
	// Begin opens the one transaction of the committer.
	Begin() Txn
	// Bounds are what one transaction may hold: bytes of keys and values, and entries. That of a
	// Shared engine takes whatever one append may hold as well.
	Bounds() (bytes, entries int)
	// Next is the sequence of the first event after another one. Sequences grow, and say nothing else.
	Next(after uint64) uint64
}

// Txn is one group of the committer. It is not safe for concurrent use. The first error of a write
// is returned by Commit as well.
type Txn interface {
	// Get is a record's value, which the caller may keep. ErrNotFound: there is none.
	Get(key []byte) ([]byte, error)
	// Has reports whether there is such a record.
	Has(key []byte) bool
	// Keys are the first keys with a prefix, most of them at most.
	Keys(prefix []byte, most int) ([][]byte, error)
	// Put stores a record, which may be forgotten after ttl; 0: never. The engine keeps both slices.
	Put(key, value []byte, ttl time.Duration) error
	// Delete removes a record, if it is there.
	Delete(key []byte) error
	// Append adds an event's record to the log under a sequence above all others. lanes are who owes
	// it. The engine keeps the record.
	Append(seq uint64, rec []byte, lanes []record.LaneID) error
	// Guard lets the transaction be committed only while a tenure of a lane lasts. After it has ended
	// Commit writes nothing and returns ErrElsewhere.
	Guard(lane record.LaneID, fence uint64)
	// Commit makes all of it durable, or nothing. The transaction is over.
	Commit() error
	// Discard forgets it, after Commit too.
	Discard()
}

// Records reads what is committed. It is safe for concurrent use.
type Records interface {
	// Get is a record's value, which the caller may keep. ErrNotFound: there is none.
	Get(key []byte) ([]byte, error)
	// Look is everything as of now. It must be closed, and what it sees takes room until it is.
	Look() Look
}

// Look reads everything as it was at one instant. It is safe for concurrent use; its Walks are not.
type Look interface {
	// Get is a record's value, which the caller may keep. ErrNotFound: there is none.
	Get(key []byte) ([]byte, error)
	// View shows a value without copying it; it is valid during the visit only.
	View(key []byte, visit func(value []byte) error) error
	// Walk goes through keys in their order.
	Walk(o Walk) Walker
	// Dense: Log.Next leaves no sequence out, so that one which is missing from the log is a loss.
	Dense() bool
	// Close lets go of what it sees. Its walkers must be closed before.
	Close()
}

// Walk says which keys are gone through, and how.
type Walk struct {
	// Prefix of the keys; empty: all.
	Prefix []byte
	// Reverse goes from the last to the first.
	Reverse bool
	// Gone: an engine that keeps deleted keys for a while stops at them and at older versions as
	// well, instead of passing any number of them in one step; see Walker.Gone.
	Gone bool
}

// Walker stands at a key. It stands nowhere until Seek. It is not safe for concurrent use.
type Walker interface {
	// Seek goes to a key, or to the next one in the direction of the walk.
	Seek(key []byte)
	// Valid reports whether it stands at a key.
	Valid() bool
	// Next goes on by one.
	Next()
	// Key is valid until the next step.
	Key() []byte
	// View shows the value without copying it.
	View(visit func(value []byte) error) error
	// Together is the last event that is stored in one with the one it stands at, and how many bytes
	// they are: deleting a part of them writes the rest again.
	Together() (last uint64, bytes int)
	// Gone reports a key that was deleted or has expired: it has no value.
	Gone() bool
	// ExpiresAt is when the record may be forgotten, in unix seconds; 0: never.
	ExpiresAt() uint64
	// Close lets go of it.
	Close()
}

// Scan visits the keys of a look with a prefix in their order, from a key on (nil: from the first),
// until visit says no. Keys and values are valid during the visit only.
func Scan(l Look, prefix, from []byte, visit func(key, value []byte) (bool, error)) error {
	w := l.Walk(Walk{Prefix: prefix})
	defer w.Close()
	if from == nil {
		from = prefix
	}
	for w.Seek(from); w.Valid(); w.Next() {
		more := true
		err := w.View(func(value []byte) (err error) {
			more, err = visit(w.Key(), value)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Engine is all of it.
type Engine interface {
	Log
	Records
	Crew
	Space
	Trimmer
	Worker
	// Close ends it. Nothing is written after.
	Close() error
}

// Last is the last record with a prefix, at or before a key. ErrNotFound: there is none.
func Last(l Look, prefix, from []byte) (key, value []byte, err error) {
	w := l.Walk(Walk{Reverse: true})
	defer w.Close()
	w.Seek(from)
	if !w.Valid() || !bytes.HasPrefix(w.Key(), prefix) {
		return nil, nil, ErrNotFound
	}
	value, err = Copy(w)
	return bytes.Clone(w.Key()), value, err
}

// Copy is the value at which a walker stands. It is never nil without an error.
func Copy(w Walker) (value []byte, err error) {
	err = w.View(func(v []byte) error {
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}
