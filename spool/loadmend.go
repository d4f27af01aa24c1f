package spool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// A block of a table that is damaged costs the records in it. Those that a start reads whole must
// not keep it from starting: what they say is counted again from the others, or is the least that
// harms nobody.

// mendSmall makes good for the records of a start that cannot be read: those of lanes, their names
// and the checkpoint are counted again, standings begin again, and the tick is taken from what
// waits for one.
func (s *Spool) mendSmall() error {
	unread, err := s.unreadSmall()
	if err != nil {
		return err
	}
	for _, key := range unread {
		switch {
		case key[0] == record.PrefixStanding:
			s.log.Error("cannot read the standing of a target; it counts its failed jobs from 0, and is "+
				"not held by hand any more", "target", s.nameOf(record.KeyLane(key)))
			err = s.store(key, record.Standing{}.Encode())
		case string(key) == string(record.MetaKey(record.MetaTick)):
			err = s.mendTick()
		default:
			s.log.Error("cannot read a record of the spool; everything is counted again", "record",
				fmt.Sprintf("%q", key))
			err = s.mendCounted(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mendCounted leaves a record that recount makes again. A name is for recount to judge: without one
// deliveries would be owed to nobody.
func (s *Spool) mendCounted(key []byte) error {
	if err := s.WantRecount(); err != nil || key[0] == record.PrefixName {
		return err
	}
	return s.update(func(txn engine.Txn) error { return txn.Delete(key) })
}

// unreadSmall are the keys of the records that a start reads and that cannot be read.
func (s *Spool) unreadSmall() (unread [][]byte, err error) {
	look := func(key, value []byte) (bool, error) {
		if record.Check(key, value) != nil {
			unread = append(unread, slices.Clone(key))
		}
		return true, nil
	}
	for _, prefix := range [][]byte{{record.PrefixName}, {record.PrefixLane}, {record.PrefixStanding},
		record.MetaKey(record.MetaTick),
		record.MetaKey(record.MetaCheckpoint)} {
		err = errors.Join(err, s.scan(prefix, nil, look))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the spool's own records: %w", err)
	}
	return unread, nil
}

// mendTick makes a tick from which everything that waits for one is due at the next: an attempt too
// early is better than none for as long as ticks were counted before.
func (s *Spool) mendTick() error {
	number := uint64(0)
	err := s.scan([]byte{record.PrefixException}, nil, func(_, value []byte) (bool, error) {
		if x, err := record.DecodeException(value); err == nil {
			number = max(number, x.Due)
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("cannot read what waits for a tick: %w", err)
	}
	s.log.Error("cannot read the last tick; what waits for one is due at the next", "number", number)
	return s.store(record.MetaKey(record.MetaTick), record.Tick{Number: number}.Encode())
}

func (s *Spool) store(key, value []byte) error {
	return s.update(func(txn engine.Txn) error { return txn.Put(key, value, 0) })
}

// nameOf is a lane's name before the lanes are loaded; its number if that cannot be read.
func (s *Spool) nameOf(lane record.LaneID) string {
	if value, err := s.get(record.LaneKey(record.PrefixName, lane)); err == nil {
		if name, err := record.DecodeName(value); err == nil {
			return name
		}
	}
	return fmt.Sprint(lane)
}
