package badger

import (
	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
)

// Engine is an open database of Badger.
type Engine struct {
	db       *badger.DB
	bytesMax int // of a transaction
}

var _ engine.Engine = (*Engine)(nil)

// New is the engine over an open database.
func New(db *badger.DB) *Engine {
	return &Engine{db: db, bytesMax: int(db.Opts().MemTableSize * 15 / 100 * 95 / 100)}
}

// Begin is part of engine.Log.
func (e *Engine) Begin() engine.Txn { return Txn{e.db.NewTransaction(true)} }

// Close is part of engine.Engine.
func (e *Engine) Close() error { return e.db.Close() }

// Look is part of engine.Records.
func (e *Engine) Look() engine.Look { return LookAt(e.db) }

// Get is part of engine.Records.
func (e *Engine) Get(key []byte) ([]byte, error) {
	l := LookAt(e.db)
	defer l.Close()
	return l.Get(key)
}

// entriesMax stays below Badger's own bound on a transaction's entries: 15 % of the memtable over
// 96 bytes each.
const entriesMax = 24_000

// Bounds is part of engine.Log. Badger's own bound is 15 % of the memtable.
func (e *Engine) Bounds() (bytes, entries int) { return e.bytesMax, entriesMax }
