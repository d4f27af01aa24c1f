package volume

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Zeros are written where nothing was, and nowhere else; the file keeps its length.
func TestZero(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 1 << 20
	text := bytes.Repeat([]byte("x"), 8192)
	_, err = f.WriteAt(text, 64<<10)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := func(from int64) int64 { // with something in it
		at, _ := f.Seek(from, 3) // SEEK_DATA
		return at
	}
	try := func(from, to int64) {
		t.Helper()
		if err := Zero(f, from, to, make([]byte, 10_000)); err != nil {
			t.Errorf("%d to %d: %v", from, to, err)
		}
	}
	try(0, 4096)            // before something
	try(64<<10, 128<<10)    // over it
	try(size, size+(4<<10)) // after the end
	try(size-4096, size+1)
	got := make([]byte, len(text))
	if _, err := f.ReadAt(got, 64<<10); err != nil || !bytes.Equal(got, text) {
		t.Errorf("what was written has changed: %v", err)
	}
	if at := first(0); at != 64<<10 {
		t.Errorf("something is at %d now", at)
	}
	if at := first(72 << 10); at != 0 {
		t.Errorf("something is at %d now, after what was written", at)
	}
	try(128<<10, 800<<10)
	if at := first(72 << 10); at != 128<<10 {
		t.Errorf("zeros begin at %d", at)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		t.Errorf("the file has %d bytes now: %v", info.Size(), err)
	}
}
