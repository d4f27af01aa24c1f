//go:build !linux

package volume

import (
	"errors"
	"os"
)

// ErrCannotAllocate: the file system cannot allocate blocks ahead.
var ErrCannotAllocate = errors.New("the file system cannot allocate blocks ahead")

// Allocate would give a file the blocks of a range; only Linux has one call for it.
func Allocate(*os.File, int64, int64) error { return ErrCannotAllocate }

// Zero would write zeros over a range of a file into which nothing was written yet; only Linux is
// asked for that.
func Zero(*os.File, int64, int64, []byte) error { return nil }
