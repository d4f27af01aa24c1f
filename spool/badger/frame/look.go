package frame

import (
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Look is everything as of one instant.
type Look struct {
	txn     *badger.Txn
	salvage Salvage
}

var _ engine.Look = Look{}

// LookAt opens a look.
func LookAt(db *badger.DB, salvage Salvage) Look { return Look{db.NewTransaction(false), salvage} }

// Get is part of engine.Look.
func (l Look) Get(key []byte) (value []byte, err error) {
	err = l.View(key, func(v []byte) error {
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// View is part of engine.Look.
func (l Look) View(key []byte, visit func(value []byte) error) error {
	item, err := l.txn.Get(key)
	if !IsKey(key) {
		if err != nil {
			return named(err)
		}
		return l.salvage.view(item, visit)
	}
	if err == nil {
		found := false
		err := l.salvage.view(item, func(frame []byte) error {
			rec, ok := find(frame, record.KeySeq(key), record.KeySeq(key))
			if found = ok; !ok {
				return nil
			}
			return visit(rec)
		})
		if err == nil && !found {
			err = engine.ErrNotFound
		}
		return err
	}
	if !errors.Is(err, badger.ErrKeyNotFound) {
		return named(err)
	}
	w := l.Walk(engine.Walk{Prefix: key[:1]})
	defer w.Close()
	w.Seek(key)
	if !w.Valid() || string(w.Key()) != string(key) {
		return engine.ErrNotFound
	}
	return w.View(visit)
}

// find is an event's record in a frame whose key has the sequence last.
func find(frame []byte, last, seq uint64) ([]byte, bool) {
	var few [64]record.InFrame
	for _, r := range record.SplitFrame(few[:], frame, last) {
		if r.Seq == seq {
			return frame[r.From:r.To], true
		}
	}
	return nil, false
}

// Walk is part of engine.Look.
func (l Look) Walk(o engine.Walk) engine.Walker { return NewWalker(l.txn, l.salvage, o) }

// Dense is part of engine.Look.
func (l Look) Dense() bool { return true }

// Close is part of engine.Look.
func (l Look) Close() { l.txn.Discard() }
