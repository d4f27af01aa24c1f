package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

// furnishLog leaves a spool as a kill would whose log has every kind of transaction: lanes, events
// one by one, a batch, given ids, failures, settled ones, checkpoints; and every kind of record, in
// every shape, which TestLogHasEveryKind sees to. Events are all owed to lane b, and none of them was
// delivered there; furnishedAside was set aside.
func furnishLog(t *testing.T, key string) (*fixture, string) {
	t.Helper()
	f := open(t)
	if key != "" {
		f.close()
		f.dir, f.secret = t.TempDir()+"/encrypted", []byte(key)
		f.reopen()
	}
	f.furnish()
	var batch []*Draft
	for i := range 3 {
		batch = append(batch, &Draft{Type: "t", Payload: fmt.Appendf(nil, "batch %d", i), At: f.now,
			Given: true, ID: fmt.Sprint("batch-", i), Note: []string{"b"}})
	}
	if err := f.Append(batch...); err != nil {
		t.Fatal(err)
	}
	a := f.lane("a")
	for _, d := range f.due(a, 9) {
		f.settle(Settlement{Lane: a.id, Seq: d.Event.Seq, Attempts: 2})
	}
	f.furnishRest()
	f.append("last", "a", "b")
	if err := f.hw.write(f.Head()); err != nil {
		t.Fatal(err)
	}
	dir := f.crash()
	f.close()
	return f, dir
}

const (
	furnished      = 13 // events
	furnishedAside = 12
)

// furnishRest writes what an ordinary life of a spool rarely sees: notices in every way, of a lane
// and of the spool itself, owed and paid; memos, also where they were before, and removed ones; an
// event that cannot be read; one that was released late; a target that was forgotten; a flush that
// was cut off.
func (f *fixture) furnishRest() {
	f.t.Helper()
	b := f.lane("b")
	paid := Notice{Lane: b.id, Episode: 2, Way: 2, Body: []byte("paid")}
	for _, c := range []Change{
		{Owe: []Notice{paid, {Lane: b.id, Episode: 1, Way: 1, Body: []byte("posted")},
			{Episode: 3, Body: []byte("of the spool")}, {Episode: 3, Way: 1, Body: []byte("posted")}}},
		{Memos: []Memo{{Lane: b.id, Body: []byte("level 50")}, {Body: []byte("90 percent")}}},
		{Paid: []Notice{paid}, Memos: []Memo{{Lane: b.id}}},
		{Memos: []Memo{{Lane: b.id, Body: []byte("level 90")}}},
	} {
		if err := f.Apply(c); err != nil {
			f.t.Fatal(err)
		}
	}
	f.append("cannot be read", "b")
	raw := []byte("what was there")
	if err := f.Apply(Change{unread: []unreadRecord{{seq: furnishedAside, raw: raw}}}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Forget(f.lane("gone")); err != nil {
		f.t.Fatal(err)
	}
	before := record.NewEncoder(8)
	before.Bytes([]byte("level 10"))
	f.write(func(txn *badger.Txn) error {
		return errors.Join(txn.Set(record.LaneKey(record.PrefixMemoOnce, b.id), before.Seal()),
			txn.Set(record.ReleasedKey(f.now, 1), nil), txn.Set([]byte{record.PrefixFlush}, nil))
	})
}

// shapeOf is what a damaged log may be told by: the kind of a record, how long its key is, and
// whether it is a deletion.
func shapeOf(e *walEntry) string {
	k := record.KindOf(e.key)
	if k == nil {
		return fmt.Sprintf("%q, which is no record", e.key)
	}
	s := k.String()
	if least, most := k.KeyBytes(); most == least+1 && len(e.key) == least {
		s += " without its last part"
	}
	if _, ok := k.Lane(e.key); !ok && len(k.Parts) > 0 && k.Parts[0] == record.PartAbout {
		s += " of the spool"
	}
	if k.Prefix == record.PrefixMeta {
		s += " " + string(e.key[1:])
	}
	if e.meta&walMetaDeleted != 0 {
		s += ", deleted"
	}
	return s
}

// shapes are all that a log may hold, by the table of records: a prefix that is added there and not
// written by furnishLog fails TestLogHasEveryKind.
func shapes() (all []string) {
	for i := range record.Kinds() {
		k := &record.Kinds()[i]
		forms := []string{k.String()}
		if least, most := k.KeyBytes(); most == least+1 {
			forms = append(forms, forms[0]+" without its last part")
		}
		if k.Prefix == record.PrefixMeta {
			forms = []string{forms[0] + " " + record.MetaFormat, forms[0] + " " + record.MetaTick,
				forms[0] + " " + record.MetaCheckpoint}
		}
		if len(k.Parts) > 0 && k.Parts[0] == record.PartAbout && k.Prefix != record.PrefixMemoOnce {
			for _, form := range forms {
				forms = append(forms, form+" of the spool")
			}
		}
		all = append(all, forms...)
		if k.Again && k.Prefix != record.PrefixExhausted && k.Prefix != record.PrefixPurged || k.Prefix == record.PrefixLog {
			all = append(all, k.String()+", deleted")
		}
	}
	return all
}

// The log that the tests of repairs damage holds every kind of record in every shape.
func TestLogHasEveryKind(t *testing.T) {
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := furnishLog(t, key)
		_, text := onlyLog(t, dir)
		w, _, err := f.unlocked(dir, text)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, txn := range newSalvage(w).txns {
			for i := range txn.entries {
				e := &txn.entries[i]
				seen[shapeOf(e)] = true
				if !e.plausible() || !e.sound() {
					t.Errorf("%s is not taken for a record", shapeOf(e))
				}
			}
		}
		for _, want := range shapes() {
			if !seen[want] {
				t.Errorf("furnishLog writes no %s", want)
			}
		}
	}
}

// unlocked is a log of the spool, readable.
func (f *fixture) unlocked(dir string, text []byte) (*wal, uint64, error) {
	s := &Spool{dir: dir, log: f.options().Log}
	return s.unlock(ondisk.Options(dir, f.secret, nil), bytes.Clone(text))
}

// onlyLog is the log of a crashed spool.
func onlyLog(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, ondisk.Dir, "*.mem"))
	if len(names) != 1 {
		t.Fatalf("there are logs %q; want one", names)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return names[0], text
}

// starts opens a copy of a crashed spool after damage, and returns the sequences that lane b gets,
// and how many records are set aside. Closed again, it must verify.
func (f *fixture) starts(dir string, damage func(dir string)) (got map[uint64]bool, aside int64) {
	f.t.Helper()
	g := &fixture{t: f.t, dir: filepath.Join(f.t.TempDir(), "damaged"), now: f.now, secret: f.secret}
	copySparse(f.t, dir, g.dir)
	defer os.RemoveAll(g.dir)
	damage(g.dir)
	o := g.options()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := Open(o)
	if err != nil {
		f.t.Errorf("it does not start: %v", err)
		return nil, 0
	}
	g.Spool = s
	s.Start()
	got = make(map[uint64]bool)
	for _, l := range s.Lanes() {
		l.Open(true)
		for {
			es, err := l.Fetch(100)
			if err != nil {
				f.t.Fatal(err)
			}
			if len(es) == 0 {
				break
			}
			for _, e := range es {
				got[e.Seq] = got[e.Seq] || l.Name() == "b"
				g.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, At: g.now})
			}
		}
		for _, d := range g.due(l, 99) {
			g.settle(Settlement{Lane: l.id, Seq: d.Event.Seq, Attempts: 3})
		}
		if c := l.Counts(); c.Pending != 0 {
			f.t.Errorf("target %q has %d deliveries pending that nobody can make", l.Name(), c.Pending)
		}
	}
	if head := s.Head(); head != furnished {
		f.t.Errorf("the newest event is %d; want %d", head, furnished)
	}
	aside = s.Quarantined()
	if _, err := s.get(record.UnreadKey(furnishedAside)); err == nil { // as it was before the damage
		got[furnishedAside] = true
		aside--
	}
	g.close()
	if rep, err := Verify(f.t.Context(), g.readerOptions(), nil); err != nil ||
		rep.FaultCount > 0 && !f.mayHaveFaults {
		f.t.Errorf("after the repair: %v, faults %q", err, rep.Faults)
	}
	return got, aside
}

// Whichever byte of a log is flipped, and however, the log is put right: nothing is lost.
func TestSalvageFlippedByte(t *testing.T) {
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := furnishLog(t, key)
		_, text := onlyLog(t, dir)
		w, _, err := f.unlocked(dir, text)
		if err != nil {
			t.Fatal(err)
		}
		whole := newSalvage(w)
		want := whole.plainly()
		end := len(bytes.TrimRight(text, "\x00"))
		if whole.damaged() || len(whole.open.entries) > 0 || len(whole.txns) < 10 ||
			key == "" && !bytes.Equal(whole.remade(0)[:end], text[:end]) {
			t.Fatalf("a sound log is read as %d transactions", len(whole.txns))
		}
		flips := []byte{0x10, 0x80, 0xff}
		for at := logHeadBytes; at < len(want); at++ {
			for _, flip := range flips {
				if key != "" && flip != flips[at%len(flips)] {
					continue // it takes longer
				}
				b := &wal{b: bytes.Clone(text[:len(want)+100]), secret: w.secret, iv: w.iv, budget: walBudget}
				b.b[at] ^= flip
				s := newSalvage(b)
				s.judge(furnished, 0)
				if !s.damaged() || !bytes.Equal(s.plainly(), want) {
					t.Fatalf("byte %d xor %x: %d corrected, %d places lost, %d transactions of %d", at, flip,
						s.corrected, len(s.lost), len(s.txns), len(whole.txns))
				}
			}
		}
	}
}

// plainly is remade in the clear.
func (s *salvage) plainly() []byte {
	plain := *s
	plain.wal = new(wal)
	return plain.remade(0)
}

// Whichever entry of a log is destroyed, the relay starts and delivers every event but the one in
// it, which it sets aside; and every count fits.
func TestRepairDestroyedEntry(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := furnishLog(t, key)
		path, text := onlyLog(t, dir)
		w, _, err := f.unlocked(dir, text)
		if err != nil {
			t.Fatal(err)
		}
		ways := []func(b []byte){
			func(b []byte) { clear(b[:4]) },
			func(b []byte) { clear(b) },
			func(b []byte) { copy(b, bytes.Repeat([]byte{0xa5}, len(b))) },
		}
		for at, i := logHeadBytes, 0; ; i++ {
			e, ok := w.entry(at)
			if !ok {
				break
			}
			every := 9
			if os.Getenv("HOOKSPOOL_LONG") != "" {
				every = 1
			}
			if e.key[0] != record.PrefixName && i%every == 0 && (key == "" || i%3 == 0) {
				got, aside := f.starts(dir, func(dir string) {
					b := bytes.Clone(text)
					ways[i/5%3](b[at : at+e.size])
					if err := writeFile(filepath.Join(dir, ondisk.Dir, filepath.Base(path)), b); err != nil {
						t.Fatal(err)
					}
				})
				lost := furnished - arrived(got)
				if int64(lost) > aside || lost > 1 || lost == 1 && e.key[0] != record.PrefixLog {
					t.Errorf("%q at %d: %d events are lost, %d set aside", e.key, at, lost, aside)
				}
			}
			at += e.size
		}
	}
}

// arrived counts the events that lane b got.
func arrived(got map[uint64]bool) int {
	n := 0
	for _, b := range got {
		if b {
			n++
		}
	}
	return n
}

// A target whose name is gone has deliveries that nobody would make, and nobody would miss: that is
// refused. Told to go on, the relay keeps them under another name.
func TestRepairLostName(t *testing.T) {
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	w := newWAL(text)
	for at := logHeadBytes; ; {
		e, ok := w.entry(at)
		if !ok {
			t.Fatal("there is no name")
		}
		if string(e.key) == string(record.LaneKey(record.PrefixName, 2)) {
			clear(text[at : at+e.size])
			break
		}
		at += e.size
	}
	if err := writeFile(path, text); err != nil {
		t.Fatal(err)
	}
	f.dir = dir
	for range 2 { // the repair is done, and the counts are still to be made
		if _, err := Open(f.options()); !errors.Is(err, ErrLoss) {
			t.Fatalf("got %v; want ErrLoss", err)
		}
	}
	o := f.options()
	o.AcceptLoss = true
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	s.Start()
	f.counts(f.lane("unnamed-2"), furnished-1, 0)
	f.close()
	if rep, err := Verify(f.t.Context(), f.readerOptions(), nil); err != nil || rep.FaultCount > 0 {
		t.Errorf("%v, faults %q", err, rep.Faults)
	}
}

// A log that ends anywhere, because it was cut short, costs what was behind the cut, and that is
// counted; but a last transaction that nobody was told of goes without a word.
func TestRepairTornLog(t *testing.T) {
	t.Parallel()
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	end := len(bytes.TrimRight(text, "\x00"))
	whole := newSalvage(newWAL(bytes.Clone(text)))
	first := whole.txns[0].entries[0]
	for cut := first.at + first.size + 50; cut < end; cut += 251 {
		got, aside := f.starts(dir, func(dir string) {
			if err := os.Truncate(filepath.Join(dir, ondisk.Dir, filepath.Base(path)), int64(cut)); err != nil {
				t.Fatal(err)
			}
		})
		n := int64(arrived(got))
		if n+aside < furnished {
			t.Errorf("cut at %d: %d events arrive, %d are set aside", cut, n, aside)
		}
	}
}

// What a crash leaves costs nothing: the last transaction is dropped if nobody can have been told of
// it, whether its end is missing or a hole in it was never written.
func TestSalvageUnanswered(t *testing.T) {
	_, dir := furnishLog(t, "")
	_, text := onlyLog(t, dir)
	w := &wal{b: bytes.Clone(text[:len(bytes.TrimRight(text, "\x00"))])}
	before := len(newSalvage(newWAL(bytes.Clone(w.b))).txns)
	from := len(w.b)
	number := newSalvage(newWAL(bytes.Clone(w.b))).last + 1
	for i := range uint64(3) {
		w.write(logInTxn, 0, record.LogKey(furnished+1+i), number, bytes.Repeat([]byte("x"), 1500))
	}
	open := bytes.Clone(w.b)
	w.write(logEndTxn, 0, []byte(walTxnKey), number, txnNumber(number))
	hole := bytes.Clone(w.b)
	clear(hole[from+400 : from+400+2*sectorBytes])
	f := func(text []byte, answered, later uint64, want int, damaged bool) {
		t.Helper()
		s := newSalvage(newWAL(bytes.Clone(append(bytes.Clone(text), make([]byte, 100)...))))
		s.judge(answered, later)
		if len(s.txns) != before+want || s.damaged() != damaged {
			t.Errorf("%d transactions, damaged %v; want %d, %v", len(s.txns), s.damaged(), before+want,
				damaged)
		}
	}
	// Its end is missing; nobody was told.
	f(open, furnished, 0, 0, false)
	// Its end is missing, and an event in it was answered.
	f(open, furnished+3, 0, 1, true)
	// Its end is missing, and another log goes on with the next transaction, or with the same number.
	f(open, furnished, number+1, 1, true)
	f(open, furnished+3, number, 0, false)
	// It has a hole; nobody was told, or somebody was.
	f(hole, furnished, 0, 0, false)
	f(hole, furnished+3, 0, 1, true)
	f(hole, furnished, number+1, 1, true)
	// A torn last entry.
	f(w.b[:from+700], furnished, 0, 0, false)
}

// The head of an encrypted log, which no checksum covers, is found again.
func TestRepairLogHead(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := furnishLog(t, key)
		path, _ := onlyLog(t, dir)
		for at := 0; at < logHeadBytes; at += 3 {
			got, aside := f.starts(dir, func(dir string) {
				flipAt(t, filepath.Join(dir, ondisk.Dir, filepath.Base(path)), at)
			})
			if len(got) != furnished || aside > 0 {
				t.Errorf("byte %d: %d events, %d set aside", at, len(got), aside)
			}
		}
	}
}

func flipAt(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0x10
	if err := writeFile(path, b); err != nil {
		t.Fatal(err)
	}
}

// inTables makes tables of a spool's log, and leaves the newest events in a log.
func inTables(t *testing.T, key string) (*fixture, string) {
	t.Helper()
	f, dir := furnishLog(t, key)
	f.dir = filepath.Join(t.TempDir(), "spool")
	copySparse(t, dir, f.dir)
	for range 3 {
		s, err := Open(f.options())
		if err != nil {
			t.Fatal(err)
		}
		f.Spool = s
		s.Start()
		f.commitCheckpoint()
		f.close() // each close writes a table
	}
	return f, f.dir
}

// A manifest that is gone, cut anywhere or flipped anywhere costs nothing as long as the tables are
// there, encrypted or not.
func TestRepairManifest(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := inTables(t, key)
		path := filepath.Join(dir, ondisk.Dir, badger.ManifestFilename)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f1 := func(name string, damage func(path string) error) {
			t.Helper()
			got, aside := f.starts(dir, func(dir string) {
				if err := damage(filepath.Join(dir, ondisk.Dir, badger.ManifestFilename)); err != nil {
					t.Fatal(err)
				}
			})
			if len(got) != furnished || aside > 0 {
				t.Errorf("%s: %d events arrive, %d are set aside", name, len(got), aside)
			}
		}
		f1("gone", os.Remove)
		const step = 11 // TestTableListFlipped looks at every byte
		for at := 0; at < len(text); at += step {
			f1(fmt.Sprintf("cut at %d", at), func(path string) error { return os.Truncate(path, int64(at)) })
			f1(fmt.Sprintf("flipped at %d", at), func(path string) error { flipAt(t, path, at); return nil })
		}
	}
}

// A newer engine's manifest is no damage.
func TestNewerManifest(t *testing.T) {
	f := open(t)
	f.close()
	path := filepath.Join(f.dir, ondisk.Dir, badger.ManifestFilename)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(text[6:], manifestVersion+1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.options()); !errors.Is(err, record.ErrFormat) {
		t.Errorf("got %v; want ErrFormat", err)
	}
}

// A flipped byte in a table's end is put right; a table that cannot be is set aside, and what is
// missing with it is counted, or refused.
func TestRepairTable(t *testing.T) {
	f, dir := inTables(t, "")
	tables, _ := filepath.Glob(filepath.Join(dir, ondisk.Dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("there is no table")
	}
	for _, table := range tables {
		info, err := os.Stat(table)
		if err != nil {
			t.Fatal(err)
		}
		for back := 1; back < 40; back += 3 {
			got, aside := f.starts(dir, func(dir string) {
				flipAt(t, filepath.Join(dir, ondisk.Dir, filepath.Base(table)), int(info.Size())-back)
			})
			if len(got) != furnished || aside > 0 {
				t.Errorf("byte -%d: %d events arrive, %d are set aside", back, len(got), aside)
			}
		}
	}
}

// A repair that is cut off at any of its steps, done or not, is done again by the next start.
func TestRepairCutOff(t *testing.T) {
	t.Parallel()
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	w := newWAL(text)
	for at := logHeadBytes; ; { // the fifth event
		e, ok := w.entry(at)
		if !ok {
			t.Fatal("there is no fifth event")
		}
		if string(e.key) == string(record.LogKey(5)) {
			copy(text[at+20:], "smashed")
			break
		}
		at += e.size
	}
	fails := errors.New("cut off")
	for _, after := range []bool{false, true} {
		for n, reached := 1, true; reached; n++ {
			got, aside := f.starts(dir, func(dir string) {
				if err := writeFile(filepath.Join(dir, ondisk.Dir, filepath.Base(path)), text); err != nil {
					t.Fatal(err)
				}
				calls := 0
				o := f.options()
				o.Dir = dir
				o.seam = func(call string, do func() error) error {
					if call == "repair" || call == "commit" {
						calls++
					}
					if calls != n || call != "repair" && call != "commit" {
						return do()
					}
					if after {
						return errors.Join(do(), fails)
					}
					return fails
				}
				s, err := Open(o)
				if reached = calls >= n; reached != errors.Is(err, fails) {
					t.Errorf("call %d of %d: %v", n, calls, err)
				}
				if err == nil {
					calls = n // closing is none of it
					s.Start()
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
			if arrived(got) != furnished-1 || aside != 1 {
				t.Errorf("step %d, done %v: %d events arrive, %d are set aside", n, after, arrived(got), aside)
			}
		}
	}
}

// Only the byte that is wrong is put right, wherever it is, and other damage is not taken for one.
func TestCorrectByte(t *testing.T) {
	for n := range 300 {
		w := new(wal)
		w.write(logInTxn, 0, record.LogKey(1), 1, bytes.Repeat([]byte{7}, n))
		for at := range w.b {
			b := bytes.Clone(w.b)
			b[at] ^= byte(at*31 | 1)
			if !correctByte(b, func() bool { return bytes.Equal(b, w.b) }) {
				t.Fatalf("byte %d of %d was not found", at, len(b))
			}
		}
	}
	for _, b := range [][]byte{nil, {1}, {0, 0, 0}, {0, 0, 0, 0}} {
		if correctByte(b, func() bool { return true }) {
			t.Errorf("%x was corrected", b)
		}
	}
}

// Whichever byte of a manifest is flipped, it reads as it was.
func TestTableListFlipped(t *testing.T) {
	_, dir := inTables(t, "")
	engine := filepath.Join(dir, ondisk.Dir)
	want, err := readTableList(engine)
	if err != nil || !want.whole || want.changed || len(want.tables) == 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	path := filepath.Join(engine, badger.ManifestFilename)
	for at := range want.text {
		for _, flip := range []byte{0x10, 0x80, 0xff} {
			b := bytes.Clone(want.text)
			b[at] ^= flip
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readTableList(engine)
			if err != nil || !got.whole || !got.changed || !reflect.DeepEqual(got.tables, want.tables) {
				t.Errorf("byte %d xor %x: %+v, %v", at, flip, got, err)
			}
		}
	}
}

// Whichever byte of the engine's file of keys is flipped, it is put right; a wrong key stays one.
func TestRepairKeys(t *testing.T) {
	for _, key := range []string{"", "0123456789abcdef"} {
		f, dir := inTables(t, key)
		text, err := os.ReadFile(filepath.Join(dir, ondisk.Dir, badger.KeyRegistryFileName))
		if err != nil {
			t.Fatal(err)
		}
		for at := range text {
			b := bytes.Clone(text)
			b[at] ^= 0x41
			if key != "" && !bytes.Equal(fixKeys(b, f.secret), text) {
				t.Errorf("byte %d of %d is not put right", at, len(text))
			}
		}
		for at := 1; at < len(text); at += 9 {
			got, aside := f.starts(dir, func(dir string) {
				flipAt(t, filepath.Join(dir, ondisk.Dir, badger.KeyRegistryFileName), at)
			})
			if len(got) != furnished || aside > 0 {
				t.Errorf("byte %d: %d events arrive, %d are set aside", at, len(got), aside)
			}
		}
		for _, wrong := range []string{"", "0123456789abcdeX"} {
			if wrong == key || wrong != "" && key == "" {
				continue
			}
			// The engine refuses it, later, and leaves goroutines behind.
			s := &Spool{dir: dir, log: f.options().Log, repairs: true}
			if err := s.precheck(ondisk.Options(dir, []byte(wrong), nil)); err != nil &&
				!errors.Is(err, ErrWrongKey) {
				t.Errorf("key %q: got %v; want none, or ErrWrongKey", wrong, err)
			}
		}
		if kept, _ := filepath.Glob(filepath.Join(dir, asideDir, "*")); len(kept) > 0 {
			t.Errorf("a wrong key has changed %q", kept)
		}
	}
}

// A crashed spool that is opened with a wrong key, or none, is not "repaired": no byte of it changes.
func TestRepairWrongKey(t *testing.T) {
	f, dir := furnishLog(t, "0123456789abcdef")
	path, text := onlyLog(t, dir)
	for _, wrong := range []string{"", "0123456789abcdeX"} {
		s := &Spool{dir: dir, log: f.options().Log, repairs: true}
		if err := s.precheck(ondisk.Options(dir, []byte(wrong), nil)); !errors.Is(err, ErrWrongKey) {
			t.Errorf("key %q: got %v; want ErrWrongKey", wrong, err)
		}
		now, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(now, text) {
			t.Errorf("key %q: the log has changed, %v", wrong, err)
		}
		if s.recounting() {
			t.Errorf("key %q: a repair was begun", wrong)
		}
	}
}

// Of two logs the older one was whole to its end, whatever can be read of it: the newer one goes on
// with the next transaction.
func TestRepairOlderLog(t *testing.T) {
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	text = bytes.TrimRight(text, "\x00")
	whole := newSalvage(newWAL(bytes.Clone(text)))
	for _, k := range []int{8, 12, len(whole.txns) - 1} {
		cut := whole.txns[k].entries[0].at
		got, aside := f.starts(dir, func(dir string) {
			first := filepath.Join(dir, ondisk.Dir, filepath.Base(path))
			older := bytes.Clone(text[:cut])
			copy(older[cut-20:], "no end of a transaction")
			err := errors.Join(writeFile(first, append(older, make([]byte, 1000)...)),
				writeFile(strings.Replace(first, "00001", "00002", 1),
					append(bytes.Clone(text[:logHeadBytes]), text[cut:]...)))
			if err != nil {
				t.Fatal(err)
			}
		})
		if arrived(got) != furnished || aside > 0 {
			t.Errorf("cut before transaction %d: %d events arrive, %d are set aside", k, arrived(got), aside)
		}
	}
}

// What a crash leaves of tables that no list names yet is no damage: the log that one of them was
// being made of is still there.
func TestRepairUnlistedTable(t *testing.T) {
	f, dir := furnishLog(t, "")
	made := filepath.Join(t.TempDir(), "spool")
	copySparse(t, dir, made)
	g := &fixture{t: t, dir: made, now: f.now}
	g.reopen()
	g.close()
	tables, _ := filepath.Glob(filepath.Join(made, ondisk.Dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("there is no table")
	}
	for _, whole := range []bool{true, false} {
		got, aside := f.starts(dir, func(dir string) {
			b, err := os.ReadFile(tables[0])
			if err == nil && !whole {
				b = b[:len(b)/2]
			}
			err = errors.Join(err, writeFile(filepath.Join(dir, ondisk.Dir, "000077.sst"), b))
			s := &Spool{dir: dir, log: f.options().Log, repairs: true}
			if err := errors.Join(err, s.precheck(ondisk.Options(dir, nil, nil))); err != nil {
				t.Fatal(err)
			}
			if s.recounting() {
				t.Error("it was taken for damage")
			}
		})
		if arrived(got) != furnished || aside > 0 {
			t.Errorf("%d events arrive, %d are set aside", arrived(got), aside)
		}
	}
}
