package spool

import (
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// migration brings a spool from one version of the format to the next. It may be cut off by a crash
// and is then run again from its beginning, so doing it twice must be the same as doing it once.
// The record of the format itself keeps its layout for ever (version, id, former ids), and so does
// the spool's identity.
type migration struct {
	from uint64
	do   func(s *Spool) error
}

// migrations are all there are, oldest first. From 1 to 2 nothing moves: what lies in the tree goes
// with the sweep, and is read meanwhile as what is in the value log.
func migrations() []migration {
	return []migration{{from: 1, do: func(*Spool) error { return nil }}}
}

// migrate runs the steps between what is on disk and a version. The new version is stored after
// each step, so that a crash repeats one at most. A newer spool never comes here: decodeFormat
// refuses it, because nothing that it says can be trusted to mean what it meant.
func (s *Spool) migrate(f record.Format, to uint64, steps []migration) (record.Format, error) {
	for f.Version < to {
		at := f.Version
		for _, step := range steps {
			if step.from != at {
				continue
			}
			s.log.Info("bringing the spool to the next version of its format", "from", at,
				"to", at+1)
			if err := step.do(s); err != nil {
				return f, fmt.Errorf("cannot bring its format from %d to %d: %w", at, at+1, err)
			}
			f.Version = at + 1
			if err := s.storeFormat(f); err != nil {
				return f, fmt.Errorf("cannot store its format: %w", err)
			}
			break
		}
		if f.Version == at {
			return f, fmt.Errorf("%w: got %d, and this hookspool has no way from there to %d",
				record.ErrOldFormat, at, to)
		}
	}
	return f, nil
}

func (s *Spool) storeFormat(f record.Format) error {
	return s.update(func(txn engine.Txn) error {
		return txn.Put(record.MetaKey(record.MetaFormat), f.Encode(), 0)
	})
}
