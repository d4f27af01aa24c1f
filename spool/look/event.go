package look

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Event reads one event by its sequence. engine.ErrNotFound: it was swept, or never was.
func Event(r engine.Records, seq uint64) (*record.Event, error) {
	rec, err := r.Get(record.LogKey(seq))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, engine.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read event %d: %w", seq, err)
	}
	return record.DecodeEvent(rec, seq)
}

// EventByID finds an event by the id it was accepted with, whoever made the id, as long as it is
// kept: the newest, if an app gave several the same. Errors as of Event.
func EventByID(s IDs, id string) (*record.Event, error) {
	return byID(s, id, func(seq uint64) (*record.Event, error) { return Event(s.Records(), seq) })
}

// EventByID is the function EventByID as of the reader's instant.
func (r *Reader) EventByID(s IDs, id string) (*record.Event, error) { return byID(s, id, r.Event) }

func byID(s IDs, id string, event func(seq uint64) (*record.Event, error)) (*record.Event, error) {
	if seq, ok := s.MadeSeq(id); ok {
		if e, err := event(seq); err == nil && e.ID() == id {
			return e, nil
		}
	}
	value, err := s.Records().Get(record.IDKey(id))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, engine.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up an id: %w", err)
	}
	r, err := record.DecodeID(value)
	if err != nil {
		return nil, err
	}
	e, err := event(r.Seq)
	if err == nil && e.ID() != id {
		err = engine.ErrNotFound
	}
	return e, err
}

// SmallState reads what the caller keeps under a key, as it was committed last. Nil: there is
// nothing.
func SmallState(r engine.Records, key []byte) []byte {
	value, err := r.Get(append([]byte{record.PrefixState}, key...))
	if err != nil {
		return nil
	}
	state, err := record.DecodeState(value)
	if err != nil {
		return nil
	}
	return bytes.Clone(state)
}
