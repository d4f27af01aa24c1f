//go:build !linux

package volume

import (
	"fmt"
	"os"
)

// WriteInPlace makes a directory whose files are written in place; only Linux is asked for that.
func WriteInPlace(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make %q: %w", dir, err)
	}
	return nil
}

// Copies says which file system copies what is written into the files of a directory; empty: none
// that is known to.
func Copies(string) string { return "" }
