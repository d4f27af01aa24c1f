package atrest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
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

// A copy of files that somebody writes into counts only if nothing was written meanwhile.
func TestKilled(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	stop, stopped := make(chan struct{}), make(chan error)
	write := func(n byte) error {
		return errors.Join(os.WriteFile(filepath.Join(from, "a"), []byte{n}, 0o600),
			os.WriteFile(filepath.Join(from, "b"), []byte{n}, 0o600))
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	go func() {
		var err error
		for n := byte(1); err == nil; n++ {
			err = write(n)
			select {
			case <-stop:
				stopped <- err
				return
			case <-time.After(time.Millisecond):
			}
		}
		stopped <- err
	}()
	Killed(t, from, to)
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(filepath.Join(to, "a"))
	b, errB := os.ReadFile(filepath.Join(to, "b"))
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	// Both were written one after the other, so that a kill may come between them.
	if len(a) > 1 || len(b) > 1 || len(a) == 1 && len(b) == 1 && a[0]-b[0] > 1 {
		t.Errorf("the copy is of two instants: %d, %d", a, b)
	}
}
