package atrest

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// written is where the next bytes are that were written, from at on: none are left where begin is
// end.
func written(f *os.File, at int64) (begin, end int64, err error) {
	if begin, err = f.Seek(at, unix.SEEK_DATA); err == nil {
		end, err = f.Seek(begin, unix.SEEK_HOLE)
	}
	if errors.Is(err, unix.ENXIO) {
		return at, at, nil
	}
	return begin, end, err
}
