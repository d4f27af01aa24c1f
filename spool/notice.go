package spool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// spoolLane stands in keys for the spool itself: lanes are numbered from 1.
const spoolLane = 0

// noticeBytes is the length of a notice's key; one for a way of its own has a byte more. The first
// way has none, as it was when there was only one.
const noticeBytes = 13

func noticeKey(n Notice) []byte {
	k := laneSeqKey(prefixNotice, n.Lane.number(), n.Episode)
	if n.Way > 0 {
		k = append(k, n.Way)
	}
	return k
}

// number is the lane in a key, of a lane or of the spool itself.
func (l *Lane) number() uint32 {
	if l == nil {
		return spoolLane
	}
	return l.id
}

// isGone reports whether a lane was forgotten; the spool itself never is.
func (l *Lane) isGone() bool { return l != nil && l.gone.Load() }

// planWords writes what is owed to the operator, or is not any more, and what is known of it.
func (g *group) planWords(c *Change) {
	sealed := func(body []byte) []byte {
		e := newEncoder(len(body))
		e.bytes(body)
		return e.seal()
	}
	for _, n := range c.Owe {
		if n.Lane.isGone() {
			continue
		}
		g.put(badger.NewEntry(noticeKey(n), sealed(n.Body)))
	}
	for _, n := range c.Paid {
		g.delete(noticeKey(n))
	}
	for _, m := range c.Memos {
		if m.Lane.isGone() {
			continue
		}
		key := laneKey(prefixMemo, m.Lane.number())
		// One from before is hidden, not deleted: that would be a key before the log's as well.
		if len(m.Body) == 0 && !g.has(laneKey(prefixMemoOnce, m.Lane.number())) {
			g.delete(key)
		} else {
			g.put(badger.NewEntry(key, sealed(m.Body)))
		}
	}
}

// Notices are all owed notices: those of the spool itself, then oldest first per lane.
func (s *Spool) Notices() ([]Notice, error) {
	var out []Notice
	err := s.scan([]byte{prefixNotice}, nil, func(key, value []byte) (bool, error) {
		d, err := openValue(value)
		if err == nil {
			err = kindOf(key).fits(key)
		}
		if err != nil {
			s.log.Error("cannot read an owed notice; it stays", "error", err)
			return true, nil
		}
		n := Notice{Lane: s.laneByID(keyLane(key)), Episode: binary.BigEndian.Uint64(key[5:]),
			Body: d.bytes()}
		if len(key) > noticeBytes {
			n.Way = key[noticeBytes]
		}
		if n.Lane != nil || keyLane(key) == spoolLane {
			out = append(out, n)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read owed notices: %w", err)
	}
	return out, nil
}

// Memo is the memo of a lane, or of the spool itself for nil; nil if there is none. It reads from
// the disk.
func (s *Spool) Memo(l *Lane) ([]byte, error) {
	value, err := s.get(laneKey(prefixMemo, l.number()))
	if errors.Is(err, badger.ErrKeyNotFound) {
		value, err = s.get(laneKey(prefixMemoOnce, l.number()))
	}
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	var d *decoder
	if err == nil {
		d, err = openValue(value)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a memo: %w", err)
	}
	body := d.bytes()
	if len(body) == 0 {
		body = nil
	}
	return body, d.err
}
