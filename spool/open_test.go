package spool

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestOpenSpeaksForItself asserts that a wrong key and a spool in use are told in our words, once:
// no text of the engine, and nothing in the log above debug.
func TestOpenSpeaksForItself(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := Options{Dir: t.TempDir(), EncryptionKey: bytes.Repeat([]byte{7}, 32),
		Log: slog.New(slog.NewTextHandler(&log, nil)), Decide: func(*View, *Draft) {}}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	f := func(want error) {
		t.Helper()
		log.Reset()
		_, err := Open(o)
		if !errors.Is(err, want) || !strings.HasSuffix(err.Error(), ": "+want.Error()) {
			t.Errorf("Open says %q, want …%q", err, want)
		}
		if log.Len() > 0 {
			t.Errorf("%q is logged as well as returned", log.String())
		}
	}
	f(ErrInUse)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.EncryptionKey = nil
	f(ErrWrongKey)
}
