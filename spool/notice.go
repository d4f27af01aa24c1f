package spool

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// ID is the number by which records name the lane; SpoolItself for nil.
func (l *Lane) ID() LaneID {
	if l == nil {
		return SpoolItself
	}
	return l.id
}

// isGone reports whether a lane was forgotten; the spool itself never is.
func (s *Spool) isGone(id LaneID) bool { return id != SpoolItself && s.LaneByID(id) == nil }

// planWords writes what is owed to the operator, or is not any more, and what is known of it.
func (g *group) planWords(c *Change) {
	for _, n := range c.Owe {
		if g.s.isGone(n.Lane) {
			continue
		}
		g.put(badger.NewEntry(noticeKey(n.Lane, n.Episode, n.Way), encodeWord(n.Body)))
	}
	for _, n := range c.Paid {
		g.delete(noticeKey(n.Lane, n.Episode, n.Way))
	}
	for _, m := range c.Memos {
		if g.s.isGone(m.Lane) {
			continue
		}
		key := laneKey(prefixMemo, m.Lane)
		// One from before is hidden, not deleted: that would be a key before the log's as well.
		if len(m.Body) == 0 && !g.has(laneKey(prefixMemoOnce, m.Lane)) {
			g.delete(key)
		} else {
			g.put(badger.NewEntry(key, encodeWord(m.Body)))
		}
	}
}

// Notices are all owed notices: those of the spool itself, then oldest first per lane.
func (s *Spool) Notices() ([]Notice, error) {
	var out []Notice
	err := s.scan([]byte{prefixNotice}, nil, func(key, value []byte) (bool, error) {
		body, err := decodeWord(value)
		if err == nil {
			err = kindOf(key).fits(key)
		}
		if err != nil {
			s.log.Error("cannot read an owed notice; it stays", "error", err)
			return true, nil
		}
		n := Notice{Lane: keyLane(key), Body: body}
		n.Episode, n.Way = keyNotice(key)
		if !s.isGone(n.Lane) {
			out = append(out, n)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read owed notices: %w", err)
	}
	return out, nil
}

// Memo is the memo of a lane, or of the spool itself; nil if there is none. It reads from
// the disk.
func (s *Spool) Memo(l LaneID) ([]byte, error) {
	value, err := s.get(laneKey(prefixMemo, l))
	if errors.Is(err, badger.ErrKeyNotFound) {
		value, err = s.get(laneKey(prefixMemoOnce, l))
	}
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	var body []byte
	if err == nil {
		body, err = decodeWord(value)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a memo: %w", err)
	}
	if len(body) == 0 {
		body = nil
	}
	return body, nil
}
