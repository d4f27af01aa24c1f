// Package frame shows what lies in Badger as the spool wrote it: where the events of a group lie in
// one value, a frame, it shows each under a key of its own.
//
// A frame lies under the key of its last event, in the value log: all events of a group are one
// entry there, one pointer in the tree, and one deletion when they are swept. Frames do not
// overlap, so the first key at or after an event's is that of its frame. Where a part of a frame
// was deleted, the rest was written again under the same key, so the newest version of it counts.
//
// Damage costs the record that it is in. Badger gives out no value that does not fit its checksum;
// such a one is read around it, and its records say which of them are whole.
package frame

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// keyBytes is how long a key of the log is.
const keyBytes = 9

// IsKey reports whether a key is one of the log.
func IsKey(key []byte) bool { return len(key) == keyBytes && key[0] == record.PrefixLog }

// Salvage reads a value that does not fit its checksum as it is. cause is what Badger said of it.
type Salvage func(key []byte, cause error) ([]byte, error)

// value appends the value of an item to memory that may be used again.
func (s Salvage) value(item *badger.Item, into []byte) ([]byte, error) {
	value, err := item.ValueCopy(into)
	if err != nil && s != nil && errors.Is(err, y.ErrChecksumMismatch) {
		return s(item.KeyCopy(nil), err)
	}
	return value, err
}

// view shows the value of an item without copying it.
func (s Salvage) view(item *badger.Item, visit func(value []byte) error) error {
	seen := false
	err := item.Value(func(value []byte) error {
		seen = true
		return visit(value)
	})
	if err != nil && !seen && s != nil && errors.Is(err, y.ErrChecksumMismatch) {
		value, err := s(item.KeyCopy(nil), err)
		if err != nil {
			return err
		}
		return visit(value)
	}
	return err
}

// named gives Badger's word for a missing key ours.
func named(err error) error {
	if errors.Is(err, badger.ErrKeyNotFound) {
		return engine.ErrNotFound
	}
	return fmt.Errorf("cannot read a record: %w", err)
}
