package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
)

// furnish fills a spool with everything that one can hold. Lane a: 1 exhausted, 2 failed, the
// third delivered, one purged, the rest waiting. Lane b: all waiting.
func (f *fixture) furnish() {
	f.t.Helper()
	a, b := f.lane("a"), f.lane("b")
	a.Open(true)
	for i := range 8 {
		d := &Draft{Type: "counted", ContentType: "text/plain", At: f.now, Note: []string{"a", "b"},
			Payload: fmt.Appendf(nil, "payload %d", i),
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
		st := Settlement{Lane: a.id, Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Attempts: 1, Due: 1,
			Status: 500, Error: "answered 500"}
		switch i {
		case 0:
			st.Verdict, st.Attempts = Exhausted, 145
		case 1, 3:
			st.Verdict = Retry
		}
		f.settle(st)
	}
	if n, err := a.Purge(context.Background(), Purge{State: StatePending, Seq: 7}); n != 1 {
		f.t.Fatal(n, err)
	}
	since := f.now.Add(-time.Hour)
	if err := f.Apply(Change{Standing: &record.Standing{FailedJobs: 101, DefectiveSince: since},
		StandingOf: b.id, Tick: &record.Tick{At: f.now},
		Owe: []Notice{{Lane: b.id, Episode: 1, Body: []byte("mail")}}}); err != nil {
		f.t.Fatal(err)
	}
	f.commitCheckpoint()
}

func (f *fixture) readerOptions() care.ReaderOptions {
	return care.ReaderOptions{Dir: f.dir, EncryptionKey: f.secret, Log: slog.New(slog.NewTextHandler(testWriter{f.t}, nil))}
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// crash leaves the files as a kill would, in a directory of their own.
func (f *fixture) crash() string {
	f.t.Helper()
	to := f.t.TempDir() + "/crashed"
	atrest.Killed(f.t, f.dir, to)
	return to
}

func (f *fixture) write(do func(*badger.Txn) error) {
	f.t.Helper()
	if err := f.disk.DB.Update(do); err != nil {
		f.t.Fatal(err)
	}
}

// damage writes into the engine of a closed spool.
func (f *fixture) damage(do func(*badger.Txn) error) {
	f.t.Helper()
	db, err := ondisk.OpenEngine(ondisk.Options(f.dir, f.secret, ondisk.Logger{Log: f.options().Log,
		Failed: func(string) {}}))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		f.t.Fatal(err)
	}
}
