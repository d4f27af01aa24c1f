package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Tally is what the caller counted in a stretch of time, in a form of its own; see record.TallyKey.
// It replaces the one before, and may be forgotten after Keep.
type Tally struct {
	// Lane is what it is about, or SpoolItself. By is the relay that counted it, where several share
	// the spool: each has tallies of its own. Empty: there is only one.
	Lane record.LaneID
	Slot uint8
	Hour uint64
	By   string
	Body []byte
	Keep time.Duration
}

// ID is the number by which records name the lane; SpoolItself for nil.
func (l *Lane) ID() record.LaneID {
	if l == nil {
		return record.SpoolItself
	}
	return l.id
}

// isGone reports whether a lane was forgotten; the spool itself never is.
func isGone(s *Spool, id record.LaneID) bool {
	return id != record.SpoolItself && s.LaneByID(id) == nil
}

// planWords writes what is owed to the operator, or is not any more, and what is known of it.
func (g *group) planWords(c *Change) {
	for _, n := range c.Owe {
		if !g.guards.writes(n.Lane) {
			continue
		}
		g.put(record.NoticeKey(n.Lane, n.Episode, n.Way), record.EncodeWord(n.Body), 0)
	}
	for _, n := range c.Paid {
		if !isGone(g.s, n.Lane) && !g.guards.writes(n.Lane) {
			continue
		}
		g.delete(record.NoticeKey(n.Lane, n.Episode, n.Way))
	}
	for _, m := range c.Memos {
		if !g.guards.writes(m.Lane) {
			continue
		}
		key := record.LaneKey(record.PrefixMemo, m.Lane)
		if len(m.Body) == 0 {
			g.delete(key)
		} else {
			g.put(key, record.EncodeWord(m.Body), 0)
		}
	}
}

// planTallies writes what the caller counted. With the relay in their keys no two write the same,
// so each may write what it has counted of a lane that is another one's by now.
func planTallies(g *group, c *Change) {
	for i := range c.Tallies {
		t := &c.Tallies[i]
		own := t.Lane == record.SpoolItself || t.By != "" && !isGone(g.s, t.Lane)
		if own || g.guards.writes(t.Lane) {
			g.put(record.TallyKey(t.Lane, t.Slot, t.Hour, t.By), record.EncodeWord(t.Body), t.Keep)
		}
	}
}

// actionTTL is how long it is told what an operator did.
const actionTTL = 90 * 24 * time.Hour

// Action is what an operator did, in a form of the caller's. At and Run are its key: whoever stores
// it again replaces it.
type Action struct {
	At   time.Time
	Run  uint64
	Body []byte
}

// planActions stores what operators did, or removes it.
func planActions(g *group, actions []Action) {
	for i := range actions {
		a := &actions[i]
		key := record.ActionKey(a.At, a.Run)
		if len(a.Body) == 0 {
			g.delete(key)
			continue
		}
		left := actionTTL - g.s.now().Sub(a.At)
		g.put(key, record.EncodeWord(a.Body), min(max(left, time.Hour), actionTTL))
	}
}

// Notices are all owed notices: those of the spool itself, then oldest first per lane.
func (s *Spool) Notices() ([]Notice, error) {
	var out []Notice
	err := s.scan([]byte{record.PrefixNotice}, nil, func(key, value []byte) (bool, error) {
		body, err := record.DecodeWord(value)
		if err == nil {
			err = record.KindOf(key).Fits(key)
		}
		if err != nil {
			s.log.Error("cannot read an owed notice; it stays", "error", err)
			return true, nil
		}
		n := Notice{Lane: record.KeyLane(key), Body: body}
		n.Episode, n.Way = record.KeyNotice(key)
		if !isGone(s, n.Lane) {
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
func (s *Spool) Memo(l record.LaneID) ([]byte, error) {
	value, err := s.get(record.LaneKey(record.PrefixMemo, l))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	var body []byte
	if err == nil {
		body, err = record.DecodeWord(value)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a memo: %w", err)
	}
	return body, nil
}
