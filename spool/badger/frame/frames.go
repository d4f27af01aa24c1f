package frame

import (
	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Frames goes from frame to frame, and reads only those that it is asked for.
type Frames struct {
	it      *badger.Iterator
	salvage Salvage
	buf     []byte
	parts   []record.InFrame
}

// Frames are those of a look. They must be closed before it.
func (l Look) Frames() *Frames {
	return &Frames{it: l.txn.NewIterator(options(engine.Walk{Prefix: []byte{record.PrefixLog}})),
		salvage: l.salvage}
}

// Seek goes to the first frame that has events from a sequence on, or once had; false: there is
// none. last is the sequence in its key.
func (f *Frames) Seek(seq uint64) (last uint64, ok bool) {
	f.it.Seek(record.LogKey(seq))
	return f.at()
}

func (f *Frames) at() (last uint64, ok bool) {
	for f.it.Valid() && !IsKey(f.it.Item().Key()) {
		f.it.Next()
	}
	if !f.it.Valid() {
		return 0, false
	}
	return record.KeySeq(f.it.Item().Key()), true
}

// Next goes to the next frame, like Seek.
func (f *Frames) Next() (last uint64, ok bool) {
	f.it.Next()
	return f.at()
}

// Length is about how long the frame is that it stands at.
func (f *Frames) Length() int64 { return f.it.Item().ValueSize() }

// Read is the frame that it stands at. It holds until the next one is read.
func (f *Frames) Read() ([]byte, error) {
	buf, err := f.salvage.value(f.it.Item(), f.buf)
	if err == nil {
		f.buf = buf
	}
	return buf, err
}

// Events reads the frame that it stands at. They hold until the next one is read.
func (f *Frames) Events() ([]record.InFrame, error) {
	if _, err := f.Read(); err != nil {
		return nil, err
	}
	f.parts = record.SplitFrame(f.parts, f.buf, record.KeySeq(f.it.Item().Key()))
	return f.parts, nil
}

// Record is the record of one of these events.
func (f *Frames) Record(p record.InFrame) []byte { return f.buf[p.From:p.To:p.To] }

// Close lets go of it.
func (f *Frames) Close() { f.it.Close() }
