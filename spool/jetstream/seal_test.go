package jetstream

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	cluster "github.com/hookspool/hookspool/testenv/nats"
)

// What is closed is opened again by whoever has the key, and by nobody else, and only in its place.
func TestSealer(t *testing.T) {
	key := []byte("0123456789abcdef")
	one, other, wrong := mustSealer(t, key), mustSealer(t, key), mustSealer(t, key[1:])
	f := func(below, data string) {
		t.Helper()
		shown, sealed := one.wrap(below, []byte(data))
		again, twice := other.wrap(below, []byte(data))
		if shown != again || bytes.Equal(sealed, twice) {
			t.Errorf("%s: subjects %q and %q, or the same bytes twice", below, shown, again)
		}
		got, text, err := other.unwrap(shown, sealed)
		if err != nil || got != below || string(text) != data {
			t.Errorf("%s: %q, %q, %v", below, got, text, err)
		}
		if _, _, err := wrong.unwrap(shown, sealed); !errors.Is(err, errSeal) {
			t.Errorf("%s opens with a wrong key: %v", below, err)
		}
		if _, _, err := one.unwrap(packSubject+"x", sealed); err != nil {
			t.Errorf("a subject that is not sealed is read: %v", err)
		}
		if _, _, err := one.unwrap(keyed([]byte("elsewhere")), sealed); !errors.Is(err, errSeal) {
			t.Errorf("%s opens in another place: %v", below, err)
		}
		for _, short := range [][]byte{nil, sealed[:saltBytes], sealed[:len(sealed)-1]} {
			if _, _, err := one.unwrap(shown, short); !errors.Is(err, errSeal) {
				t.Errorf("%s opens without its end: %v", below, err)
			}
		}
	}
	f(eventSubject, "frame")
	f(packSubject, "")
	f(keyed([]byte("key")), "value")
	f(keyed([]byte("key")), "")
	if shown, data := one.wrap(headSubject, nil); shown != headSubject || data != nil {
		t.Errorf("the head is sealed: %q %q", shown, data)
	}
}

func mustSealer(t *testing.T, key []byte) *sealer {
	t.Helper()
	if len(key) < 16 {
		key = append([]byte("x"), key...)
	}
	s, err := newSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSealed asserts that servers have nothing that can be read of what a relay with a key gives
// them, that another relay with the key reads it, and that a wrong one is told at once, as is none.
func TestSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := cluster.StartInProcess(t, cluster.Options{Nodes: 1, Dir: dir})
	key := []byte("0123456789abcdef")
	secrets := []string{"payload-8471", "conversation-8471", "state-8471", "id-8471"}
	try := func(name string, key []byte, use func(*Engine)) error {
		t.Helper()
		o := Options{URL: c.URL(), Name: name, Relay: "a", Replicas: 1, AcceptUnsafe: true, Key: key,
			Log: slog.New(slog.DiscardHandler), OpenMax: 20 * time.Second}
		o.Replica = replicaIn(t.TempDir())
		_, probed := Probe(t.Context(), o)
		e, err := Open(o)
		if errors.Is(err, engine.ErrWrongKey) != errors.Is(probed, engine.ErrWrongKey) {
			t.Errorf("opening: %v; a probe: %v", err, probed)
		}
		if err != nil {
			return err
		}
		if use != nil {
			use(e)
		}
		return e.Close()
	}
	stateKey := append([]byte{record.PrefixState}, secrets[1]...)
	idKey := append([]byte{record.PrefixID}, secrets[3]...)
	if err := try("sealed", key, func(e *Engine) {
		txn := e.Begin()
		err := errors.Join(txn.Put(stateKey, []byte(secrets[2]), 0),
			txn.Put(idKey, []byte(secrets[2]), time.Hour), txn.Append(1, event1(t, secrets[0]), nil),
			txn.Commit())
		if err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := try("sealed", key, func(e *Engine) {
		for _, k := range [][]byte{stateKey, idKey} {
			if got, err := e.Get(k); string(got) != secrets[2] {
				t.Errorf("%q is %q, %v", k, got, err)
			}
		}
		if got, err := e.Get(record.LogKey(1)); !bytes.Contains(got, []byte(secrets[0])) {
			t.Errorf("the event is %q, %v", got, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n := holding(t, dir, secrets, "sealed"); n != 0 {
		t.Errorf("%d files of the servers can be read", n)
	}
	if err := try("plain", nil, func(e *Engine) {
		txn := e.Begin()
		if err := errors.Join(txn.Append(1, event1(t, secrets[0]), nil), txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if holding(t, dir, secrets, "plain") == 0 {
		t.Error("nothing is found where it is not encrypted: the test looks in the wrong place")
	}
	for what, err := range map[string]error{"another key": try("sealed", []byte("0123456789abcdeX"), nil),
		"none": try("sealed", nil, nil), "a key where there is none": try("plain", key, nil)} {
		if !errors.Is(err, engine.ErrWrongKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// replicaIn makes replicas in a directory.
func replicaIn(dir string) func() (engine.Engine, error) {
	return func() (engine.Engine, error) {
		return badger.OpenReplica(badger.StoreOptions{
			Fail: func(err error) error { return err },
			Files: badger.Files{Dir: filepath.Join(dir, "replica"),
				Log: slog.New(slog.DiscardHandler)}})
	}
}

// event1 is the record of an event with sequence 1.
func event1(t *testing.T, payload string) []byte {
	t.Helper()
	return record.NewEvent(record.Parts{At: time.Now(), Type: "t", Payload: []byte(payload)},
		record.Seal{Seq: 1})
}

// holding counts the files of a stream that hold one of some words.
func holding(t *testing.T, dir string, words []string, stream string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, stream) {
			return err
		}
		text, err := os.ReadFile(path)
		for _, w := range words {
			if bytes.Contains(text, []byte(w)) {
				n++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
