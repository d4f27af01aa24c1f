package highwater

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/spool/engine"
)

// A mark is what was written last, for whoever opens it again and for whoever only reads it.
func TestMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mark that is not there: %v", err)
	}
	for want := range uint64(3) { // 0 is a file that was made
		m, err := Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Last() != max(want, 1)-1 || m.Damaged() || m.Latency() != 0 {
			t.Errorf("opened at %d, damaged %v, latency %v", m.Last(), m.Damaged(), m.Latency())
		}
		if err := m.Write(want); err != nil || m.Last() != want || (m.Latency() > 0) != (want > 0) {
			t.Errorf("wrote %d: %v, last %d, latency %v", want, err, m.Last(), m.Latency())
		}
		if seq, err := Read(dir); err != nil || seq != want {
			t.Errorf("read %d, %v; want %d", seq, err, want)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What nobody can believe counts as 0, is told, and is written again; each of the file's bytes counts.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if err := Write(dir, 7); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[at] ^= 4
		for _, text := range [][]byte{flipped, whole[:max(at, 1)]} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if seq, err := Read(dir); err == nil || seq != 0 {
				t.Errorf("% x is read as %d, %v", text, seq, err)
			}
			m, err := Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Damaged() || m.Last() != 0 {
				t.Errorf("% x is opened as %d, damaged %v", text, m.Last(), m.Damaged())
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Raise(dir, 3); err != nil {
		t.Fatal(err)
	}
	if seq, err := Read(dir); err != nil || seq != 3 {
		t.Errorf("a damaged mark was raised to %d, %v; want 3", seq, err)
	}
}

// A mark is raised and never lowered, and one that the system hides for a moment is not replaced.
func TestRaise(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := func(to, want uint64) {
		t.Helper()
		if err := Raise(dir, to); err != nil {
			t.Fatal(err)
		}
		if seq, err := Read(dir); err != nil || seq != want {
			t.Errorf("raised to %d it is %d, %v; want %d", to, seq, err, want)
		}
	}
	f(5, 5)
	f(3, 5)
	f(9, 9)
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Name), 0o700); err != nil { // reading it is EISDIR
		t.Fatal(err)
	}
	err := Raise(dir, 1)
	if !errors.Is(err, syscall.EISDIR) || !strings.Contains(err.Error(), "cannot read") {
		t.Errorf("the mark was written again: %v", err)
	}
}

// A write or a sync that fails leaves the mark at what is sure to be on disk.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"write highwater", "sync highwater"} {
		var through engine.Seam = func(c string, do func() error) error {
			if c == call {
				return syscall.EIO
			}
			return do()
		}
		m, err := Open(t.TempDir(), through)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Write(4); !errors.Is(err, syscall.EIO) || m.Last() != 0 {
			t.Errorf("%s: %v, and the mark is %d", call, err, m.Last())
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
