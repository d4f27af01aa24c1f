package spool

// seam is where the spool depends on the disk: every call that writes, syncs, opens or closes goes
// through it, so that a test can make the n-th one fail, before or after it did its work. Nil: the
// call is just made.
//
// Calls: "open engine", "close engine", "commit" (write and sync of one Badger transaction),
// "flush", "flatten", "open highwater", "write highwater", "sync highwater", "repair" (a file is
// written and synced, renamed or removed, at a start).
type seam func(call string, do func() error) error

func (s *Spool) through(call string, do func() error) error {
	if s.seam == nil {
		return do()
	}
	return s.seam(call, do)
}
