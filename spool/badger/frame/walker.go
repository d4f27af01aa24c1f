package frame

import (
	"bytes"
	"math"
	"slices"
	"sort"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Walker is a place in Badger's tree, or at an event in one of its frames.
type Walker struct {
	it      *badger.Iterator
	txn     *badger.Txn
	salvage Salvage
	o       engine.Walk
	bound   uint64 // the first event that may come, in the direction of the walk

	// framed: it stands at an event of the log, and the iterator is past all versions of its frame.
	framed bool
	last   []byte // the key of the frame
	gone   bool   // which is deleted
	buf    []byte // the frame
	err    error  // why that cannot be read
	parts  []record.InFrame
	at     int // of parts
	key    []byte
}

var _ engine.Walker = (*Walker)(nil)

// NewWalker is a walker that stands nowhere.
func NewWalker(txn *badger.Txn, salvage Salvage, o engine.Walk) *Walker {
	return &Walker{it: txn.NewIterator(options(o)), txn: txn, salvage: salvage, o: o}
}

func options(o engine.Walk) badger.IteratorOptions {
	b := badger.DefaultIteratorOptions
	b.Prefix, b.Reverse, b.AllVersions = o.Prefix, o.Reverse, o.Gone
	b.PrefetchValues = false // values lie beside their keys, or make a frame that is read once
	return b
}

// Seek is part of engine.Walker.
func (w *Walker) Seek(key []byte) {
	if !IsKey(key) {
		if w.bound = 0; w.o.Reverse {
			w.bound = math.MaxUint64
		}
		w.framed = false
		w.it.Seek(key)
		w.settle()
		return
	}
	w.bound = record.KeySeq(key)
	if w.framed && !w.gone && w.err == nil && w.parts[0].Seq <= w.bound &&
		w.bound <= w.parts[len(w.parts)-1].Seq {
		w.stand()
		return
	}
	if w.o.Reverse {
		key = w.frameAt(key)
	}
	w.framed = false // what it stands at says nothing of what is before the key
	w.it.Seek(key)
	w.settle()
}

// stand goes to the event of the frame that bounds the walk, or the next one in it in the direction
// of the walk; false: there is none.
func (w *Walker) stand() bool {
	w.at = sort.Search(len(w.parts), func(i int) bool { return w.parts[i].Seq >= w.bound })
	if w.o.Reverse && (w.at == len(w.parts) || w.parts[w.at].Seq > w.bound) {
		w.at--
	}
	return w.at >= 0 && w.at < len(w.parts)
}

// goneWithin bounds the deleted keys that lie within a frame: those of events that were packed into
// it, until they are compacted, and, because a start that removes the newest events gives their
// sequences to others, one of each frame that was removed so.
const goneWithin = 2048

// frameAt is the key of the frame that an event is in, if there is one after it; otherwise its own.
func (w *Walker) frameAt(key []byte) []byte {
	o := options(w.o)
	o.Reverse = false
	o.Prefix = []byte{record.PrefixLog}
	it := w.txn.NewIterator(o)
	defer it.Close()
	var at []byte
	it.Seek(key)
	for n := 0; n < goneWithin && it.Valid() && IsKey(it.Item().Key()); it.Next() {
		if bytes.Equal(it.Item().Key(), at) {
			continue // an older version
		}
		at = append(at[:0], it.Item().Key()...)
		if !it.Item().IsDeletedOrExpired() {
			return at
		}
		n++
	}
	return key
}

// settle takes what the iterator stands at, or the next frame after it with an event that the walk
// has not passed.
func (w *Walker) settle() {
	for w.take(); w.framed && !w.stand(); {
		w.take()
	}
}

// take takes what the iterator stands at: if that is a frame, all versions of it, of which the
// newest counts.
func (w *Walker) take() {
	before := uint64(0) // the key of the frame before it, where that is known
	if w.framed && !w.gone && !w.o.Reverse {
		before = record.KeySeq(w.last)
	}
	w.framed = w.it.Valid() && IsKey(w.it.Item().Key())
	if !w.framed {
		return
	}
	w.last = append(w.last[:0], w.it.Item().Key()...)
	for first := true; w.it.Valid() && bytes.Equal(w.it.Item().Key(), w.last); first = false {
		if item := w.it.Item(); first || w.o.Reverse {
			w.gone, w.err = item.IsDeletedOrExpired(), nil
			if !w.gone && !(w.o.Reverse && w.o.Gone) {
				w.read(item)
			}
		}
		w.it.Next()
	}
	if w.o.Reverse && w.o.Gone && !w.gone {
		// The newest version came last. The value log may have those before no longer, and the engine
		// says that as an error.
		item, err := w.txn.Get(w.last)
		if err != nil {
			w.err = named(err)
		} else {
			w.read(item)
		}
	}
	last := record.KeySeq(w.last)
	if w.gone || w.err != nil {
		w.parts = append(w.parts[:0], record.InFrame{Seq: last})
		return
	}
	if w.o.Reverse && !w.o.Gone && w.it.Valid() && IsKey(w.it.Item().Key()) {
		before = record.KeySeq(w.it.Item().Key())
	}
	w.split(last, before)
}

// split finds the events of the frame, of which none is at or before another frame's key. Damage to
// the tree may show a frame under a key that is not its own, and a repair may bring an older one
// back; a walk keeps its order all the same. What has no event of its own cannot be read.
func (w *Walker) split(last, before uint64) {
	w.parts = record.SplitFrame(w.parts, w.buf, last)
	w.parts = slices.DeleteFunc(w.parts, func(p record.InFrame) bool { return p.Seq <= before })
	if len(w.parts) == 0 {
		w.parts = append(w.parts, record.InFrame{Seq: last, To: len(w.buf)})
	}
}

// read reads the frame.
func (w *Walker) read(item *badger.Item) {
	var buf []byte
	if buf, w.err = w.salvage.value(item, w.buf); w.err == nil {
		w.buf = buf
	}
}

// Valid is part of engine.Walker.
func (w *Walker) Valid() bool { return w.framed || w.it.Valid() }

// Next is part of engine.Walker.
func (w *Walker) Next() {
	if !w.framed {
		w.it.Next()
		w.settle()
		return
	}
	if w.at++; w.o.Reverse {
		w.at -= 2
	}
	switch {
	case w.at < 0:
		if w.bound = w.parts[0].Seq; w.bound > 0 {
			w.bound--
		}
		w.settle()
	case w.at >= len(w.parts):
		if !w.gone { // or it lies within the next frame
			w.bound = w.parts[len(w.parts)-1].Seq + 1
		}
		w.settle()
	}
}

// Key is part of engine.Walker.
func (w *Walker) Key() []byte {
	if !w.framed {
		return w.it.Item().Key()
	}
	w.key = append(w.key[:0], record.LogKey(w.parts[w.at].Seq)...)
	return w.key
}

// View is part of engine.Walker.
func (w *Walker) View(visit func(value []byte) error) error {
	switch {
	case !w.framed:
		return w.salvage.view(w.it.Item(), visit)
	case w.err != nil:
		return w.err
	}
	p := w.parts[w.at]
	return visit(w.buf[p.From:p.To:p.To])
}

// Together is part of engine.Walker.
func (w *Walker) Together() (last uint64, bytes int) {
	if !w.framed {
		return 0, 0
	}
	return w.parts[len(w.parts)-1].Seq, len(w.buf)
}

// Gone is part of engine.Walker.
func (w *Walker) Gone() bool {
	if w.framed {
		return w.gone
	}
	return w.it.Item().IsDeletedOrExpired()
}

// ExpiresAt is part of engine.Walker. Events never do.
func (w *Walker) ExpiresAt() uint64 {
	if w.framed {
		return 0
	}
	return w.it.Item().ExpiresAt()
}

// Close is part of engine.Walker.
func (w *Walker) Close() { w.it.Close() }
