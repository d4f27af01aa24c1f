//go:build !linux

package spool

// trimMapped does nothing where the kernel cannot be asked to let go of pages.
func (s *Spool) trimMapped(int64) error { return nil }

func (s *Spool) holdMaps() (release func()) { return func() {} }
