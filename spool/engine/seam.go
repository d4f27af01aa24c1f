package engine

// Seam is where a spool depends on the disk: every call that writes, syncs, opens or closes goes
// through it, so that a test can make the n-th one fail, before or after it did its work. Nil: the
// call is just made.
//
// Calls: "open engine", "close engine", "commit" (write and sync of one Badger transaction),
// "flush", "flatten", "collect" (one file of the value log), "open highwater", "write highwater",
// "sync highwater", "repair" (a file is written and synced, renamed or removed, at a start; or a
// value log is mended).
type Seam func(call string, do func() error) error

// Do makes a call, through the seam if there is one.
func (s Seam) Do(call string, do func() error) error {
	if s == nil {
		return do()
	}
	return s(call, do)
}
