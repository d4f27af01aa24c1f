package atrest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Holes stay holes, and what lies between and after them is copied.
func TestCopyOfHoles(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	f := func(name string, size int64, at ...int64) {
		t.Helper()
		file, err := os.Create(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range at {
			if _, err := file.WriteAt([]byte("event"), at); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f("empty", 0)
	f("hole", 1<<20)
	f("full", 5, 0)
	f("between", 4<<20, 0, 1<<20, 3<<20)
	f("last", 2<<20, 2<<20-5)
	Copy(t, from, to)
	for _, name := range []string{"empty", "hole", "full", "between", "last"} {
		want, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes that differ from the %d there were (%v)", name, len(got), len(want), err)
		}
	}
}
