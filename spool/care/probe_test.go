package care_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

// TestProbe asserts that Probe agrees with Open about directory, lock and key, and leaves no trace.
func TestProbe(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	key := bytes.Repeat([]byte{7}, 32)
	o := spool.Options{Dir: at("locked"), EncryptionKey: key, Log: slog.New(slog.DiscardHandler),
		Decide: func(*spool.View, *spool.Draft) {}}
	s, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	f := func(dir string, key []byte, want error) {
		t.Helper()
		before := treeOf(t, top)
		if err := care.Probe(dir, key); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("Probe(%q): %v, want %v", dir, err, want)
		}
		if after := treeOf(t, top); !slices.Equal(before, after) {
			t.Errorf("Probe(%q) left a trace: %v, then %v", dir, before, after)
		}
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("locked"), at("link")); err != nil {
		t.Fatal(err)
	}
	f(at("locked"), key, spool.ErrInUse)
	f(at("locked"), nil, spool.ErrInUse)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f(at("locked"), key, nil)
	f(at("locked"), key[:16], spool.ErrWrongKey)
	f(at("locked"), nil, spool.ErrWrongKey)
	f(at("link"), key, spool.ErrDirectory)
	f(at("file"), nil, spool.ErrDirectory)
	f(at("file/below"), nil, syscall.ENOTDIR)
	f(at("new/and/deep"), nil, nil)
}

// treeOf lists everything below a directory with its size.
func treeOf(t *testing.T, top string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out = append(out, info.ModTime().String()+" "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
