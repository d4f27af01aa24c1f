package care_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"github.com/hookspool/hookspool/spool"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// TestMain wants a spool that was closed to leave nothing running.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The engine's logging library keeps one for the life of the process.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
	)
}

// fixture is a spool whose Decide owes every event to the lanes named in its Note.
type fixture struct {
	*spool.Spool
	t   *testing.T
	dir string
	now time.Time
	// secret is the encryption key; empty: none.
	secret []byte
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0)}
	f.reopen()
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *fixture) options() spool.Options {
	return spool.Options{Dir: f.dir, EncryptionKey: f.secret, Log: f.log(), Decide: f.decide,
		Limits: spool.Limits{KeepDelivered: time.Hour, KeepExhausted: time.Hour,
			DedupeWindow: time.Hour},
		Now: func() time.Time { return f.now }}
}

func (f *fixture) log() *slog.Logger { return slog.New(slog.NewTextHandler(testWriter{f.t}, nil)) }

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func (f *fixture) decide(v *spool.View, d *spool.Draft) {
	names, _ := d.Note.([]string)
	for _, name := range names {
		for _, l := range f.Lanes() {
			if l.Name() == name {
				d.Owe(l.ID())
			}
		}
	}
	if d.Type == "counted" {
		v.Put([]byte("n"), append(v.Get([]byte("n")), 1), time.Hour)
	}
}

// reopen closes the spool, if it is open, and opens what is in the directory.
func (f *fixture) reopen() {
	f.t.Helper()
	if f.Spool != nil {
		f.close()
	}
	s, err := spool.Open(f.options())
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = s
	s.Start()
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) lane(name string) *spool.Lane {
	f.t.Helper()
	l, err := f.Lane(name)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fixture) append(payload string, lanes ...string) *spool.Draft {
	f.t.Helper()
	d := &spool.Draft{Type: "t", ContentType: "text/plain", Payload: []byte(payload), At: f.now,
		Note: lanes}
	if err := f.Append(d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

func (f *fixture) counts(l *spool.Lane, pending, exhausted uint64) {
	f.t.Helper()
	if c := l.Counts(); c.Pending != pending || c.Exhausted != exhausted {
		f.t.Errorf("target %q has %d pending, %d exhausted; want %d, %d", l.Name(), c.Pending,
			c.Exhausted, pending, exhausted)
	}
}

// fetch takes exactly n fresh deliveries.
func (f *fixture) fetch(l *spool.Lane, n int) (out []*record.Event) {
	f.t.Helper()
	deadline := time.Now().Add(testPatience)
	for len(out) < n {
		events, err := l.Fetch(n - len(out))
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, events...)
		if time.Now().After(deadline) {
			f.t.Fatalf("fetched %d deliveries; want %d", len(out), n)
		}
	}
	return out
}

// furnish fills a spool with everything that one can hold. Lane a: 1 exhausted, 2 failed, the
// third delivered, one purged, the rest waiting. Lane b: all waiting.
func (f *fixture) furnish() {
	f.t.Helper()
	a, b := f.lane("a"), f.lane("b")
	a.Open(true)
	for i := range 8 {
		d := &spool.Draft{Type: "counted", ContentType: "text/plain", At: f.now,
			Note: []string{"a", "b"}, Payload: fmt.Appendf(nil, "payload %d", i),
			Headers: []record.Header{{Name: "traceparent", Value: "00-1"}, {Name: "x", Value: "a\xffb"}}}
		if i%2 == 0 {
			d.Given, d.ID = true, fmt.Sprintf("given-%d", i)
		}
		if i == 5 {
			d.Payload = []byte{0xff, 0x00, '<'}
		}
		if err := f.Append(d); err != nil {
			f.t.Fatal(err)
		}
	}
	for i, e := range f.fetch(a, 5) {
		st := spool.Settlement{Lane: a.ID(), Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Attempts: 1,
			Due: 1, Status: 500, Error: "answered 500", At: f.now}
		switch i {
		case 0:
			st.Verdict, st.Attempts = spool.Exhausted, 145
		case 1, 3:
			st.Verdict = spool.Retry
		}
		if err := f.Apply(spool.Change{Settle: []spool.Settlement{st}}); err != nil {
			f.t.Fatal(err)
		}
	}
	p := spool.Purge{State: record.StatePending, Seq: 7}
	if n, err := a.Purge(context.Background(), p); n != 1 {
		f.t.Fatal(n, err)
	}
	since := f.now.Add(-time.Hour)
	if err := f.Apply(spool.Change{StandingOf: b.ID(),
		Standing: &record.Standing{FailedJobs: 101, DefectiveSince: since},
		Tick:     &record.Tick{At: f.now},
		Owe:      []spool.Notice{{Lane: b.ID(), Episode: 1, Body: []byte("mail")}}}); err != nil {
		f.t.Fatal(err)
	}
	if _, err := care.StatOf(f); err != nil { // after a checkpoint
		f.t.Fatal(err)
	}
}

func (f *fixture) readerOptions() care.ReaderOptions {
	return care.ReaderOptions{Dir: f.dir, EncryptionKey: f.secret, Log: f.log()}
}

// verifyRest closes the spool, verifies it and opens it again.
func (f *fixture) verifyRest() *care.Report {
	f.t.Helper()
	f.close()
	r, err := care.Verify(context.Background(), f.readerOptions(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = nil
	f.reopen()
	return r
}

// crash leaves the files as a kill would, in a directory of their own.
func (f *fixture) crash() string {
	f.t.Helper()
	to := f.t.TempDir() + "/crashed"
	atrest.Killed(f.t, f.dir, to)
	return to
}

// damage writes into the engine of a closed spool.
func (f *fixture) damage(do func(*badger.Txn) error) {
	f.t.Helper()
	db, err := ondisk.OpenEngine(ondisk.Options(f.dir, f.secret, ondisk.Logger{Log: f.log(),
		Failed: func(string) {}}))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		f.t.Fatal(err)
	}
}
