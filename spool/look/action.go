package look

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// ActionKey is where an action lies: when it began, and what tells two of one instant apart. Newer
// ones are greater.
type ActionKey struct {
	At  time.Time
	Run uint64
}

// Newest is above the keys of all actions.
func Newest() ActionKey { return ActionKey{time.Unix(0, math.MaxInt64), math.MaxUint64} }

// Actions visits what operators did, newest first, what is below a key, until visit says no. One
// that cannot be read is left out. The body is valid during the visit only.
func Actions(r engine.Records, below ActionKey, visit func(ActionKey, []byte) bool) error {
	look := r.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixAction}, Reverse: true})
	defer w.Close()
	at := record.ActionKey(below.At, below.Run)
	for w.Seek(at); w.Valid(); w.Next() {
		key := w.Key()
		k := record.KindOf(key)
		if k == nil || k.Fits(key) != nil || string(key) >= string(at) {
			continue
		}
		more := true
		err := w.View(func(value []byte) error {
			if body, err := record.DecodeWord(value); err == nil {
				more = visit(actionKey(key), body)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot read what operators did: %w", err)
		}
		if !more {
			break
		}
	}
	return nil
}

// Action is one of them; nil: there is none.
func Action(r engine.Records, at ActionKey) ([]byte, error) {
	value, err := r.Get(record.ActionKey(at.At, at.Run))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	var body []byte
	if err == nil {
		body, err = record.DecodeWord(value)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what an operator did: %w", err)
	}
	return body, nil
}

// ActionsBeyond are the keys of the oldest actions, those beyond the newest so many, and how many
// there are of all.
func ActionsBeyond(r engine.Records, newest int) (beyond []ActionKey, all int) {
	look := r.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixAction}, Reverse: true})
	defer w.Close()
	last := Newest()
	for w.Seek(record.ActionKey(last.At, last.Run)); w.Valid(); w.Next() {
		if all++; all > newest {
			beyond = append(beyond, actionKey(w.Key()))
		}
	}
	return beyond, all
}

func actionKey(key []byte) ActionKey {
	return ActionKey{time.Unix(0, record.KeyInstant(key)),
		binary.BigEndian.Uint64(key[len(key)-8:])}
}
