//go:build !linux

package badger

// TrimMapped does nothing where the kernel cannot be asked to let go of pages.
func (t *Tree) TrimMapped(int64) error { return nil }

func adviseStores(string) {}

func adviseReads(string) {}

func (t *Tree) holdMaps() (release func()) { return func() {} }

func adviseGone(string) {}
