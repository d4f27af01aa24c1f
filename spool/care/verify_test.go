package care_test

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// A sound spool has no faults: closed, or as a crash left it.
func TestVerifySound(t *testing.T) {
	f := open(t)
	f.furnish()
	if err := f.Sweep(f.now); err != nil { // the keeper's first look, which writes how far it came
		t.Fatal(err)
	}
	crashed := f.crash()
	f.close()
	for _, dir := range []string{crashed, crashed, f.dir} {
		o := f.readerOptions()
		o.Dir = dir
		r, err := care.Verify(context.Background(), o, nil)
		if err != nil || r.FaultCount > 0 {
			t.Fatalf("%v, faults %q", err, r.Faults)
		}
		// 8 events; beside them 2 exceptions, 1 exhausted and 1 purged delivery; 4 ids, 2 lanes, 2
		// names, 1 standing, 1 notice, 1 state, 4 meta; 3 attempts, and the last ones of a lane.
		if r.Events != 8 || r.Records != 8+4+4+2+2+1+1+1+4+3+1 {
			t.Errorf("verified %d events, %d records", r.Events, r.Records)
		}
		a, b := r.Stat.Targets[0], r.Stat.Targets[1]
		if a.Pending != 4 || a.Exceptions != 2 || a.Exhausted != 1 || a.Delivered != 2 ||
			a.Purged != 1 || b.Pending != 8 || b.FailedJobs != 101 || b.DefectiveSince == nil {
			t.Errorf("got %+v", r.Stat.Targets)
		}
		if r.Stat.Head != 8 || r.Stat.Sessions != 1 || r.Stat.Notices != 1 ||
			r.Stat.TickNumber != 1 || r.Stat.Format != record.Version {
			t.Errorf("got %+v", r.Stat)
		}
	}
}

// Whichever byte of whichever file that holds data is flipped, verify says so, in a spool that was
// closed and in one that was not, encrypted or not.
func TestVerifyFlippedByte(t *testing.T) {
	effort.WithoutRace(t)
	// The engine leaves goroutines behind when it refuses to open, so this has a process of its own.
	const child = "HOOKSPOOL_TEST_FLIPS"
	if os.Getenv(child) == "" {
		// All of them take minutes: HOOKSPOOL_LONG=1.
		cmd := exec.Command(os.Args[0], "-test.run=^TestVerifyFlippedByte$",
			fmt.Sprintf("-test.short=%t", !effort.Long()))
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
		if filepath.Ext(path) == ".vlog" { // small events are not there
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
	atrest.Copy(t, x.dir, to)
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
	r, err := care.Verify(context.Background(), care.ReaderOptions{Dir: to, EncryptionKey: f.secret,
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
	log, err := ondisk.OpenLog(ondisk.Options(dir, nil, nil), text)
	if err != nil {
		t.Fatal(err)
	}
	log.Judge(0, 0)
	e := log.Entries()[0]
	copy(text[end:], text[e.At:e.At+e.Bytes-6])
	if err := os.WriteFile(mem[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := f.readerOptions()
	o.Dir = dir
	r, err := care.Verify(context.Background(), o, nil)
	if err != nil || r.FaultCount > 0 || len(r.Notes) != 1 {
		t.Errorf("%v, faults %q, notes %q", err, r.Faults, r.Notes)
	}
}

// Each way in which the records can contradict each other is found, by its own words.
func TestVerifyContradictions(t *testing.T) {
	effort.WithoutRace(t)
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
		"what an operator did: cannot read":      set(record.ActionKey(time.Unix(9, 0), 7), []byte("\x01xxxxxx")),
		"caller counted in the minutes of an":    set(record.TallyKey(1, 0, 7, ""), []byte("\x01xxxxxx")),
		"receipts of deliveries that succeeded":  set(record.LaneSeqKey(record.PrefixReceipts, 1, 7), []byte("\x01xxxxxx")),
		"there is no such record":                set(record.MetaKey("new"), nil),
		`the record of another id names it`:      set(record.IDKey("other"), (&record.ID{Seq: 1}).Encode()),
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
			f.close()
			f.damage(damage)
			if strings.Contains(want, "event 8") { // the checkpoint remembers the head as well
				f.damage(set(record.MetaKey(record.MetaCheckpoint),
					seal(func(e *record.Encoder) { e.Uint(7); e.Uint(0) })))
			}
			r, err := care.Verify(context.Background(), f.readerOptions(), nil)
			if err != nil || !strings.Contains(strings.Join(r.Faults, "\n"), want) {
				t.Errorf("%v, faults %q; want %q", err, r.Faults, want)
			}
		})
	}
}

// A bit of a sequence has flipped: however far away the event is then, what is missing is one line.
func TestVerifyFarSequence(t *testing.T) {
	f := open(t)
	f.furnish()
	f.close()
	const far = 1<<62 | 8
	event := record.NewEvent(record.Parts{Type: "message", At: time.Unix(1, 0)},
		record.Seal{Seq: far, BatchEnd: far})
	f.damage(func(txn *badger.Txn) error {
		return errors.Join(txn.Delete(record.LogKey(8)), txn.Set(record.LogKey(far), event))
	})
	report, err := care.Verify(t.Context(), f.readerOptions(), nil)
	want := "events 8 to 4611686018427387911 are missing from the log"
	if err != nil || !slices.Contains(report.Faults, want) {
		t.Errorf("%v, faults %q; want %q", err, report.Faults, want)
	}
}

// A spool that was closed is read without a trace, as often as one likes.
func TestReaderWritesNothing(t *testing.T) {
	f := open(t)
	f.furnish()
	f.close()
	before := treeOf(t, f.dir)
	for range 2 {
		r, err := care.OpenReader(f.readerOptions())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := care.Backup(context.Background(), r, io.Discard); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		rep, err := care.Verify(context.Background(), f.readerOptions(), nil)
		if err != nil || rep.FaultCount > 0 {
			t.Errorf("%v, faults %q", err, rep.Faults)
		}
	}
	if after := treeOf(t, f.dir); !slices.Equal(before, after) {
		t.Errorf("the spool was\n%q and is\n%q", before, after)
	}
}

// Readers refuse what they must not read, in words that a hint can be hung on.
func TestReaderRefusals(t *testing.T) {
	f := open(t)
	f.furnish()
	o := f.readerOptions()
	if _, err := care.OpenReader(o); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("a running spool: %v", err)
	}
	if _, err := care.Verify(context.Background(), o, nil); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("a running spool: %v", err)
	}
	f.close()
	r, err := care.OpenReader(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(f.options()); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("a spool that is read: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	if _, err := care.OpenReader(o); !errors.Is(err, spool.ErrNoSpool) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := care.Verify(context.Background(), o, nil); !errors.Is(err, spool.ErrNoSpool) {
		t.Errorf("an empty directory: %v", err)
	}
	if files, _ := os.ReadDir(o.Dir); len(files) > 0 {
		t.Errorf("reading nothing left %v", files)
	}
	for version, want := range map[uint64]error{record.Version + 1: record.ErrFormat,
		record.Version - 1: record.ErrOldFormat} {
		other := record.Format{Version: version}
		f.damage(func(txn *badger.Txn) error {
			return txn.Set(record.MetaKey(record.MetaFormat), other.Encode())
		})
		if _, err := care.OpenReader(f.readerOptions()); !errors.Is(err, want) {
			t.Errorf("format %d: %v", version, err)
		}
		if _, err := care.Verify(context.Background(), f.readerOptions(), nil); !errors.Is(err, want) {
			t.Errorf("format %d: %v", version, err)
		}
		if _, err := spool.Open(f.options()); !errors.Is(err, want) {
			t.Errorf("format %d: %v", version, err)
		}
	}
}

// What a newer version has written in the envelope of all small values is no fault, and is told. A
// start leaves it alone, and so does one that counts everything again.
func TestVerifyOfANewerVersion(t *testing.T) {
	effort.WithoutRace(t)
	f := open(t)
	f.furnish()
	f.close()
	e := record.NewEncoder(16)
	e.Bytes([]byte("of another time"))
	f.damage(func(txn *badger.Txn) error { return txn.Set([]byte("~new"), e.Seal()) })
	for _, when := range []string{"as it was written", "after a start", "after a recount"} {
		r, err := care.Verify(context.Background(), f.readerOptions(), nil)
		if err != nil || r.FaultCount > 0 || !strings.Contains(strings.Join(r.Notes, "\n"),
			"1 records are of kinds that this version does not know") {
			t.Errorf("%s: %v, faults %q, notes %q", when, err, r.Faults, r.Notes)
		}
		if when == "after a start" {
			if err := os.WriteFile(filepath.Join(f.dir, "recount"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f.reopen()
		f.append("more", "a")
		f.close()
	}
}

// lookups counts the events that are read by themselves.
type lookups struct {
	care.Source
	n int
}

type countedLook struct {
	engine.Look
	n *int
}

func (l countedLook) Get(key []byte) ([]byte, error) {
	if key[0] == record.PrefixLog {
		*l.n++
	}
	return l.Look.Get(key)
}

func (l *lookups) Reading(ctx context.Context,
	look func(context.Context, engine.Look) error) error {
	return l.Source.Reading(ctx, func(ctx context.Context, at engine.Look) error {
		return look(ctx, countedLook{at, &l.n})
	})
}

// What is remembered of ids is compared as the log is walked: an event that was looked up by its id
// would cost all that lies together with it. The comparison goes on where sequences are far apart.
func TestVerifyLooksUpNoEvent(t *testing.T) {
	f := open(t)
	f.furnish()
	const far = 1 << 40
	for i := range 9 {
		d := &spool.Draft{ID: fmt.Sprint("given", i), Given: true, Type: "t", At: f.now,
			Note: []string{"a"}}
		if err := f.Append(d); err != nil {
			t.Fatal(err)
		}
	}
	of := &lookups{Source: f.Spool}
	r, err := care.VerifyLive(t.Context(), of, nil)
	if err != nil || r.FaultCount > 0 || of.n > 0 {
		t.Errorf("%v, faults %q; %d events were looked up", err, r.Faults, of.n)
	}
	f.close()
	event := record.NewEvent(record.Parts{ID: "far", Given: true, Type: "t", At: time.Unix(1, 0)},
		record.Seal{Seq: far, BatchEnd: far})
	f.damage(func(txn *badger.Txn) error {
		return errors.Join(txn.Set(record.LogKey(far), event),
			txn.Set(record.IDKey("another"), (&record.ID{Seq: far}).Encode()))
	})
	r, err = care.Verify(t.Context(), f.readerOptions(), nil)
	want := fmt.Sprintf(`event %d has id "far", and the record of another id names it`, far)
	if err != nil || !slices.Contains(r.Faults, want) {
		t.Errorf("%v, faults %q; want %q", err, r.Faults, want)
	}
}
