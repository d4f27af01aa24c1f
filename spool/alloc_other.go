//go:build !linux

package spool

import (
	"errors"
	"os"
)

// errCannotAllocate: the file system cannot allocate blocks ahead.
var errCannotAllocate = errors.New("the file system cannot allocate blocks ahead")

// allocate would give a file the blocks of a range; only Linux has one call for it.
func allocate(*os.File, int64, int64) error { return errCannotAllocate }
