package badger

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Txn is one transaction, of the committer or of a start.
type Txn struct {
	txn  *badger.Txn
	tree *Tree
	// bytes and entries that it writes into the log, as the engine counts them; values are the bytes
	// that it writes into the value log.
	bytes, entries, values int
}

var _ engine.Txn = (*Txn)(nil)

// entryOverhead is what an engine's transaction counts for an entry beside its key and value.
const entryOverhead = 12

// Get is part of engine.Txn.
func (t *Txn) Get(key []byte) ([]byte, error) { return get(t.txn, key) }

// Has is part of engine.Txn.
func (t *Txn) Has(key []byte) bool {
	_, err := t.txn.Get(key)
	return err == nil
}

// Keys is part of engine.Txn.
func (t *Txn) Keys(prefix []byte, most int) (keys [][]byte, err error) {
	w := walk(t.txn, engine.Walk{Prefix: prefix})
	defer w.Close()
	for w.Seek(prefix); w.Valid() && len(keys) < most; w.Next() {
		keys = append(keys, append([]byte(nil), w.Key()...))
	}
	return keys, nil
}

// Put is part of engine.Txn.
func (t *Txn) Put(key, value []byte, ttl time.Duration) error {
	e := badger.NewEntry(key, value)
	if ttl > 0 {
		e = e.WithTTL(ttl)
	}
	return t.set(e)
}

// Delete is part of engine.Txn.
func (t *Txn) Delete(key []byte) error {
	t.count(len(key))
	return t.txn.Delete(key)
}

// Append is part of engine.Txn. Who owes the event is in its record; nobody else asks.
func (t *Txn) Append(seq uint64, rec []byte, _ []record.LaneID) error {
	return t.set(badger.NewEntry(record.LogKey(seq), rec))
}

// Guard is part of engine.Txn. A tenure never ends here.
func (t *Txn) Guard(record.LaneID, uint64) {}

func (t *Txn) set(e *badger.Entry) error {
	if len(e.Value) < ValueBytesMin {
		t.count(len(e.Key) + len(e.Value))
	} else {
		t.count(len(e.Key))
		t.values += len(e.Key) + len(e.Value) + EntryRoomBytes
	}
	return t.txn.SetEntry(e)
}

func (t *Txn) count(bytes int) {
	t.bytes += bytes + entryOverhead
	t.entries++
}

// Commit is part of engine.Txn: one write and one sync of Badger's log, and of its value log where
// there is a large value. Badger tells only its log if the latter fails, before it writes the
// pointers.
func (t *Txn) Commit() error {
	unsynced := t.tree.unsynced.Load()
	err := t.txn.Commit()
	t.tree.committed(t)
	if failed := t.tree.unsynced.Load(); err == nil && failed != unsynced {
		err = *failed
	}
	return err
}

// Discard is part of engine.Txn.
func (t *Txn) Discard() { t.txn.Discard() }

func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, named(err)
	}
	return item.ValueCopy(nil)
}

// named gives Badger's word for a missing key ours.
func named(err error) error {
	if errors.Is(err, badger.ErrKeyNotFound) {
		return engine.ErrNotFound
	}
	return fmt.Errorf("cannot read a record: %w", err)
}

// Look is everything as of one instant.
type Look struct{ txn *badger.Txn }

var _ engine.Look = Look{}

// LookAt opens a look.
func LookAt(db *badger.DB) Look { return Look{db.NewTransaction(false)} }

// Get is part of engine.Look.
func (l Look) Get(key []byte) ([]byte, error) { return get(l.txn, key) }

// View is part of engine.Look.
func (l Look) View(key []byte, visit func(value []byte) error) error {
	item, err := l.txn.Get(key)
	if err != nil {
		return named(err)
	}
	return item.Value(visit)
}

// Walk is part of engine.Look.
func (l Look) Walk(o engine.Walk) engine.Walker { return walk(l.txn, o) }

// Dense is part of engine.Look.
func (l Look) Dense() bool { return true }

// Close is part of engine.Look.
func (l Look) Close() { l.txn.Discard() }

// walker is a place in Badger's tree.
type walker struct{ it *badger.Iterator }

func walk(txn *badger.Txn, o engine.Walk) walker {
	b := badger.DefaultIteratorOptions
	b.Prefix, b.Reverse, b.AllVersions = o.Prefix, o.Reverse, o.Gone
	b.PrefetchValues = false // values lie beside their keys; prefetching would only copy them
	return walker{txn.NewIterator(b)}
}

func (w walker) Seek(key []byte) { w.it.Seek(key) }
func (w walker) Valid() bool     { return w.it.Valid() }
func (w walker) Next()           { w.it.Next() }
func (w walker) Key() []byte     { return w.it.Item().Key() }

func (w walker) View(visit func(value []byte) error) error { return w.it.Item().Value(visit) }

func (w walker) Gone() bool        { return w.it.Item().IsDeletedOrExpired() }
func (w walker) ExpiresAt() uint64 { return w.it.Item().ExpiresAt() }
func (w walker) Close()            { w.it.Close() }
