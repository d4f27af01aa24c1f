package spool

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
)

// goldenSpools are spools that this version of the format wrote, packed, in the clear and encrypted
// with a key. They are never made again for the same version: every later hookspool must be able
// to drain them. To make those of a new version: HOOKSPOOL_GOLDEN=1 go test ./spool -run TestGolden
func goldenSpools() map[string][]byte {
	return map[string][]byte{
		"testdata/spool-v1.tar.gz":           nil,
		"testdata/spool-v1-encrypted.tar.gz": bytes.Repeat([]byte{7}, 32),
	}
}

// TestGoldenSpool unpacks the spool of each format there was, finds everything in it, and drains it.
func TestGoldenSpool(t *testing.T) {
	for path, key := range goldenSpools() {
		t.Run(filepath.Base(path), func(t *testing.T) { testGolden(t, path, key) })
	}
}

func testGolden(t *testing.T, path string, key []byte) {
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), secret: key}
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
	a, b := f.lane("a"), f.lane("b")
	f.counts(a, 4, 1)
	f.counts(b, 8, 0)
	if st := b.Standing(); st.FailedJobs != 101 || st.DefectiveSince.IsZero() {
		t.Errorf("the standing of b is %+v", st)
	}
	if owed, err := f.Notices(); err != nil || len(owed) != 1 || string(owed[0].Body) != "mail" {
		t.Errorf("the owed notices are %v, %v", owed, err)
	}
	if f.LastTick().Number != 3 {
		t.Errorf("the last tick is %+v", f.LastTick())
	}
	if value, err := f.get([]byte{record.PrefixState, 'k'}); err != nil || len(value) == 0 {
		t.Errorf("the session is gone: %v", err)
	}
	for _, d := range f.due(a, 99) {
		f.checkGolden(d.Event)
		f.settle(Settlement{Lane: a.id, Seq: d.Event.Seq, Verdict: Delivered})
	}
	for lane, n := range map[*Lane]int{a: 2, b: 8} {
		lane.Open(true)
		for _, e := range f.fetch(lane, n) {
			f.checkGolden(e)
			f.settle(Settlement{Lane: lane.id, Seq: e.Seq, Fresh: true, Verdict: Delivered})
		}
	}
	f.counts(a, 0, 1)
	f.counts(b, 0, 0)
}

func (f *fixture) checkGolden(e *record.Event) {
	f.t.Helper()
	want := fmt.Sprintf("payload %d", e.Seq-1)
	if e.Seq == 6 {
		want = "\xff\x00<"
	}
	if string(e.Payload()) != want || e.Type() != "counted" || len(e.Headers()) != 2 {
		f.t.Errorf("event %d is %q of type %q", e.Seq, e.Payload(), e.Type())
	}
}

func writeGolden(t *testing.T, path string, key []byte) {
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), secret: key}
	f.reopen()
	f.furnish()
	f.close()
	f.damage(func(txn *badger.Txn) error { // a session that does not expire
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
