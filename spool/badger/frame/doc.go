// Package frame shows what lies in Badger as the spool wrote it: where the events of a group lie in
// one value, a frame, it shows each under a key of its own.
//
// A frame lies under the key of its last event, in the value log: all events of a group are one
// entry there, one pointer in the tree, and one deletion when they are swept. Frames do not
// overlap, so the first key at or after an event's is that of its frame. Where a part of a frame
// was deleted, the rest was written again under the key of the last of that, which may be the same:
// so the newest version of a key counts.
//
// Damage costs the record that it is in. Badger gives out no value that does not fit its checksum;
// such a one is read around it, and its records say which of them are whole.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// keyBytes is how long a key of the log is.
const keyBytes = 9

// IsKey reports whether a key is one of the log.
func IsKey(key []byte) bool { return len(key) == keyBytes && key[0] == record.PrefixLog }

// Place is where a value lies in the value log: the number of the file, and the bytes of its entry.
type Place struct{ File, Len, Offset uint32 }

// Salvage reads a value that does not fit its checksum as it is. engine.ErrDamaged: nothing of it
// can be told.
type Salvage func(key []byte, at Place) ([]byte, error)

// value appends the value of an item to memory that may be used again.
func (s Salvage) value(item *badger.Item, into []byte) ([]byte, error) {
	value, err := item.ValueCopy(into)
	if err == nil && len(value) == 0 {
		return s.unread(item)
	}
	return value, err
}

// view shows the value of an item without copying it.
func (s Salvage) view(item *badger.Item, visit func(value []byte) error) error {
	empty := false
	err := item.Value(func(value []byte) error {
		if empty = len(value) == 0; empty {
			return nil // Badger may hold a lock here
		}
		return visit(value)
	})
	if err != nil || !empty {
		return err
	}
	value, err := s.unread(item)
	if err != nil {
		return err
	}
	return visit(value)
}

// unread is the value of an item that Badger shows as empty: so it does with what does not fit its
// checksum, without an error.
func (s Salvage) unread(item *badger.Item) ([]byte, error) {
	at, ok := placeOf(item)
	if !ok || s == nil {
		return nil, nil
	}
	value, err := s(item.KeyCopy(nil), at)
	if errors.Is(err, engine.ErrDamaged) {
		return nil, nil // it cannot be read; who needs it sets it aside
	}
	return value, err
}

// isPointer is Badger's mark of a value that lies in the value log.
const isPointer = 1 << 1

// placeOf is where the value of an item lies; false: beside its key. Badger tells nobody, so its
// item is looked into: where that has changed no value is salvaged, and a test tells.
func placeOf(item *badger.Item) (at Place, ok bool) {
	inside := reflect.ValueOf(item).Elem()
	meta, pointer := inside.FieldByName("meta"), inside.FieldByName("vptr")
	if meta.Kind() != reflect.Uint8 || meta.Uint()&isPointer == 0 ||
		pointer.Kind() != reflect.Slice || pointer.Len() != binary.Size(at) {
		return at, false
	}
	n, err := binary.Decode(pointer.Bytes(), binary.NativeEndian, &at)
	return at, err == nil && n == binary.Size(at)
}

// named gives Badger's word for a missing key ours.
func named(err error) error {
	if errors.Is(err, badger.ErrKeyNotFound) {
		return engine.ErrNotFound
	}
	return fmt.Errorf("cannot read a record: %w", err)
}
