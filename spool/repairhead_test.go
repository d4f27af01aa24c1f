package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

const testKey = "0123456789abcdef"

// logOf is a log, encrypted like w, with one transaction of these entries; whole: it has its end.
func (w *wal) logOf(whole bool, entries ...walEntry) []byte {
	out := &wal{secret: w.secret, iv: w.iv, b: bytes.Clone(w.b[:logHeadBytes])}
	for i := range entries {
		e := &entries[i]
		out.write(e.meta, e.expires, e.key, 7, e.content)
	}
	if whole {
		out.write(logEndTxn, 0, []byte(walTxnKey), 7, txnNumber(7))
	}
	return append(out.b, make([]byte, logSlack)...)
}

// Whatever record an encrypted log begins with, of ours or of nobody that we know, its key is found,
// or the log is left to the engine with the key that its head names. Nothing of it is damaged.
func TestUnlockWhateverIsFirst(t *testing.T) {
	f, dir := furnishLog(t, testKey)
	_, text := onlyLog(t, dir)
	w, keyID, err := f.unlocked(dir, text)
	if err != nil {
		t.Fatal(err)
	}
	first := []walEntry{
		{logEntry: logEntry{meta: logInTxn}, key: []byte("?new"), content: []byte("of a later version")},
		{logEntry: logEntry{meta: logInTxn}, key: record.LaneSeqKey(record.PrefixLane, 1, 1), content: []byte("new")},
	}
	for _, txn := range newSalvage(w).txns {
		first = append(first, txn.entries...)
	}
	for i := range first {
		for _, whole := range []bool{true, false} {
			text := w.logOf(whole, first[i])
			got, id, err := f.unlocked(dir, text)
			if err != nil || id != keyID || got.iv != w.iv {
				t.Errorf("%s first, whole %v: key %d, %v", shapeOf(&first[i]), whole, id, err)
				continue
			}
			if v := newSalvage(got); v.damaged() {
				t.Errorf("%s first, whole %v: taken for damaged", shapeOf(&first[i]), whole)
			}
		}
	}
}

// A head that is damaged is told by the ends of transactions alone: one byte of it is found again,
// and more is refused, unless the operator gives up what is in the log.
func TestUnlockDamagedHead(t *testing.T) {
	f, dir := furnishLog(t, testKey)
	path, text := onlyLog(t, dir)
	w, keyID, err := f.unlocked(dir, text)
	if err != nil {
		t.Fatal(err)
	}
	unknown := walEntry{logEntry: logEntry{meta: logInTxn}, key: []byte("?"), content: []byte("x")}
	for at := range logHeadBytes {
		text := w.logOf(true, unknown)
		text[at] ^= 0x21
		got, id, err := f.unlocked(dir, text)
		if err != nil || id != keyID || got.iv != w.iv {
			t.Errorf("byte %d: key %d, %v", at, id, err)
		}
	}
	binary.BigEndian.PutUint64(text[8:], 0)
	if err := writeFile(path, text); err != nil {
		t.Fatal(err)
	}
	f.dir = dir
	if _, err := Open(f.options()); !errors.Is(err, ErrLoss) || !errors.Is(err, errLogKey) {
		t.Fatalf("a head without its counter: %v; want ErrLoss", err)
	}
	now, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(now, text) {
		t.Errorf("the log has changed, %v", err)
	}
	o := f.options()
	o.AcceptLoss = true
	s, err := Open(o)
	if err == nil {
		s.Start()
		err = s.Close()
	}
	if err != nil && !errors.Is(err, ErrLoss) {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, asideDir, filepath.Base(path)))
	if err != nil || !bytes.HasPrefix(kept, bytes.TrimRight(text, "\x00")) {
		t.Errorf("the log is not kept aside: %v", err)
	}
}

// An encrypted spool starts after a kill whatever the first change after a start was. (The key that
// opened the log was not found when that was a memo, or a notice of a second way.)
func TestStartEncryptedAfterKill(t *testing.T) {
	body := []byte("level 90")
	for name, change := range map[string]func(*Lane) Change{
		"memo":              func(l *Lane) Change { return Change{Memos: []Memo{{Lane: l.id, Body: body}}} },
		"memo of the spool": func(*Lane) Change { return Change{Memos: []Memo{{Body: body}}} },
		"mail":              func(l *Lane) Change { return Change{Owe: []Notice{{Lane: l.id, Episode: 7, Body: body}}} },
		"post": func(l *Lane) Change {
			return Change{Owe: []Notice{{Lane: l.id, Episode: 7, Way: 1, Body: body}}}
		},
		"post of the spool": func(*Lane) Change { return Change{Owe: []Notice{{Episode: 7, Way: 1, Body: body}}} },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.close()
			f.dir, f.secret = t.TempDir()+"/encrypted", []byte(testKey)
			f.reopen()
			f.lane("a")
			f.append("one", "a")
			f.reopen() // a new log begins
			if err := f.Apply(change(f.lane("a"))); err != nil {
				t.Fatal(err)
			}
			dir := f.crash()
			f.close()
			g := &fixture{t: t, dir: dir, now: f.now, secret: f.secret}
			g.reopen()
			g.counts(g.lane("a"), 1, 0)
			g.close()
			if kept, _ := filepath.Glob(filepath.Join(dir, asideDir, "*")); len(kept) > 0 {
				t.Errorf("something was taken for damaged: %q", kept)
			}
		})
	}
}

// One flipped bit in a memo or a notice of any way costs nothing, as doc.go says.
func TestFlippedWords(t *testing.T) {
	for _, key := range []string{"", testKey} {
		f, dir := furnishLog(t, key)
		_, text := onlyLog(t, dir)
		w, _, err := f.unlocked(dir, text)
		if err != nil {
			t.Fatal(err)
		}
		flipped := 0
		for _, txn := range newSalvage(w).txns {
			for _, e := range txn.entries {
				if e.meta&walMetaDeleted != 0 || !strings.ContainsRune("oka", rune(e.key[0])) {
					continue
				}
				flipped++
				b := bytes.Clone(text[:e.at+e.size+100])
				b[e.at+e.head+int(e.logEntry.key)+7] ^= 0x10 // in the body
				got, _, err := f.unlocked(dir, b)
				if err != nil {
					t.Fatal(err)
				}
				if v := newSalvage(got); v.corrected != 1 || len(v.lost) > 0 {
					t.Errorf("%s: %d corrected, %d lost", shapeOf(&e), v.corrected, len(v.lost))
				}
			}
		}
		if flipped < 8 {
			t.Errorf("only %d were flipped", flipped)
		}
	}
}

// A file that is called like a table and is none is not the engine's, and keeps nothing from
// starting.
func TestStrangeTable(t *testing.T) {
	f, dir := inTables(t, "")
	got, aside := f.starts(dir, func(dir string) {
		name := filepath.Join(dir, ondisk.Dir, "copy of 000001.sst")
		if err := os.WriteFile(name, []byte("notes"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if arrived(got) != furnished || aside > 0 {
		t.Errorf("%d events arrive, %d are set aside", arrived(got), aside)
	}
}

// An encrypted table whose key is not found by its index stays where the list has it: the list names
// the key, and the engine opens it or says why not.
func TestTableUnknownIndex(t *testing.T) {
	f, dir := inTables(t, testKey)
	tables, _ := filepath.Glob(filepath.Join(dir, ondisk.Dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("there is no table")
	}
	s := &Spool{dir: dir, log: f.options().Log, repairs: true}
	o := ondisk.Options(dir, f.secret, nil)
	list, err := readTableList(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := openDataKeys(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &tableRepair{s: s, o: o, list: list, keys: keys}
	for id, table := range list.tables {
		span := tableSpan{id: id}
		if ok, err := span.look(r.path(id), keys); err != nil || !ok || span.keyID != table.KeyID {
			t.Errorf("table %d: key %d, %v, %v; want %d", id, span.keyID, ok, err, table.KeyID)
		}
		text, err := os.ReadFile(r.path(id))
		if err != nil {
			t.Fatal(err)
		}
		e, err := readTableEnd(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := openIndex(e.index, keys.secret(table.KeyID), e.at-1); ok {
			t.Error("an index is taken for one of a shorter table")
		}
		if _, ok := openIndex(e.index, []byte("another key of16"), e.at); ok {
			t.Error("an index is opened by another key")
		}
		clear(text[e.at:][:40])
		if err := os.WriteFile(r.path(id), text, 0o600); err != nil {
			t.Fatal(err)
		}
		span = tableSpan{id: id}
		if ok, err := r.readable(&span, table, true); !ok || err != nil || span.keyID != table.KeyID {
			t.Errorf("listed table %d: %v, %v, key %d", id, ok, err, span.keyID)
		}
		if ok, err := r.readable(&span, badger.TableManifest{}, false); ok || err != nil {
			t.Errorf("table %d, not listed: %v, %v", id, ok, err)
		}
	}
}

// A record that a start reads and cannot read does not keep it from starting: it is made again, or
// counted, and what cannot be is refused by its name.
func TestStartUnreadableRecord(t *testing.T) {
	for _, x := range []struct {
		key  []byte
		want error
	}{
		{record.MetaKey(record.MetaTick), nil}, {record.MetaKey(record.MetaCheckpoint), nil}, {record.MetaKey(record.MetaFormat), nil},
		{record.LaneKey(record.PrefixLane, 1), nil}, {record.LaneKey(record.PrefixLane, 2), nil},
		{record.LaneKey(record.PrefixStanding, 2), nil}, {record.LaneKey(record.PrefixRecent, 1), nil},
		{record.LaneKey(record.PrefixMemo, 2), nil}, {record.LaneSeqKey(record.PrefixNotice, 2, 1), nil},
		{record.LaneSeqKey(record.PrefixPurged, 1, 7), nil},
		{record.LaneKey(record.PrefixName, 2), ErrLoss},
	} {
		t.Run(fmt.Sprintf("%q", x.key), func(t *testing.T) {
			f, dir := furnishLog(t, "")
			damage := func(dir string) {
				g := &fixture{t: t, dir: dir}
				g.damage(func(txn *badger.Txn) error { return txn.Set(x.key, []byte("\x01smashed")) })
			}
			if x.want != nil {
				damage(dir)
				f.dir = dir
				if _, err := Open(f.options()); !errors.Is(err, x.want) {
					t.Fatalf("got %v; want %v", err, x.want)
				}
				return
			}
			if len(x.key) == 5 && x.key[0] == record.PrefixRecent || x.key[0] == record.PrefixMemo ||
				x.key[0] == record.PrefixNotice || x.key[0] == record.PrefixPurged {
				f.mayHaveFaults = true // nobody mends what nobody is kept from starting by
			}
			got, aside := f.starts(dir, damage)
			if arrived(got) != furnished || aside > 0 {
				t.Errorf("%d events arrive, %d are set aside", arrived(got), aside)
			}
		})
	}
}

// After the last tick is lost, what waits is due at the next one.
func TestMendTick(t *testing.T) {
	f := open(t)
	a := f.lane("a")
	a.Open(true)
	f.append("one", "a")
	e := f.fetch(a, 1)[0]
	if err := f.Apply(Change{Tick: &record.Tick{Number: 40, At: f.now}}); err != nil {
		t.Fatal(err)
	}
	f.settle(Settlement{Lane: a.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 41})
	f.close()
	f.damage(func(txn *badger.Txn) error { return txn.Set(record.MetaKey(record.MetaTick), []byte("x")) })
	f.Spool = nil
	f.reopen()
	if n := f.LastTick().Number; n != 41 || !f.LastTick().At.IsZero() {
		t.Errorf("the last tick is %d at %v; want 41, never", n, f.LastTick().At)
	}
	if due := f.due(f.lane("a"), f.LastTick().Number+1); len(due) != 1 {
		t.Errorf("%d deliveries are due", len(due))
	}
}

// A list of tables that is gone costs an encrypted spool nothing, whatever record its table begins
// with. (A memo where memos were before set the whole table aside.)
func TestTableBeginsWithMemo(t *testing.T) {
	f := open(t)
	f.close()
	f.dir, f.secret = t.TempDir()+"/encrypted", []byte(testKey)
	f.reopen()
	a := f.lane("a")
	f.append("one", "a")
	e := record.NewEncoder(8)
	e.Bytes([]byte("level 10"))
	f.write(func(txn *badger.Txn) error { return txn.Set(record.LaneKey(record.PrefixMemoOnce, a.id), e.Seal()) })
	f.close()
	if err := os.Remove(filepath.Join(f.dir, ondisk.Dir, badger.ManifestFilename)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(f.options())
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	s.Start()
	f.counts(f.lane("a"), 1, 0)
	if n := f.Quarantined(); n > 0 {
		t.Errorf("%d records are set aside", n)
	}
}
