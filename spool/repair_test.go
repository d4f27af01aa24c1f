package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
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
	for i, d := range f.due(a, 9) {
		order := uint64(i % 2)
		if order > 0 {
			f.settle(Settlement{Lane: a.id, Seq: d.Event.Seq, Verdict: Retry, Attempts: 2, Order: order})
		}
		f.settle(Settlement{Lane: a.id, Seq: d.Event.Seq, Attempts: 2, Order: order})
	}
	f.furnishRest()
	f.append("last", "a", "b")
	if err := f.hw.Write(f.Head()); err != nil {
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
		{Tallies: []Tally{{Lane: b.id, Hour: 1, Body: []byte("minutes"), Keep: time.Hour},
			{Slot: 1, Hour: 24, By: "relay", Body: []byte("hours"), Keep: time.Hour}}},
		{Actions: []Action{{At: f.now, Run: 7, Body: []byte("paused")}}},
	} {
		if err := f.Apply(c); err != nil {
			f.t.Fatal(err)
		}
	}
	f.append("cannot be read", "b")
	raw := []byte("what was there")
	if err := f.order(&settingAside{unread: []unreadRecord{{seq: furnishedAside, raw: raw}}}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Forget(f.lane("gone")); err != nil {
		f.t.Fatal(err)
	}
	told := &receipt.Piece{List: []receipt.Receipt{receipt.Of(3, f.now, time.Second, 200)}}
	f.write(func(txn *badger.Txn) error {
		return errors.Join(txn.Set(record.ReceiptsKey(f.lane("a").id, told),
			record.EncodeReceipts(told)), txn.Set(record.ReleasedKey(f.now, 1), nil), txn.Set([]byte{record.PrefixFlush}, nil))
	})
}

// shapeOf is what a damaged log may be told by: the kind of a record, how long its key is, and
// whether it is a deletion.
func shapeOf(e *mend.Entry) string {
	k := record.KindOf(e.Key)
	if k == nil {
		return fmt.Sprintf("%q, which is no record", e.Key)
	}
	s := k.String()
	if least, most := k.KeyBytes(); most == least+1 && len(e.Key) == least {
		s += " without its last part"
	}
	if _, ok := k.Lane(e.Key); !ok && len(k.Parts) > 0 && k.Parts[0] == record.PartAbout {
		s += " of the spool"
	}
	if k.Prefix == record.PrefixMeta {
		s += " " + string(e.Key[1:])
	}
	if e.Deleted {
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
		if len(k.Parts) > 0 && k.Parts[0] == record.PartAbout {
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

// The log that the tests of repairs damage holds every kind of record in every shape, and each is
// told from noise.
func TestLogHasEveryKind(t *testing.T) {
	for _, key := range []string{"", testKey} {
		f, dir := furnishLog(t, key)
		_, text := onlyLog(t, dir)
		seen := map[string]bool{}
		for _, e := range f.entries(dir, text) {
			seen[shapeOf(&e)] = true
			if e.Deleted {
				e.Value = nil
			}
			if err := ondisk.MendRecords().Check(e.Key, e.Value); err != nil {
				t.Errorf("%s is not taken for a record: %v", shapeOf(&e), err)
			}
		}
		for _, want := range shapes() {
			if !seen[want] {
				t.Errorf("furnishLog writes no %s", want)
			}
		}
	}
}

// What is no record is taken for noise, and events say how far they and their batches go.
func TestMendRecords(t *testing.T) {
	event := record.NewEvent(record.Parts{ID: "id", Given: true, Payload: []byte("{}")},
		record.Seal{Seq: 7, BatchEnd: 9, Spool: 1})
	r := ondisk.MendRecords()
	for _, noise := range []struct{ key, value []byte }{
		{[]byte("?"), nil}, {[]byte("?"), event}, {record.LogKey(7)[:8], nil}, {record.LogKey(8), event},
		{record.LogKey(7), event[1:]}, {nil, nil}, {[]byte{record.PrefixFlush}, []byte("x")},
	} {
		if r.Check(noise.key, noise.value) == nil {
			t.Errorf("%q is taken for a record", noise.key)
		}
	}
	if err := errors.Join(r.Check(record.LogKey(7), event), r.Check(record.LogKey(7), nil),
		r.Check([]byte{record.PrefixFlush}, []byte{})); err != nil {
		t.Error(err)
	}
	f := func(key, value []byte, seq, batchEnd uint64) {
		if gotSeq, gotEnd := r.Event(key, value); gotSeq != seq || gotEnd != batchEnd {
			t.Errorf("%q: event %d of a batch up to %d; want %d, %d", key, gotSeq, gotEnd, seq, batchEnd)
		}
	}
	f(record.LogKey(7), event, 7, 9)
	f(record.LogKey(7), []byte("smashed"), 7, 0)
	f(record.UnreadKey(7), event, 0, 0)
	f(nil, nil, 0, 0)
}

// entries are those of a log of the spool.
func (f *fixture) entries(dir string, text []byte) []mend.Entry {
	f.t.Helper()
	l, err := ondisk.OpenLog(ondisk.Options(dir, f.secret, nil), text)
	if err != nil {
		f.t.Fatal(err)
	}
	l.Judge(0, 0)
	if l.Damaged() {
		f.t.Fatal("a sound log is damaged")
	}
	return l.Entries()
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
	atrest.Copy(f.t, dir, g.dir)
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
	if rep, err := care.Verify(f.t.Context(), g.readerOptions(), nil); err != nil ||
		rep.FaultCount > 0 && !f.mayHaveFaults {
		f.t.Errorf("after the repair: %v, faults %q", err, rep.Faults)
	}
	return got, aside
}

// Whatever record of a log is destroyed, the relay starts and delivers every event but the one in it,
// which it sets aside; and every count fits. (Package mend destroys each entry in every way.)
func TestRepairDestroyedEntry(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	for _, key := range []string{"", testKey}[:effort.Rounds(2, 1)] {
		f, dir := furnishLog(t, key)
		path, text := onlyLog(t, dir)
		done := map[byte]bool{}
		for _, e := range f.entries(dir, text) {
			enough := done[e.Key[0]] || key != "" && e.Key[0] != record.PrefixLog
			if enough && !effort.Long() || e.Key[0] == record.PrefixName {
				continue
			}
			done[e.Key[0]] = true
			got, aside := f.starts(dir, func(dir string) {
				b := bytes.Clone(text)
				b[e.At+e.Bytes-1] ^= 0x10
				if err := ondisk.WriteFile(filepath.Join(dir, ondisk.Dir, filepath.Base(path)), b); err != nil {
					t.Fatal(err)
				}
			})
			lost := int64(furnished - arrived(got))
			if want := int64(0); e.Key[0] == record.PrefixLog && !e.Deleted {
				if want = 1; record.KeySeq(e.Key) == furnishedAside {
					want = 0 // it had been set aside before
				}
				if lost != want || aside != want {
					t.Errorf("%s at %d: %d events are lost, %d set aside", shapeOf(&e), e.At, lost, aside)
				}
			} else if lost > 0 {
				t.Errorf("%s at %d: %d events are lost", shapeOf(&e), e.At, lost)
			}
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
	effort.WithoutRace(t)
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	for _, e := range f.entries(dir, text) {
		if string(e.Key) == string(record.LaneKey(record.PrefixName, 2)) {
			clear(text[e.At : e.At+e.Bytes])
		}
	}
	if err := ondisk.WriteFile(path, text); err != nil {
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
	if rep, err := care.Verify(f.t.Context(), f.readerOptions(), nil); err != nil || rep.FaultCount > 0 {
		t.Errorf("%v, faults %q", err, rep.Faults)
	}
}

// A log that ends anywhere, because it was cut short, costs what was after the cut, and that is
// counted; but a last transaction that nobody was told of goes without a word.
func TestRepairTornLog(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	end := len(bytes.TrimRight(text, "\x00"))
	first := f.entries(dir, text)[0]
	for cut := first.At + first.Bytes + 50; cut < end; cut += effort.Most(900, 2500) {
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

// The head of a log, which no checksum covers, says nothing in the clear. In an encrypted one the key
// is found again; without the counter the log is refused.
func TestRepairLogHead(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	for _, key := range []string{"", testKey} {
		f, dir := furnishLog(t, key)
		path, _ := onlyLog(t, dir)
		for _, at := range []int{7, 8, 0, 19}[:effort.Most(4, 2)] {
			damage := func(dir string) {
				flipAt(t, filepath.Join(dir, ondisk.Dir, filepath.Base(path)), at)
			}
			if key != "" && at > 7 {
				f.refuses(dir, damage, ErrLoss)
				continue
			}
			got, aside := f.starts(dir, damage)
			if len(got) != furnished || aside > 0 {
				t.Errorf("byte %d: %d events, %d set aside", at, len(got), aside)
			}
		}
	}
}

// refuses wants that a copy of a crashed spool is not opened after damage, and that nothing of it is
// changed.
func (f *fixture) refuses(dir string, damage func(dir string), want error) {
	f.t.Helper()
	g := f.copied(dir)
	damage(g.dir)
	if _, err := Open(g.options()); !errors.Is(err, want) {
		f.t.Errorf("got %v; want %v", err, want)
	}
	if kept, _ := filepath.Glob(filepath.Join(g.dir, ondisk.AsideDir, "*")); len(kept) > 0 {
		f.t.Errorf("it refuses, and has changed %q", kept)
	}
}

func flipAt(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0x10
	if err := ondisk.WriteFile(path, b); err != nil {
		t.Fatal(err)
	}
}

// inTables makes tables of a spool's log, and leaves the newest events in a log.
func inTables(t *testing.T, key string) (*fixture, string) {
	t.Helper()
	f, dir := furnishLog(t, key)
	f.dir = filepath.Join(t.TempDir(), "spool")
	atrest.Copy(t, dir, f.dir)
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
	effort.WithoutRace(t)
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
		const step = 23 // mend.TestListFlipped looks at every byte
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
	text[7]++
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.options()); !errors.Is(err, record.ErrFormat) {
		t.Errorf("got %v; want ErrFormat", err)
	}
}

// A table with a damaged end or last block is set aside: what was in it is counted, exactly, and
// nothing else is lost. One that holds the names of targets is refused.
func TestRepairTable(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	const each = 20
	for _, key := range []string{"", testKey} {
		f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), secret: []byte(key)}
		f.reopen()
		f.lane("b")
		for range 3 {
			f.reopen() // each close writes a table
			for range each {
				f.append("x", "b")
			}
		}
		f.close()
		tables, _ := filepath.Glob(filepath.Join(f.dir, ondisk.Dir, "*.sst"))
		if len(tables) != 4 {
			t.Fatalf("there are tables %q; want four", tables)
		}
		info, err := os.Stat(tables[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, back := range []int{1, 9, 15, 100, int(info.Size()) / 3} {
			g := f.copied(f.dir)
			flipAt(t, filepath.Join(g.dir, ondisk.Dir, filepath.Base(tables[1])), int(info.Size())-back)
			if rep, err := care.Verify(t.Context(), g.readerOptions(), nil); err != nil || rep.FaultCount == 0 {
				t.Errorf("byte -%d: verify: %v, faults %q", back, err, rep.Faults)
			}
			if _, err := os.Stat(filepath.Join(g.dir, ondisk.AsideDir)); err == nil {
				t.Errorf("byte -%d: whoever only reads has set something aside", back)
			}
			g.reopen()
			if n := g.Quarantined(); n != each {
				t.Errorf("byte -%d: %d records are set aside; want %d", back, n, each)
			}
			l := g.lane("b")
			l.Open(true)
			g.fetch(l, 2*each)
			g.none(l)
			g.counts(l, 2*each, 0)
			g.close()
			if kept, _ := filepath.Glob(filepath.Join(g.dir, ondisk.AsideDir, "*.sst")); len(kept) != 1 {
				t.Errorf("byte -%d: the originals %q are kept; want one", back, kept)
			}
		}
		gone := func(dir string) {
			if err := os.Remove(filepath.Join(dir, ondisk.Dir, filepath.Base(tables[1]))); err != nil {
				t.Fatal(err)
			}
		}
		f.refuses(f.dir, gone, ErrLoss)
		g := f.copied(f.dir)
		gone(g.dir)
		o := g.options()
		o.AcceptLoss = true
		if g.Spool, err = Open(o); err != nil {
			t.Fatal(err)
		}
		g.Start()
		if n := g.Quarantined(); n != each {
			t.Errorf("without a table: %d records are set aside; want %d", n, each)
		}
		g.close()
		g = f.copied(f.dir)
		names := filepath.Join(g.dir, ondisk.Dir, filepath.Base(tables[0]))
		if info, err = os.Stat(names); err != nil {
			t.Fatal(err)
		}
		flipAt(t, names, int(info.Size())-1)
		if _, err := Open(g.options()); !errors.Is(err, ErrLoss) {
			t.Errorf("without the names of targets: %v; want ErrLoss", err)
		}
	}
}

// copied is a spool of its own with the files of another.
func (f *fixture) copied(dir string) *fixture {
	f.t.Helper()
	g := &fixture{t: f.t, dir: filepath.Join(f.t.TempDir(), "copied"), now: f.now, secret: f.secret}
	atrest.Copy(f.t, dir, g.dir)
	return g
}

// A batch that was answered and lost its last record is not taken for one that never was, although no
// high-water mark says so.
func TestRepairBatchEnd(t *testing.T) {
	effort.WithoutRace(t)
	f := open(t)
	f.lane("b")
	f.append("one", "b")
	var batch []*Draft
	for i := range 3 {
		batch = append(batch, &Draft{Type: "t", Payload: []byte("batch"), At: f.now, Given: true,
			ID: fmt.Sprint("batch-", i), Note: []string{"b"}})
	}
	if err := f.Append(batch...); err != nil {
		t.Fatal(err)
	}
	g := f.copied(f.crash())
	f.close()
	if err := highwater.Write(g.dir, 1); err != nil {
		t.Fatal(err)
	}
	path, text := onlyLog(t, g.dir)
	for _, e := range g.entries(g.dir, text) {
		if string(e.Key) == string(record.LogKey(4)) {
			text[e.At+e.Bytes-1] ^= 1
		}
	}
	if err := ondisk.WriteFile(path, text); err != nil {
		t.Fatal(err)
	}
	g.reopen()
	l := g.lane("b")
	l.Open(true)
	g.fetch(l, 3)
	g.none(l)
	if n := g.Quarantined(); n != 1 {
		t.Errorf("%d events are set aside; want 1", n)
	}
	g.close()
}

// A repair that is cut off at any of its steps, done or not, is done again by the next start.
func TestRepairCutOff(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	for _, e := range f.entries(dir, text) { // the fifth event
		if string(e.Key) == string(record.LogKey(5)) {
			copy(text[e.At+20:], "smashed")
		}
	}
	fails, kinds := errors.New("cut off"), make(map[string]bool)
	for first, after := range []bool{false, true} {
		for n, reached := 1+first, true; reached; n += effort.Most(1, 7) {
			got, aside := f.starts(dir, func(dir string) {
				if err := ondisk.WriteFile(filepath.Join(dir, ondisk.Dir, filepath.Base(path)), text); err != nil {
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
					kinds[call] = true
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
	if len(kinds) != 2 {
		t.Errorf("only a %v was cut off", kinds)
	}
}

// The file of keys of a spool in the clear is made again, whatever is in it. That of an encrypted one
// is refused, whichever byte is flipped and wherever it ends, and nothing is changed.
func TestRepairKeys(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f, dir := inTables(t, "")
	for _, damage := range []func(path string) error{
		func(path string) error { flipAt(t, path, 20); return nil },
		func(path string) error { return os.Truncate(path, 0) },
	} {
		got, aside := f.starts(dir, func(dir string) {
			if err := damage(filepath.Join(dir, ondisk.Dir, badger.KeyRegistryFileName)); err != nil {
				t.Fatal(err)
			}
		})
		if len(got) != furnished || aside > 0 {
			t.Errorf("%d events arrive, %d are set aside", len(got), aside)
		}
	}
	_, dir = inTables(t, testKey)
	path := filepath.Join(dir, ondisk.Dir, badger.KeyRegistryFileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newSpool(Options{Dir: dir, Log: f.options().Log})
	refused := func(name, words string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.Precheck(ondisk.Options(dir, []byte(testKey), nil))
		if !errors.Is(err, ErrWrongKey) && !errors.Is(err, ErrDamaged) ||
			!strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v; want %q", name, err, words)
		}
	}
	for at := range text {
		b := bytes.Clone(text)
		b[at] ^= 0x41
		words := "the key at byte 28 cannot be read" // said before the engine reads it
		if at < 28 {
			refused(fmt.Sprintf("cut at %d", at), "cut off", text[:at])
			words = "key does not open"
		} else if at > 36 { // see mend.CheckKeys
			refused(fmt.Sprintf("cut at %d", at), words, text[:at])
		}
		refused(fmt.Sprintf("byte %d", at), words, b)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, ondisk.AsideDir, "*")); len(kept) > 0 || s.Recounting() {
		t.Errorf("it refuses, and has changed %q", kept)
	}
}

// A crashed spool that is opened with a wrong key, or none, is not "repaired": no byte of it changes.
func TestRepairWrongKey(t *testing.T) {
	effort.WithoutRace(t)
	f, dir := furnishLog(t, "0123456789abcdef")
	path, text := onlyLog(t, dir)
	for _, wrong := range []string{"", "0123456789abcdeX"} {
		s := newSpool(Options{Dir: dir, Log: f.options().Log})
		if err := s.Precheck(ondisk.Options(dir, []byte(wrong), nil)); !errors.Is(err, ErrWrongKey) {
			t.Errorf("key %q: got %v; want ErrWrongKey", wrong, err)
		}
		now, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(now, text) {
			t.Errorf("key %q: the log has changed, %v", wrong, err)
		}
		if s.Recounting() {
			t.Errorf("key %q: a repair was begun", wrong)
		}
	}
}

// Of two logs the older one was whole to its end, whatever can be read of it: the newer one goes on
// with the next transaction.
func TestRepairOlderLog(t *testing.T) {
	effort.WithoutRace(t)
	f, dir := furnishLog(t, "")
	path, text := onlyLog(t, dir)
	text = bytes.TrimRight(text, "\x00")
	var begins []int
	txn := uint64(0)
	for _, e := range f.entries(dir, text) {
		if e.Txn != txn {
			txn, begins = e.Txn, append(begins, e.At)
		}
	}
	for _, k := range []int{8, 12, len(begins) - 1} {
		cut := begins[k]
		got, aside := f.starts(dir, func(dir string) {
			first := filepath.Join(dir, ondisk.Dir, filepath.Base(path))
			older := bytes.Clone(text[:cut])
			copy(older[cut-20:], "no end of a transaction")
			err := errors.Join(ondisk.WriteFile(first, append(older, make([]byte, 1000)...)),
				ondisk.WriteFile(strings.Replace(first, "00001", "00002", 1),
					append(bytes.Clone(text[:mend.LogHeadBytes]), text[cut:]...)))
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
	effort.WithoutRace(t)
	f, dir := furnishLog(t, "")
	made := filepath.Join(t.TempDir(), "spool")
	atrest.Copy(t, dir, made)
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
			err = errors.Join(err, ondisk.WriteFile(filepath.Join(dir, ondisk.Dir, "000077.sst"), b))
			s := newSpool(Options{Dir: dir, Log: f.options().Log})
			if err := errors.Join(err, s.Precheck(ondisk.Options(dir, nil, nil))); err != nil {
				t.Fatal(err)
			}
			if s.Recounting() {
				t.Error("it was taken for damage")
			}
		})
		if arrived(got) != furnished || aside > 0 {
			t.Errorf("%d events arrive, %d are set aside", arrived(got), aside)
		}
	}
}
