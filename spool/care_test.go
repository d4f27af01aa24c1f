package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/record"
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
		StandingOf: b.id, Tick: &record.Tick{Number: 3, At: f.now},
		Owe: []Notice{{Lane: b.id, Episode: 1, Body: []byte("mail")}}}); err != nil {
		f.t.Fatal(err)
	}
	f.commitCheckpoint()
}

func (f *fixture) readerOptions() ReaderOptions {
	return ReaderOptions{Dir: f.dir, EncryptionKey: f.secret, Log: slog.New(slog.NewTextHandler(testWriter{f.t}, nil))}
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
	copySparse(f.t, f.dir, to)
	return to
}

// copySparse copies a spool without writing the zeros at the ends of its files, tens of MiB.
func copySparse(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name = filepath.Join(to, name)
		if err := os.WriteFile(name, mend.TrimZeros(text), 0o600); err != nil {
			return err
		}
		return os.Truncate(name, int64(len(text)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A sound spool has no faults: closed, or as a crash left it.
func TestVerifySound(t *testing.T) {
	f := open(t)
	f.furnish()
	crashed := f.crash()
	f.close()
	for _, dir := range []string{crashed, crashed, f.dir} {
		o := f.readerOptions()
		o.Dir = dir
		r, err := Verify(context.Background(), o, nil)
		if err != nil || r.FaultCount > 0 {
			t.Fatalf("%v, faults %q", err, r.Faults)
		}
		// 8 events; beside them 2 exceptions, 1 exhausted and 1 purged delivery; 4 ids, 2 lanes, 2
		// names, 1 standing, 1 notice, 1 state, 3 meta; 3 attempts, and the last ones of a lane.
		if r.Events != 8 || r.Records != 8+4+4+2+2+1+1+1+3+3+1 {
			t.Errorf("verified %d events, %d records", r.Events, r.Records)
		}
		a, b := r.Stat.Targets[0], r.Stat.Targets[1]
		if a.Pending != 4 || a.Exceptions != 2 || a.Exhausted != 1 || a.Delivered != 2 ||
			a.Purged != 1 || b.Pending != 8 || b.FailedJobs != 101 || b.DefectiveSince == nil {
			t.Errorf("got %+v", r.Stat.Targets)
		}
		if r.Stat.Head != 8 || r.Stat.Sessions != 1 || r.Stat.Notices != 1 ||
			r.Stat.TickNumber != 3 || r.Stat.Format != record.Version {
			t.Errorf("got %+v", r.Stat)
		}
	}
}

// Whichever byte of whichever file that holds data is flipped, verify says so, in a spool that was
// closed and in one that was not, encrypted or not.
func TestVerifyFlippedByte(t *testing.T) {
	// The engine leaves goroutines behind when it refuses to open, so this has a process of its own.
	const child = "HOOKSPOOL_TEST_FLIPS"
	if os.Getenv(child) == "" {
		// All of them take minutes: HOOKSPOOL_LONG=1.
		cmd := exec.Command(os.Args[0], "-test.run=^TestVerifyFlippedByte$",
			fmt.Sprintf("-test.short=%t", os.Getenv("HOOKSPOOL_LONG") == ""))
		cmd.Env = append(os.Environ(), child+"=1", "TMPDIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	defer func() {
		if !t.Failed() {
			os.Exit(0)
		}
	}()
	for _, key := range []string{"", "0123456789abcdef"} {
		f := open(t)
		if key != "" {
			f.close()
			f.dir, f.secret = t.TempDir()+"/encrypted", []byte(key)
			f.reopen()
		}
		f.furnish()
		crashed := f.crash()
		f.close()
		for _, dir := range []string{f.dir, crashed} {
			n := flipEverywhere(t, f, dir)
			if n < 10 {
				t.Errorf("flipped %d bytes only", n)
			}
		}
	}
}

// flipEverywhere verifies a spool once for each of some bytes.
func flipEverywhere(t *testing.T, f *fixture, dir string) int {
	flips := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch d.Name() {
		case "LOCK", "DISCARD": // nothing of ours depends on them
			return nil
		}
		if filepath.Ext(path) == ".vlog" { // never written
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		from := 0
		if f.secret == nil {
			// Nothing is encrypted, so nothing depends on the IV of a file.
			from = map[string]int{".mem": mend.LogHeadBytes, "": 16}[filepath.Ext(path)]
			if d.Name() != "KEYREGISTRY" && filepath.Ext(path) == "" {
				from = 0
			}
		}
		end := len(bytes.TrimRight(text, "\x00"))
		step := max(1, (end-from)/11)
		if testing.Short() {
			parts := 5
			if filepath.Ext(path) == ".mem" || d.Name() == badger.ManifestFilename {
				parts = 2 // package mend flips every byte of them
			}
			step = max(1, (end-from)/parts)
		}
		for at := from; at < end; at += step {
			flips++
			flipOne(t, f, flip{dir, path, at})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return flips
}

type flip struct {
	dir, path string
	at        int
}

func flipOne(t *testing.T, f *fixture, x flip) {
	t.Helper()
	to := t.TempDir() + "/flipped"
	defer os.RemoveAll(to)
	copySparse(t, x.dir, to)
	name, _ := filepath.Rel(x.dir, x.path)
	file, err := os.OpenFile(filepath.Join(to, name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = file.ReadAt(b[:], int64(x.at))
	b[0] ^= 0x04
	_, werr := file.WriteAt(b[:], int64(x.at))
	if err := errors.Join(err, werr, file.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(context.Background(), ReaderOptions{Dir: to, EncryptionKey: f.secret,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, nil)
	if err == nil && r.FaultCount == 0 {
		t.Errorf("byte %d of %s was flipped and nobody noticed: %q", x.at, name, r.Notes)
	}
}

// A log that ends in a write that was cut off is what a kill leaves: a note, no fault.
func TestVerifyTornLog(t *testing.T) {
	f := open(t)
	f.furnish()
	dir := f.crash()
	mem, _ := filepath.Glob(dir + "/db/*.mem")
	text, err := os.ReadFile(mem[0])
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(text, "\x00"))
	for fault, note := mend.CheckLog(text[:end]); fault+note != ""; { // its checksum ends in zeros
		end++
		fault, note = mend.CheckLog(text[:end])
	}
	e := f.entries(dir, text)[0]
	copy(text[end:], text[e.At:e.At+e.Bytes-6])
	if err := os.WriteFile(mem[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := f.readerOptions()
	o.Dir = dir
	r, err := Verify(context.Background(), o, nil)
	if err != nil || r.FaultCount > 0 || len(r.Notes) != 1 {
		t.Errorf("%v, faults %q, notes %q", err, r.Faults, r.Notes)
	}
}

// Each way in which the records can contradict each other is found, by its own words.
func TestVerifyContradictions(t *testing.T) {
	seal := func(write func(*record.Encoder)) []byte {
		e := record.NewEncoder(16)
		write(e)
		return e.Seal()
	}
	set := func(key, value []byte) func(*badger.Txn) error {
		return func(txn *badger.Txn) error { return txn.Set(key, value) }
	}
	remove := func(key []byte) func(*badger.Txn) error {
		return func(txn *badger.Txn) error { return txn.Delete(key) }
	}
	x := (&record.Exception{}).Encode()
	for want, damage := range map[string]func(*badger.Txn) error{
		"events 3 to 3 are missing":              remove(record.LogKey(3)),
		"it is about lane 9":                     set(record.LaneKey(record.PrefixStanding, 9), record.Standing{}.Encode()),
		"counts 2 exceptions; there are 1":       remove(record.LaneSeqKey(record.PrefixException, 1, 2)),
		"counts 2 exceptions; there are 3":       set(record.LaneSeqKey(record.PrefixException, 1, 3), x),
		"exception of event 99, which is not":    set(record.LaneSeqKey(record.PrefixException, 1, 99), x),
		"counts 1 exhausted deliveries; there":   remove(record.LaneSeqKey(record.PrefixExhausted, 1, 1)),
		"counts 2 deliveries on their way":       remove(record.LaneSeqKey(record.PrefixPurged, 1, 7)),
		"its key names way 0":                    set(append(record.LaneSeqKey(record.PrefixNotice, 1, 1), 0), seal(func(e *record.Encoder) { e.Bytes(nil) })),
		"no table has such a key":                set([]byte("?"), nil),
		"there is no such record":                set(record.MetaKey("new"), nil),
		`event 1, which it names, has id`:        set(record.IDKey("other"), (&record.ID{Seq: 1}).Encode()),
		"cannot read the last tick":              set(record.MetaKey(record.MetaTick), []byte("x")),
		"cannot read lane record":                set(record.LaneKey(record.PrefixLane, 1), []byte("x")),
		"cannot read event record 4":             set(record.LogKey(4), []byte("x")),
		"cannot read exception":                  set(record.LaneSeqKey(record.PrefixException, 1, 2), []byte("x")),
		`have the same name "a"`:                 set(record.LaneKey(record.PrefixName, 3), seal(func(e *record.Encoder) { e.String("a") })),
		"event 8 was answered, but the newest":   remove(record.LogKey(8)),
		"which has no name":                      remove(record.LaneKey(record.PrefixName, 2)),
		"target \"a\" is at":                     set(record.LaneKey(record.PrefixLane, 1), (&record.Lane{Position: 99}).Encode()),
		"has a purged delivery of event 77":      set(record.LaneSeqKey(record.PrefixPurged, 1, 77), x),
		"its checksum does not fit":              set([]byte{record.PrefixState, 'n'}, []byte("\x01xxxxxx")),
		"counts 5 deliveries as settled; it owe": set(record.LaneKey(record.PrefixLane, 2), (&record.Lane{Passed: 5}).Encode()),
	} {
		t.Run(want, func(t *testing.T) {
			f := open(t)
			f.furnish()
			if strings.Contains(want, "event 8") {
				// The checkpoint remembers the head as well.
				f.write(set(record.MetaKey(record.MetaCheckpoint), seal(func(e *record.Encoder) { e.Uint(7); e.Uint(0) })))
			}
			f.close()
			f.damage(damage)
			r, err := Verify(context.Background(), f.readerOptions(), nil)
			if err != nil || !strings.Contains(strings.Join(r.Faults, "\n"), want) {
				t.Errorf("%v, faults %q; want %q", err, r.Faults, want)
			}
		})
	}
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

// Readers refuse what they must not read, in words that a hint can be hung on.
func TestReaderRefusals(t *testing.T) {
	f := open(t)
	f.furnish()
	o := f.readerOptions()
	if _, err := OpenReader(o); !errors.Is(err, ErrInUse) {
		t.Errorf("a running spool: %v", err)
	}
	if _, err := Verify(context.Background(), o, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("a running spool: %v", err)
	}
	f.close()
	r, err := OpenReader(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.options()); !errors.Is(err, ErrInUse) {
		t.Errorf("a spool that is read: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	if _, err := OpenReader(o); !errors.Is(err, ErrNoSpool) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Verify(context.Background(), o, nil); !errors.Is(err, ErrNoSpool) {
		t.Errorf("an empty directory: %v", err)
	}
	if files, _ := os.ReadDir(o.Dir); len(files) > 0 {
		t.Errorf("reading nothing left %v", files)
	}
	newer := record.NewEncoder(16)
	newer.Uint(record.Version + 1)
	f.damage(func(txn *badger.Txn) error { return txn.Set(record.MetaKey(record.MetaFormat), newer.Seal()) })
	if _, err := OpenReader(f.readerOptions()); !errors.Is(err, record.ErrFormat) {
		t.Errorf("a newer format: %v", err)
	}
	if _, err := Open(f.options()); !errors.Is(err, record.ErrFormat) {
		t.Errorf("a newer format: %v", err)
	}
}

// A migration runs step by step, stores each step, and is taken up again where it was cut off.
func TestMigrate(t *testing.T) {
	f := open(t)
	s := f.Spool
	id := s.format.ID
	var ran []uint64
	fails := errors.New("cut off")
	var failAt uint64 = 2
	step := func(from uint64) migration {
		return migration{from, func(*Spool) error {
			ran = append(ran, from)
			if from == failAt {
				return fails
			}
			return nil
		}}
	}
	steps := []migration{step(1), step(2), step(3)}
	if _, err := s.migrate(s.format, 4, steps); !errors.Is(err, fails) {
		t.Fatal(err)
	}
	value, err := s.get(record.MetaKey(record.MetaFormat))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := record.OpenValue(value)
	if v := d.Uint(); v != 2 || !bytes.Equal(d.Bytes(), id[:]) {
		t.Fatalf("version %d is stored; want 2, and the same id", v)
	}
	failAt = 0
	got, err := s.migrate(record.Format{Version: 2, ID: id}, 4, steps)
	if err != nil || got.Version != 4 || got.ID != id || fmt.Sprint(ran) != "[1 2 2 3]" {
		t.Errorf("got %+v, %v after steps %v", got, err, ran)
	}
	if _, err := s.migrate(record.Format{Version: 0}, 4, steps); !errors.Is(err, ErrOldFormat) {
		t.Errorf("a format without a way: %v", err)
	}
	for from := uint64(1); from < record.Version; from++ {
		if n := len(migrations()); uint64(n) != record.Version-1 || migrations()[from-1].from != from {
			t.Errorf("there is no step from format %d", from)
		}
	}
}

// A delivery that is settled between the look of a sweep and its removal holds its event in the eyes
// of the one, and is passed by the other: the event goes with a later sweep all the same.
func TestSweepSettledMeanwhile(t *testing.T) {
	f := open(t)
	l := f.lane("a")
	l.Open(true)
	f.append("fails first", "a")
	f.append("succeeds", "a")
	for i, e := range f.fetch(l, 2) {
		st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Attempts: 1, Due: 1}
		if i == 0 {
			st.Verdict = Retry
		}
		f.settle(st)
	}
	f.commitCheckpoint()
	f.unheld.begin()
	r := &removal{swept: 2, replays: f.replays.Load()}
	var err error
	if r.seqs, err = f.leaveHeld([]uint64{1, 2}, 1, 2); err != nil || len(r.seqs) != 1 {
		t.Fatalf("the look found %v, %v", r.seqs, err)
	}
	f.settle(Settlement{Lane: l.id, Seq: 1, Attempts: 2})
	if err := f.Apply(Change{remove: r}); err != nil {
		t.Fatal(err)
	}
	if err := f.Sweep(f.now.Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if e, err := f.Event(1); err == nil {
		t.Errorf("event %d stays for ever", e.Seq)
	}
}
