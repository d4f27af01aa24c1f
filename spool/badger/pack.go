package badger

import (
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/record"
)

// An event that comes alone, or with few others, lies in the tree beside its key: that is one sync
// instead of two. But a tree writes again what it keeps, whenever something near it is deleted. So
// what is kept for longer is packed: the keeper writes the oldest of such loose events again, as
// frames. It begins before the engine would compact the tables that they are in, and merges them
// away there, so packing writes what the compaction does not.
const (
	// packAt are the bytes of loose events with which packing begins, packTo those with which it
	// ends.
	packAt, packTo = 128 << 20, 64 << 20
	// packBytes and packEvents bound one frame: the committer waits while it is written, and a search
	// steps over the deleted keys of its events until they are compacted.
	packBytes, packEvents = 256 << 10, 1024
	// packSmall is the largest frame that is packed with loose events between which it lies, if those
	// are a packShare of all.
	packSmall, packShare = 16 << 10, 4
	// packTime is the most that one look spends on it.
	packTime = 250 * time.Millisecond
)

// packer packs loose events. It is the keeper's.
type packer struct {
	*Store
	at, to int64 // packAt and packTo, but for a test
	begun  bool
	next   uint64 // the event at which it goes on
	buf    []byte
}

// loose counts the bytes of loose events that may be there. The committer adds to it.
type loose struct {
	bytes atomic.Int64
	// trims counts the transactions that have deleted events.
	trims atomic.Uint64
}

// run is what makes one frame: the last events of what is packed, and the bytes of them all, which
// are in the packer's memory.
type run struct {
	lasts        []uint64
	bytes, loose int
	more         bool // the log does not end with it
}

// pack packs for a while, if it is time to and there is room.
func (p *packer) pack(between func(run func() error) error) error {
	if !p.begun {
		p.begun = true
		p.loose.bytes.Add(p.treeBytes())
	}
	if p.loose.bytes.Load() < p.at || p.Usage().Short {
		return nil
	}
	for end := time.Now().Add(packTime); p.loose.bytes.Load() > p.to && time.Now().Before(end); {
		trims := p.loose.trims.Load()
		r, err := p.gather()
		if err != nil {
			return err
		}
		if !r.more {
			p.loose.bytes.Store(int64(r.loose)) // too few to be packed yet
			return nil
		}
		if len(r.lasts) > 1 && r.loose*packShare >= r.bytes {
			done := false
			err := between(func() (err error) {
				done, err = p.write(r, trims)
				return err
			})
			if err != nil || !done {
				return err
			}
		}
		p.next = r.lasts[len(r.lasts)-1] + 1
		p.loose.bytes.Add(-int64(r.loose))
	}
	return nil
}

// gather reads the next run of loose events and small frames.
func (p *packer) gather() (r run, err error) {
	look := p.Tree.Look().(frame.Look)
	defer look.Close()
	f := look.Frames()
	defer f.Close()
	p.buf = p.buf[:0]
	for last, ok := f.Seek(p.next); ok; last, ok = f.Next() {
		if len(r.lasts) == packEvents || r.bytes >= packBytes {
			r.more = true
			break
		}
		large := f.Length() >= packSmall
		value := []byte(nil)
		if !large {
			if value, err = f.Read(); err != nil {
				return r, err
			}
			_, damage := record.WholeInFrame(value, last)
			large = damage != nil // whoever reads it sets it aside
		}
		switch {
		case large && len(r.lasts) > 0:
			r.more = true
			return r, nil
		case large:
			p.next = last + 1
			continue
		}
		r.lasts = append(r.lasts, last)
		r.bytes += len(value)
		if len(value) < ValueBytesMin {
			r.loose += len(value)
		}
		p.buf = append(p.buf, value...)
	}
	return r, nil
}

// write makes a frame of a run; false: there is no room, or something was deleted since it was
// read. Only the committer may call it, between two groups.
func (p *packer) write(r run, trims uint64) (done bool, err error) {
	if r.bytes < ValueBytesMin {
		return true, nil
	}
	use := Use{Bytes: int64(len(r.lasts) * EntryRoomBytes), Values: int64(r.bytes + EntryRoomBytes)}
	if p.loose.trims.Load() != trims || p.Short(use, time.Now()) != nil {
		return false, nil
	}
	txn := p.Begin().(*Txn)
	defer txn.Discard()
	for _, last := range r.lasts[:len(r.lasts)-1] {
		key := record.LogKey(last)
		txn.count(len(key))
		if err := txn.txn.Delete(key); err != nil {
			return false, err
		}
	}
	if err := txn.set(badger.NewEntry(record.LogKey(r.lasts[len(r.lasts)-1]), p.buf)); err != nil {
		return false, err
	}
	return true, p.through.Do("commit", txn.Commit)
}
