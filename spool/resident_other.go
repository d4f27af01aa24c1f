//go:build !linux

package spool

// trimMapped does nothing where the kernel cannot be asked to let go of pages.
func (t *tree) trimMapped(int64) error { return nil }

func (t *tree) holdMaps() (release func()) { return func() {} }
