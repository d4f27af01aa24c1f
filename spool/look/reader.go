package look

import (
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Reader reads events one after the other as of one instant. Where several lie together, reading
// them in their order reads what they lie in once. It must be closed.
type Reader struct {
	look engine.Look
	walk engine.Walker
}

// NewReader opens one.
func NewReader(r engine.Records) *Reader {
	l := r.Look()
	return &Reader{l, l.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})}
}

// Record is an event's record, whether it can be read or not. engine.ErrNotFound: there is none.
func (r *Reader) Record(seq uint64) ([]byte, error) {
	if !r.seek(seq) {
		return nil, engine.ErrNotFound
	}
	return engine.Copy(r.walk)
}

func (r *Reader) seek(seq uint64) bool {
	r.walk.Seek(record.LogKey(seq))
	return r.walk.Valid() && record.KeySeq(r.walk.Key()) == seq
}

// Event reads one event. Errors as of the function Event.
func (r *Reader) Event(seq uint64) (*record.Event, error) {
	rec, err := r.Record(seq)
	switch {
	case err == engine.ErrNotFound:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("cannot read event %d: %w", seq, err)
	}
	return record.DecodeEvent(rec, seq)
}

// Together is what engine.Walker's is, for an event; 0: there is none.
func (r *Reader) Together(seq uint64) (last uint64, bytes int) {
	if !r.seek(seq) {
		return 0, 0
	}
	return r.walk.Together()
}

// Close lets go of what it sees.
func (r *Reader) Close() {
	r.walk.Close()
	r.look.Close()
}
