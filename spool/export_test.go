package spool

import (
	"errors"
	"testing"
)

// What tests outside of the package do to a spool: see spooltest_test.go.

// CrashTo copies the files of an open spool as a kill would leave them, and closes it.
func CrashTo(t testing.TB, s *Spool, dir string) {
	// A failed spool writes nothing more, so that the copy is of one instant.
	_ = s.fail(errors.New("the test crashes it"))
	_ = s.Apply(Change{})
	copyOfOneInstant(t, s.dir, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// SetSeam puts a test between a spool and its disk.
func SetSeam(o *Options, through func(call string, do func() error) error) { o.seam = through }
