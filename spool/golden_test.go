package spool

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
)

// goldenSpools are those that a version of the format wrote, packed, by the names of their files,
// with their keys. None is ever made again for the same version: every later hookspool must be able
// to drain it. To make those of a new version:
// HOOKSPOOL_GOLDEN=1 go test ./spool -run TestGoldenSpool/v4
func goldenSpools() map[string][]byte {
	return map[string][]byte{"v3": nil, "v3-encrypted": bytes.Repeat([]byte{7}, 32)}
}

// TestGoldenSpool unpacks the spool of each format there was, finds everything in it, and drains it.
func TestGoldenSpool(t *testing.T) {
	for name, key := range goldenSpools() {
		t.Run(name, func(t *testing.T) {
			path := "testdata/spool-" + name + ".tar.gz"
			f := newGolden(t, key)
			if os.Getenv("HOOKSPOOL_GOLDEN") != "" {
				writeGolden(t, path, key)
			}
			unpack(t, path, f.dir)
			r, err := care.Verify(context.Background(), f.readerOptions(), nil)
			if err != nil || r.FaultCount > 0 {
				t.Fatalf("%v, faults %q", err, r.Faults)
			}
			f.reopen()
			defer f.Close()
			f.checkRest()
			if n := f.LastTick().Number; n != 1 {
				t.Errorf("the last tick is number %d; want 1", n)
			}
			f.drainFrames()
		})
	}
}

func newGolden(t *testing.T, key []byte) *fixture {
	return &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
		secret: key}
}

// checkRest wants what furnishing leaves beside the events of lane b.
func (f *fixture) checkRest() {
	f.t.Helper()
	if st := f.lane("b").Standing(); st.FailedJobs != 101 || st.DefectiveSince.IsZero() {
		f.t.Errorf("the standing of b is %+v", st)
	}
	if owed, err := f.Notices(); err != nil || len(owed) != 1 || string(owed[0].Body) != "mail" {
		f.t.Errorf("the owed notices are %v, %v", owed, err)
	}
	if value, err := f.get([]byte{record.PrefixState, 'k'}); err != nil || len(value) == 0 {
		f.t.Errorf("the session is gone: %v", err)
	}
}

func writeGolden(t *testing.T, path string, key []byte) {
	f := newGolden(t, key)
	f.window = 100 * 365 * 24 * time.Hour // the engine forgets ids by the clock of the day they are read
	f.reopen()
	f.furnishFrames()
	f.close()
	f.damage(func(txn *badger.Txn) error { // a session that does not expire
		if key := expiring(txn, record.IDKey("")); key != nil {
			t.Fatalf("%q expires", key)
		}
		e := record.NewEncoder(8)
		e.String("session")
		return txn.Set([]byte{record.PrefixState, 'k'}, e.Seal())
	})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// expiring is a record that will be gone when somebody reads the spool, years from now.
func expiring(txn *badger.Txn, prefix []byte) []byte {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		until := time.Unix(int64(it.Item().ExpiresAt()), 0)
		if it.Item().ExpiresAt() > 0 && time.Until(until) < 50*365*24*time.Hour {
			return it.Item().KeyCopy(nil)
		}
	}
	return nil
}

func unpack(t *testing.T, from, dir string) {
	t.Helper()
	file, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
