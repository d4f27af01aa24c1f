// Package atrest is what tests do with the files of a spool that nobody has open.
package atrest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hookspool/hookspool/spool/badger/mend"
)

// Copy copies a spool without writing the zeros at the ends of its files, tens of MiB.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name = filepath.Join(to, name)
		if err := os.WriteFile(name, mend.TrimZeros(text), 0o600); err != nil {
			return err
		}
		return os.Truncate(name, int64(len(text)))
	})
	if err != nil {
		t.Fatal(err)
	}
}
