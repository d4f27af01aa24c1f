package jetstream

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	cluster "github.com/hookspool/hookspool/testenv/nats"
)

// A server that is too old is refused, and so is one that does not say what it is.
func TestCheckVersion(t *testing.T) {
	for _, version := range []string{"2.15.0", "2.15.3", "2.16.0-RC.1", "3.0.0", "10.1.0"} {
		if err := checkVersion(version); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	for _, version := range []string{"2.14.9", "1.99.0", "", "x.y", "2"} {
		if err := checkVersion(version); !errors.Is(err, ErrProfile) {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// A password is in no message.
func TestRedact(t *testing.T) {
	got := redact("nats://a:secret@x:1, nats://y:2,:bad,nats://secret@z")
	if strings.Contains(got, "secret") || !strings.Contains(got, "nats://y:2") {
		t.Error(got)
	}
}

// A stream that would lose something is refused, with all that is wrong and what to do.
func TestCheckStream(t *testing.T) {
	want := wanted(Options{Name: "hs"})
	if err := checkStream(want, want); err != nil {
		t.Error(err)
	}
	f := func(word string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		is := want
		change(&is)
		if err := checkStream(is, want); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
	f("somebody else's", func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>"} })
	f("memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage })
	f("replicas 1; 3 are needed", func(c *jetstream.StreamConfig) { c.Replicas = 1 })
	f("retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy })
	f("discard=new", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	f("max-age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	f("max-msgs=", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 })
	f("max-msgs-per-subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 })
	f("rollup", func(c *jetstream.StreamConfig) { c.AllowRollup = false })
	f("batch", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	f("ttl", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false })
	f("sealed", func(c *jetstream.StreamConfig) { c.Sealed = true })
	f("copy", func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "x"} })
}

// What is not there, or not ours, is told at once.
func TestOpenRefused(t *testing.T) {
	url := cluster.StartInProcess(t, cluster.Options{}).URL()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = again(t.Context(), func(ctx context.Context) (jetstream.Stream, error) {
		return js.CreateStream(ctx, jetstream.StreamConfig{Name: "theirs", Subjects: []string{"orders"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(url, name, word string) {
		t.Helper()
		began := time.Now()
		e, err := Open(Options{URL: url, Name: name, Relay: "a", OpenMax: time.Second, Log: slog.New(slog.DiscardHandler),
			Replica: func() (engine.Engine, error) { return nil, errors.New("none is wanted") }})
		if err == nil {
			_ = e.Close()
			t.Fatalf("%s is opened", name)
		}
		if took := time.Since(began); !strings.Contains(err.Error(), word) || took > time.Minute {
			t.Errorf("after %v: %v; want %q", took, err, word)
		}
	}
	f("nats://127.0.0.1:1", "hs", "refused")
	f(url, "theirs", "somebody else's")
	f(url, "no.name", "invalid stream name")
	f(url, "hs", "none is wanted")
}
