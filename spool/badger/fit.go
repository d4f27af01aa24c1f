package badger

import (
	"errors"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// RideBytes bounds the records of lanes and the checkpoint that ride with a group.
const RideBytes = 64 << 10

func useOf(g engine.Group) Use {
	return Use{Bytes: RideBytes + g.Bytes + int64(g.Entries)*EntryRoomBytes, Rotates: g.Between}
}

// FitEvents is part of engine.Space. Admit asks the same, with older figures and more to spare.
func (s *Store) FitEvents(g engine.Group) error {
	free, err := s.Room.Look(time.Now())
	if err == nil && free < AppendBytes {
		s.Figures.Free.Store(free)
		return FullError(free, AppendBytes)
	}
	return nil
}

// Fit is part of engine.Space. Before the engine begins another log its directories must be in
// their place: it would make that in one that is somebody else's.
func (s *Store) Fit(g engine.Group) error {
	u := useOf(g)
	if err := s.Short(u, time.Now()); err != nil || !s.Room.Rotates(u) {
		return err
	}
	return s.moved(s.Premises.left())
}

// Yield is part of engine.Space: it throws the ballast off. That is bytes: no help where inodes or
// descriptors are missing.
func (s *Store) Yield(reason error) bool {
	var errno syscall.Errno
	other := errors.As(reason, &errno) && errno != syscall.ENOSPC && errno != syscall.EDQUOT
	if other || errors.Is(reason, engine.ErrNoInodes) {
		return false
	}
	thrown, err := s.Ballast.ThrowOff()
	if err != nil {
		s.Log.Error("the spool goes on without its ballast", "error", err)
	}
	if thrown {
		s.Log.Warn("the disk is full; the ballast was thrown off to go on settling", "reason", reason)
	}
	return thrown
}

// roomToClose says whether the engine can be closed, without the ballast if need be.
func (s *Store) roomToClose() error {
	for {
		err := s.ShortToClose()
		if err == nil || !s.Yield(err) {
			return err
		}
	}
}
