package badger

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

const (
	valueEvents = 420 // of a valueSpool
	valueSecret = "0123456789abcdef"
)

// valueEvent is the record of an event; most are longer than what stays in the tree.
func valueEvent(seq uint64) []byte {
	sizes := []int{1, 200, 1000, 5000, 9000, 20_000}
	text := strings.Repeat(fmt.Sprintf("%d \x00\x00\x11", seq), sizes[seq%6]/4)
	return record.NewEvent(record.Parts{ID: fmt.Sprint("id", seq), Type: "t", Payload: []byte(text)},
		record.Seal{Seq: seq})
}

// valueOptions are those of an engine with small value logs.
func valueOptions(dir, secret string, log badger.Logger) badger.Options {
	o := Options(dir, []byte(secret), log)
	o.ValueThreshold = 100
	o.ValueLogFileSize = 1 << 20
	o.VerifyValueChecksum = true // see TestValueLogUnverified
	o.MemTableSize = 4 << 20
	o.SyncWrites = false
	return o
}

// valueSpool is an engine with events in some value logs: one that was closed, and one that was
// killed.
func valueSpool(t *testing.T, secret string) (closed, killed string) {
	t.Helper()
	closed, killed = filepath.Join(t.TempDir(), "closed"), filepath.Join(t.TempDir(), "killed")
	o := valueOptions(closed, secret, nil)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= valueEvents; seq++ {
		err := db.Update(func(txn *badger.Txn) error {
			return txn.Set(record.LogKey(seq), valueEvent(seq))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	atrest.Killed(t, closed, killed)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return closed, killed
}

// atRestFiles are those of a spool that nobody has open.
func atRestFiles(dir, secret string) *Files {
	return &Files{Dir: dir, Key: []byte(secret), Log: slog.New(slog.DiscardHandler), Repairs: true,
		Answered: func() (uint64, error) { return 0, nil }, Raise: func(uint64) error { return nil }}
}

// valuePaths are the value logs of a spool, oldest first; those of a spool at rest that were written.
func valuePaths(t *testing.T, dir string) []string {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, Dir, "*"+valueLogExt))
	slices.Sort(paths)
	if len(paths) < 3 {
		t.Fatalf("there are value logs %q; want three", paths)
	}
	return paths
}

// valueEntry is an entry of a value log, and the event in it.
type valueEntry struct {
	mend.Place
	seq uint64
}

func valueEntries(t *testing.T, dir, path, secret string) (all []valueEntry) {
	t.Helper()
	how := mend.ValueOptions{Visit: func(e *mend.ValueEntry) {
		all = append(all, valueEntry{e.Place, record.KeySeq(e.Key)})
	}}
	v, err := readValueLog(valueOptions(dir, secret, nil), path, how)
	if err != nil || v.Fault() != "" || len(all) < 5 {
		t.Fatalf("a sound value log: %d entries, %q, %v", len(all), v.Fault(), err)
	}
	return all
}

func changeByte(t *testing.T, path string, at int64, flip byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= flip
	if _, werr := f.WriteAt(b[:], at); err != nil || werr != nil {
		t.Fatal(err, werr)
	}
}

// readValues reads all events: "" for one that is as it was, else what is wrong. Badger must not
// panic.
func readValues(db *badger.DB) map[uint64]string {
	wrong := make(map[uint64]string)
	for seq := uint64(1); seq <= valueEvents; seq++ {
		key := record.LogKey(seq)
		err := db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(key)
			if err != nil {
				return err
			}
			return item.Value(func(value []byte) error {
				if err := record.Check(key, value); err != nil {
					return fmt.Errorf("%d bytes: %w", len(value), err)
				}
				if !bytes.Equal(value, valueEvent(seq)) {
					return errors.New("another value passes for it")
				}
				return nil
			})
		})
		if err != nil {
			wrong[seq] = err.Error()
		}
	}
	return wrong
}

// startValues has a damaged spool looked at as a start does, opens it and uses it.
func startValues(t *testing.T, dir, secret string, use func(db *badger.DB)) {
	t.Helper()
	o := valueOptions(dir, secret, Logger{Log: slog.New(slog.DiscardHandler), Failed: func(string) {}})
	if err := atRestFiles(dir, secret).Precheck(o); err != nil {
		t.Fatal(err)
	}
	db, err := OpenEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	use(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// valueHead is what an entry of a value log has at most before its value: two bytes, the lengths of
// key and value, the instant of its end (0), the key with its version.
const valueHead = 2 + 1 + 3 + 1 + 17

// flipsOf are some bytes of an entry: HOOKSPOOL_LONG=1 takes more.
func flipsOf(e valueEntry, i int) (all []int64) {
	head := []int64{0, 1, 2, 3, 4, 5}
	all = []int64{head[i%len(head)], 6 + int64(i*7)%17, e.Bytes - 1 - int64(i%4), e.Bytes / 2}
	if os.Getenv("HOOKSPOOL_LONG") != "" {
		all = append(append(all, head...), 20, 30, 40, 80, e.Bytes-5, e.Bytes*3/4)
	}
	return all
}

// everySpool runs a test with a spool in the clear and an encrypted one, closed and killed.
func everySpool(t *testing.T, test func(t *testing.T, dir, secret string)) {
	for _, secret := range []string{"", valueSecret} {
		closed, killed := valueSpool(t, secret)
		for _, dir := range []string{closed, killed} {
			t.Run(fmt.Sprintf("%s, encrypted %v", filepath.Base(dir), secret != ""),
				func(t *testing.T) { test(t, dir, secret) })
		}
	}
}

// Whichever byte of the newest value log is changed before a start, that costs the event that the
// byte is in, if it is a byte of its record, and nothing else.
func TestValueLogFlippedByte(t *testing.T) {
	effort.OnlyLong(t, "every byte of a file")
	everySpool(t, func(t *testing.T, dir, secret string) {
		paths := valuePaths(t, dir)
		path := paths[len(paths)-1]
		entries := valueEntries(t, dir, path, secret)
		for i, e := range slices.Concat(entries[:2], entries[len(entries)-3:]) {
			for _, at := range flipsOf(e, i) {
				what := fmt.Sprintf("byte %d of event %d", at, e.seq)
				to := filepath.Join(t.TempDir(), "flipped")
				atrest.Copy(t, dir, to)
				flipped := filepath.Join(to, Dir, filepath.Base(path))
				changeByte(t, flipped, e.At+at, 0x10)
				before, err := os.ReadFile(flipped)
				if err != nil {
					t.Fatal(err)
				}
				startValues(t, to, secret, func(db *badger.DB) {
					wrong := readValues(db)
					isRecord := at >= valueHead && at < e.Bytes-4
					if len(wrong) > 1 || (wrong[e.seq] != "") != isRecord {
						t.Fatalf("%s: %d events are not read: %v", what, len(wrong), wrong)
					}
				})
				kept, err := os.ReadFile(filepath.Join(to, AsideDir, filepath.Base(path)))
				if err != nil || !bytes.Equal(kept, before) {
					t.Fatalf("%s: its original is not kept: %v", what, err)
				}
				if !atRestFiles(to, secret).Recounting() {
					t.Fatalf("%s: nothing is counted again", what)
				}
				os.RemoveAll(to)
			}
		}
	})
}

// Damage in an older value log is left alone by a start: what is in it reads as nothing, without an
// error, and all else as it was. While the engine runs it can be mended.
func TestValueLogMendedInUse(t *testing.T) {
	everySpool(t, func(t *testing.T, dir, secret string) {
		path := valuePaths(t, dir)[0]
		entries := valueEntries(t, dir, path, secret)
		to := filepath.Join(t.TempDir(), "flipped")
		atrest.Copy(t, dir, to)
		f := atRestFiles(to, secret)
		flipped := filepath.Join(to, Dir, filepath.Base(path))
		few := effort.Most(6, 3) // six of them have every byte of a head changed once
		startValues(t, to, secret, func(db *badger.DB) {
			for i, e := range slices.Concat(entries[:few], entries[len(entries)-few:]) {
				for _, at := range flipsOf(e, i) {
					what := fmt.Sprintf("byte %d of event %d", at, e.seq)
					changeByte(t, flipped, e.At+at, 0x10)
					if wrong := readValues(db); len(wrong) != 1 || !strings.HasPrefix(wrong[e.seq], "0 bytes") {
						t.Fatalf("%s: %d events are not read: %v", what, len(wrong), wrong)
					}
					v, err := f.MendValueLog(1)
					if err != nil || len(v.Damaged) != 1 || v.Damaged[0].Place != e.Place {
						t.Fatalf("%s: %+v, %v", what, v, err)
					}
					isRecord := at >= valueHead && at < e.Bytes-4
					wrong := readValues(db)
					if len(wrong) > 1 || (wrong[e.seq] != "") != isRecord || strings.HasPrefix(wrong[e.seq], "0 bytes") {
						t.Fatalf("%s: mended, %d events are not read: %v", what, len(wrong), wrong)
					}
					if v, err := CheckValueLog(flipped, f.Key); err != nil || v.Fault() != "" ||
						len(v.Mended) == 0 && v.Entries != len(entries) {
						t.Fatalf("%s: mended it is not sound: %+v, %v", what, v, err)
					}
					original, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(flipped, original, 0o600); err != nil {
						t.Fatal(err)
					}
					os.RemoveAll(filepath.Join(to, AsideDir))
				}
			}
			if v, err := f.MendValueLog(1); err != nil || v.IsDamaged() {
				t.Errorf("a sound value log: %+v, %v", v, err)
			}
			if v, err := f.MendValueLog(99); err != nil || v.IsDamaged() {
				t.Errorf("one that is not there: %+v, %v", v, err)
			}
		})
	})
}

// Larger damage in the newest value log costs the events that it is in.
func TestValueLogSmashed(t *testing.T) {
	everySpool(t, func(t *testing.T, dir, secret string) {
		paths := valuePaths(t, dir)
		path := paths[len(paths)-1]
		entries := valueEntries(t, dir, path, secret)
		for i := range entries[:len(entries)-2] {
			if i%9 > 0 {
				continue
			}
			to := filepath.Join(t.TempDir(), "smashed")
			atrest.Copy(t, dir, to)
			from, end := entries[i].At+entries[i].Bytes-8, entries[i+1].At+int64(30*(i%2))+8
			text, err := os.ReadFile(filepath.Join(to, Dir, filepath.Base(path)))
			copy(text[from:end], bytes.Repeat([]byte{0, 0xff}[i%2:][:1], int(end-from)))
			if err == nil {
				err = os.WriteFile(filepath.Join(to, Dir, filepath.Base(path)), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			startValues(t, to, secret, func(db *badger.DB) {
				wrong := readValues(db)
				delete(wrong, entries[i].seq)
				delete(wrong, entries[i+1].seq)
				if len(wrong) > 0 {
					t.Fatalf("entries %d and %d: %d others are not read: %v", i, i+1, len(wrong), wrong)
				}
			})
			os.RemoveAll(to)
		}
	})
}

// A write of a value log that a kill has cut off is Badger's to cut off: nothing is repaired.
func TestValueLogTorn(t *testing.T) {
	for _, secret := range []string{"", valueSecret} {
		_, dir := valueSpool(t, secret)
		paths := valuePaths(t, dir)
		path := paths[len(paths)-1]
		entries := valueEntries(t, dir, path, secret)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last := entries[len(entries)-1]
		copy(text[last.At+last.Bytes:], bytes.Repeat([]byte{0, 0, 17, 0x90}, 30))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		startValues(t, dir, secret, func(db *badger.DB) {
			if wrong := readValues(db); len(wrong) > 0 {
				t.Errorf("%d events are not read: %v", len(wrong), wrong)
			}
		})
		if f := atRestFiles(dir, secret); f.Recounting() {
			t.Errorf("encrypted %v: it was taken for damage", secret != "")
		}
	}
}

// Whichever byte of a value log's head is changed, a start puts it right. If more is, it refuses,
// and told to go on it sets the file aside.
func TestValueLogHead(t *testing.T) {
	everySpool(t, func(t *testing.T, dir, secret string) {
		paths := valuePaths(t, dir)
		for _, path := range []string{paths[0], paths[len(paths)-1]} {
			for _, at := range []int64{0, 6, 7, 8, 19} {
				to := filepath.Join(t.TempDir(), "flipped")
				atrest.Copy(t, dir, to)
				changeByte(t, filepath.Join(to, Dir, filepath.Base(path)), at, 0x21)
				startValues(t, to, secret, func(db *badger.DB) {
					if wrong := readValues(db); len(wrong) > 0 {
						t.Errorf("byte %d: %d events are not read: %v", at, len(wrong), wrong)
					}
				})
				os.RemoveAll(to)
			}
		}
		if secret == "" {
			return
		}
		changeByte(t, paths[0], 9, 1)
		changeByte(t, paths[0], 12, 1)
		f := atRestFiles(dir, secret)
		o := valueOptions(dir, secret, nil)
		if err := f.Precheck(o); !errors.Is(err, engine.ErrLoss) || f.Recounting() {
			t.Errorf("a head that cannot be read: %v, something is repaired: %v", err, f.Recounting())
		}
		f.AcceptLoss = true
		if err := f.Precheck(o); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, AsideDir, filepath.Base(paths[0]))); err != nil {
			t.Error(err)
		}
	})
}

// A value log that is gone or empty, and that the engine's log leads into, is missed: it may be
// elsewhere. One from which everything was deleted is not.
func TestValueLogGone(t *testing.T) {
	for _, secret := range []string{"", valueSecret} {
		_, dir := valueSpool(t, secret)
		path := valuePaths(t, dir)[0]
		o := valueOptions(dir, secret, nil)
		for _, gone := range []func() error{
			func() error { return os.Truncate(path, 0) }, func() error { return os.Remove(path) },
		} {
			if err := gone(); err != nil {
				t.Fatal(err)
			}
			f := atRestFiles(dir, secret)
			if err := f.Precheck(o); !errors.Is(err, engine.ErrLoss) || f.Recounting() {
				t.Errorf("got %v; want ErrLoss", err)
			}
			f.AcceptLoss = true
			if err := f.Precheck(o); err != nil {
				t.Error(err)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "deleted")
	live := filepath.Join(t.TempDir(), "live")
	o := valueOptions(live, "", Logger{Log: slog.New(slog.DiscardHandler), Failed: func(string) {}})
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	change := func(change func(txn *badger.Txn) error) {
		if err := db.Update(change); err != nil {
			t.Fatal(err)
		}
	}
	for seq := uint64(3); seq <= valueEvents; seq += 6 {
		change(func(txn *badger.Txn) error { return txn.Set(record.LogKey(seq), valueEvent(seq)) })
	}
	for seq := uint64(3); seq <= valueEvents; seq += 6 {
		change(func(txn *badger.Txn) error { return txn.Delete(record.LogKey(seq)) })
	}
	atrest.Killed(t, live, dir)
	first := filepath.Join(dir, Dir, "000001.vlog")
	if err := os.Rename(first, filepath.Join(dir, Dir, "000009.vlog")); err != nil {
		t.Fatal(err)
	}
	if err := atRestFiles(dir, "").Precheck(valueOptions(dir, "", nil)); err != nil {
		t.Errorf("all of it was deleted: %v", err)
	}
}

// Whoever only reads a spool repairs no value log, and says so. An older version's value logs, in
// which nothing is, are none that is damaged.
func TestValueLogLeftAlone(t *testing.T) {
	closed, _ := valueSpool(t, "")
	paths := valuePaths(t, closed)
	entry := valueEntries(t, closed, paths[len(paths)-1], "")[2]
	changeByte(t, paths[len(paths)-1], entry.At+40, 1)
	before, err := os.ReadFile(paths[len(paths)-1])
	if err != nil {
		t.Fatal(err)
	}
	f := atRestFiles(closed, "")
	f.Repairs = false
	if err := f.Precheck(valueOptions(closed, "", nil)); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("got %v; want ErrDamaged", err)
	}
	now, err := os.ReadFile(paths[len(paths)-1])
	if err != nil || !bytes.Equal(now, before) || f.Recounting() {
		t.Errorf("it has changed, %v", err)
	}
	bad, _, err := CheckFiles(closed)
	if err != nil || len(bad) != 1 || !strings.Contains(bad[0], filepath.Base(paths[len(paths)-1])) {
		t.Errorf("it is said that %q, %v", bad, err)
	}
	changeByte(t, paths[0], valueEntries(t, closed, paths[0], "")[1].At+40, 1)
	bad, err = CheckOlderValueLogs(t.Context(), closed)
	if err != nil || len(bad) != 1 || !strings.Contains(bad[0], filepath.Base(paths[0])) {
		t.Errorf("it is said that %q, %v", bad, err)
	}

	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.MkdirAll(filepath.Join(empty, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		path := filepath.Join(empty, Dir, fmt.Sprintf("%06d.vlog", i+1))
		if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startValues(t, empty, "", func(*badger.DB) {})
	if atRestFiles(empty, "").Recounting() {
		t.Error("empty value logs are taken for damaged")
	}
}

// A repair of a value log that is cut off anywhere is done again.
func TestValueLogRepairCutOff(t *testing.T) {
	closed, _ := valueSpool(t, valueSecret)
	paths := valuePaths(t, closed)
	path := paths[len(paths)-1]
	entries := valueEntries(t, closed, path, valueSecret)
	changeByte(t, path, entries[1].At+3, 0x10)
	changeByte(t, path, entries[3].At+200, 0x10)
	cut := errors.New("cut off")
	for n := 1; ; n++ {
		to := filepath.Join(t.TempDir(), "cut")
		atrest.Copy(t, closed, to)
		f := atRestFiles(to, valueSecret)
		calls := 0
		f.Through = func(_ string, do func() error) error {
			if calls++; calls == n {
				return errors.Join(do(), cut)
			}
			return do()
		}
		err := f.Precheck(valueOptions(to, valueSecret, nil))
		if err == nil && calls < n {
			if n < 4 {
				t.Errorf("%d calls were made", calls)
			}
			break
		}
		if !errors.Is(err, cut) {
			t.Fatalf("call %d: %v", n, err)
		}
		startValues(t, to, valueSecret, func(db *badger.DB) {
			if wrong := readValues(db); len(wrong) != 1 || wrong[entries[3].seq] == "" {
				t.Errorf("call %d: %d events are not read: %v", n, len(wrong), wrong)
			}
		})
		os.RemoveAll(to)
	}
}

// Why values are read with their checksums: without them, an entry whose head is damaged leaves its
// file locked in Badger, so closing it waits for ever, and so does giving the file back. With them
// it reads as nothing.
func TestValueLogUnverified(t *testing.T) {
	closed, _ := valueSpool(t, "")
	path := valuePaths(t, closed)[0]
	entry := valueEntries(t, closed, path, "")[2]
	changeByte(t, path, entry.At+2, 0x20)
	for _, verified := range []bool{true, false} {
		o := valueOptions(closed, "", Logger{Log: slog.New(slog.DiscardHandler), Failed: func(string) {}})
		o.VerifyValueChecksum = verified
		db, err := OpenEngine(o)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := readValues(db); len(wrong) != 1 || !strings.HasPrefix(wrong[entry.seq], "0 bytes") {
			t.Errorf("verified %v: %d events are not read: %v", verified, len(wrong), wrong)
		}
		ended := make(chan error, 1)
		go func() { ended <- db.Close() }()
		wait := time.Minute
		if !verified {
			wait = time.Second / 2
		}
		select {
		case err := <-ended:
			if err != nil || !verified {
				t.Errorf("verified %v: it is closed, %v: does Badger let go of the file now?", verified, err)
			}
		case <-time.After(wait):
			if verified {
				t.Error("it does not close")
			}
		}
	}
}
