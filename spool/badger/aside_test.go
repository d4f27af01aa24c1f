package badger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// brokenOff is a content of which the second half is never read.
type brokenOff struct {
	*bytes.Reader
	half int64
	then func() error
}

func (b *brokenOff) ReadAt(p []byte, at int64) (int, error) {
	if at >= b.half {
		return 0, b.then()
	}
	return b.Reader.ReadAt(p[:min(int64(len(p)), b.half-at)], at)
}

// Whatever a copy of an original is broken off by, the next start leaves nothing of it, and the
// whole one has its name.
func TestKeepBrokenOff(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("original"), copyBytes/4)
	kill := func() error { panic("killed") }
	for name, then := range map[string]func() error{
		"kill":  kill,
		"error": func() error { return os.ErrDeadlineExceeded },
	} {
		dir, _ := valueSpool(t, "")
		f := atRestFiles(dir, "")
		half := &brokenOff{bytes.NewReader(content), copyBytes, then}
		func() {
			defer func() { _ = recover() }()
			if _, err := f.keep("000001.vlog", half, int64(len(content))); err == nil {
				t.Errorf("%s: half of it is kept", name)
			}
		}()
		if err := f.Precheck(valueOptions(dir, "", nil)); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, AsideDir, "*")); len(left) > 0 {
			t.Errorf("%s: a start leaves %q", name, left)
		}
		kept, err := f.keepOriginal("000001.vlog", content)
		if err != nil {
			t.Fatal(err)
		}
		there, _ := filepath.Glob(filepath.Join(dir, AsideDir, "*"))
		if len(there) != 1 || there[0] != kept || filepath.Base(kept) != "000001.vlog" {
			t.Errorf("%s: it is kept in %q; there are %q", name, kept, there)
		}
		if got, err := os.ReadFile(kept); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes are kept, %v; want %d", name, len(got), err, len(content))
		}
	}
}
