package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

const testKey = "0123456789abcdef"

// A log whose head no key opens is refused, and no byte changes, unless the operator gives up what is
// in it: then it is kept aside.
func TestUnlockDamagedHead(t *testing.T) {
	effort.WithoutRace(t)
	f, dir := furnishLog(t, testKey)
	path, text := onlyLog(t, dir)
	binary.BigEndian.PutUint64(text[8:], 0)
	if err := ondisk.WriteFile(path, text); err != nil {
		t.Fatal(err)
	}
	f.dir = dir
	if _, err := Open(f.options()); !errors.Is(err, ErrLoss) || !errors.Is(err, mend.ErrKey) {
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
	kept, err := os.ReadFile(filepath.Join(dir, ondisk.AsideDir, filepath.Base(path)))
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
			if kept, _ := filepath.Glob(filepath.Join(dir, ondisk.AsideDir, "*")); len(kept) > 0 {
				t.Errorf("something was taken for damaged: %q", kept)
			}
		})
	}
}

// A file that is called like a table and is none is not the engine's, and keeps nothing from
// starting.
func TestStrangeTable(t *testing.T) {
	effort.WithoutRace(t)
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

// A record that a start reads and cannot read does not keep it from starting: it is made again, or
// counted, and what cannot be is refused by its name.
func TestStartUnreadableRecord(t *testing.T) {
	effort.WithoutRace(t)
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
