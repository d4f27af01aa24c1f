package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

// tornBatch is how many events of an unfinished batch are there, and shared is how many answered
// ones are stored in one with the first of them.
const tornBatch, shared = 5000, 40

// tear leaves a batch whose last events are missing, in several transactions.
func (f *fixture) tear() {
	f.t.Helper()
	f.Close()
	s, err := Open(f.options())
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = s
	g := looseGroup(s)
	for seq := uint64(2); seq < 2+shared+tornBatch; seq++ {
		batchEnd := uint64(0)
		d := &Draft{Payload: bytes.Repeat([]byte{1, byte(seq)}, 300), At: f.now, Seq: seq}
		if seq >= 2+shared {
			batchEnd = 2 + shared + tornBatch + 100
			d.ID, d.Given = fmt.Sprint("torn", seq), true
		}
		d.lanes = []record.LaneID{s.byName["crm"].id}
		parts := d.parts()
		d.rec, d.sum = parts.LayOut(1)
		g.putEvent(d, batchEnd)
	}
	if err := g.commit(); err != nil {
		f.t.Fatal(err)
	}
}

// wantAll wants the events up to a sequence, for all who read, and no others.
func (f *fixture) wantAll(to uint64) {
	f.t.Helper()
	for seq := uint64(1); seq <= to+3; seq++ {
		if _, err := f.Event(seq); err == nil != (seq <= to) {
			f.t.Errorf("event %d: %v", seq, err)
		}
	}
	for next, want := uint64(0), to; ; {
		found, n, err := look.Search(f, look.Query{Below: next, Limit: 7})
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range found {
			if found[i].Seq != want {
				f.t.Fatalf("a search finds event %d; want %d", found[i].Seq, want)
			}
			want--
		}
		if next = n; n == 0 {
			if want > 0 {
				f.t.Errorf("a search finds no event from %d on down", want)
			}
			return
		}
	}
}

// An unfinished batch of several transactions is gone after a start, also if each start before was
// killed after it had removed some of it. What was answered before it stays, and is found when
// others have got the sequences of the batch.
func TestUnfinishedBatchOfFrames(t *testing.T) {
	effort.WithoutRace(t)
	f := open(t)
	f.lane("crm")
	f.append("before", "crm")
	f.tear()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	killed := 0
	for {
		commits, killable := 0, true
		o := f.options()
		o.seam = func(call string, do func() error) error {
			err := do()
			if killable && call == "commit" {
				commits++
				err = errors.Join(err, errInjected)
			}
			return err
		}
		s, err := Open(o)
		if err == nil {
			killable = false
			f.Spool = s
			s.Start()
			break
		}
		if killed++; !errors.Is(err, errInjected) || commits != 1 || killed > tornBatch {
			t.Fatalf("start %d: %d commits, %v", killed, commits, err)
		}
	}
	if killed < tornBatch/unansweredMax {
		t.Errorf("it was removed in %d transactions", killed)
	}
	f.counts(f.lane("crm"), 1+shared, 0)
	f.wantAll(1 + shared)
	if _, err := look.EventByID(f, fmt.Sprint("torn", 2+shared)); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unanswered event is still found: %v", err)
	}
	if d := f.append("after", "crm"); d.Seq != 2+shared {
		t.Errorf("the next event has sequence %d; want %d", d.Seq, 2+shared)
	}
	f.wantAll(2 + shared)
	f.appendRandom(1500, 700, "crm") // its frames end at other events
	f.wantAll(1502 + shared)
	f.reopen()
	f.wantAll(1502 + shared)
	f.counts(f.lane("crm"), 1502+shared, 0)
}

// frame appends events that lie in one frame, each a second younger than the one before.
func (f *fixture) frame(n, size int) {
	f.t.Helper()
	drafts := f.random(n, size, "crm")
	for i, d := range drafts {
		d.At = f.now.Add(time.Duration(i) * time.Second)
	}
	if err := f.Append(drafts...); err != nil {
		f.t.Fatal(err)
	}
}

// deliverBut has all events delivered but some, which fail.
func (f *fixture) deliverBut(l *Lane, n int, fails func(seq uint64) bool) {
	f.t.Helper()
	for _, e := range f.fetch(l, n) {
		st := Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now}
		if fails(e.Seq) {
			st.Verdict, st.Attempts = Retry, 1
		}
		f.settle(st)
	}
	f.commitCheckpoint()
}

// together is what an event lies in: its last event, and the bytes.
func (f *fixture) together(seq uint64) (last uint64, bytes int) {
	r := look.NewReader(f.engine)
	defer r.Close()
	return r.Together(seq)
}

// sweepAt sweeps as of an instant, and says how many transactions that took.
func (f *fixture) sweepAt(now time.Time) uint64 {
	f.t.Helper()
	before := f.disk.Commits()
	if err := f.Sweep(now); err != nil {
		f.t.Fatal(err)
	}
	return f.disk.Commits() - before
}

// removals are the transactions that remove events as of an instant: not what is left of some that
// are gone, which is as much as checkpoints came before they went. The keeper waits meanwhile.
func (f *fixture) removals(now time.Time) uint64 {
	f.t.Helper()
	f.sweepMu.Lock()
	defer f.sweepMu.Unlock()
	before := f.disk.Commits()
	cut, _ := agesOf(f.Spool, now)
	for more := true; more; {
		var err error
		if _, more, err = f.sweepLog(cut); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.sweepReleased(cut); err != nil {
		f.t.Fatal(err)
	}
	return f.disk.Commits() - before
}

// A frame in whose middle the sweep ends is left as it is, however often it is looked at.
func TestSweepEndsInAFrame(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	f.frame(20, 1000)
	f.frame(20, 1000)
	f.deliverBut(l, 40, func(uint64) bool { return false })
	_, before := f.together(21)
	for range 3 {
		f.sweepAt(f.now.Add(time.Hour + 10*time.Second))
	}
	if last, n := f.together(21); last != 40 || n != before {
		t.Errorf("event 21 lies with %d, %d bytes; want 40, %d", last, n, before)
	}
	// The first 11 of each are old enough; of neither all are.
	if got := f.swept.Load(); got != 0 {
		t.Errorf("swept to %d; want 0", got)
	}
	if n := f.sweepAt(f.now.Add(time.Hour + 10*time.Second)); n != 0 {
		t.Errorf("a look writes %d transactions; want none", n)
	}
	f.sweepAt(f.now.Add(time.Hour + time.Minute))
	if got := f.swept.Load(); got != 40 {
		t.Errorf("swept to %d; want 40", got)
	}
	if last, _ := f.together(1); last != 0 {
		t.Errorf("events up to %d are still there", last)
	}
}

// Where some events of each frame are needed, the rest goes once, at most sweepRewritten at a time,
// and what is released of a frame goes in one removal.
func TestSweepHeldFrames(t *testing.T) {
	const frames, each = 12, 100
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	for range frames {
		f.frame(each, 1000)
	}
	held := func(seq uint64) bool { return seq%each == 50 || seq%each == 90 }
	f.deliverBut(l, frames*each, held)
	_, frame := f.together(1)
	at := f.now.Add(2 * time.Hour)
	for portions, swept := 0, uint64(0); swept < frames*each; portions++ {
		_, more, err := f.sweepLog(age{&f.Spool.clock, at, at})
		to := f.swept.Load()
		if err != nil || to == swept || more != (to < frames*each) || to%each != 0 ||
			int(to-swept)/each*frame > sweepRewritten {
			t.Fatalf("portion %d: from %d to %d, more %v, %v", portions, swept, to, more, err)
		}
		swept = to
	}
	for seq := uint64(1); seq <= frames*each; seq++ {
		if _, err := f.Event(seq); err == nil != held(seq) {
			t.Errorf("event %d: %v", seq, err)
		}
	}
	f.commitCheckpoint()
	if n := f.removals(at); n != 0 {
		t.Errorf("the next look removes events in %d transactions; want none", n)
	}
	f.sweepAt(at) // receipts of what is gone
	if n := f.sweepAt(at); n != 0 {
		t.Errorf("the look after it writes %d transactions; want none", n)
	}
	for seq := uint64(1); seq <= frames*each; seq++ {
		if held(seq) {
			f.settle(Settlement{Lane: l.id, Seq: seq, Verdict: Delivered})
		}
	}
	f.commitCheckpoint()
	if n := f.removals(at); n != 1 {
		t.Errorf("what was released goes in %d transactions; want one", n)
	}
	if found, _, err := look.Search(f, look.Query{Limit: 9}); len(found) > 0 || err != nil {
		t.Errorf("events from %d on down are still there, %v", found[0].Seq, err)
	}
}

// Events of large frames that are released go at most sweepRewritten at a time, those of one frame
// together.
func TestReleasedOfFrames(t *testing.T) {
	const frames, each = 8, 200
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	for range frames {
		f.frame(each, 1000)
	}
	_, frame := f.together(1)
	f.deliverBut(l, frames*each, func(uint64) bool { return true })
	at := f.now.Add(2 * time.Hour)
	f.sweepAt(at) // passes all, and removes nothing
	if got := f.swept.Load(); got != frames*each {
		t.Fatalf("swept to %d; want %d", got, frames*each)
	}
	for seq := uint64(1); seq <= frames*each; seq++ {
		if seq%each < each/4 {
			f.settle(Settlement{Lane: l.id, Seq: seq, Verdict: Delivered})
		}
	}
	f.commitCheckpoint()
	atOnce := sweepRewritten / frame
	if n := int(f.removals(at)); n != (frames+atOnce-1)/atOnce {
		t.Errorf("it takes %d transactions; want %d frames in each", n, atOnce)
	}
	for seq := uint64(1); seq <= frames*each; seq++ {
		if _, err := f.Event(seq); err == nil != (seq%each >= each/4) {
			t.Errorf("event %d: %v", seq, err)
		}
	}
}

// A damaged event in a frame is set aside, and all others of the frame are delivered, also after.
func TestQuarantineInAFrame(t *testing.T) {
	f := open(t)
	f.lane("crm")
	drafts := f.random(30, 1000, "crm")
	if err := f.Append(drafts...); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	flipInValues(t, f.dir, drafts[12].Payload)
	l := f.lane("crm")
	l.Open(true)
	want := slices.Concat(drafts[:12], drafts[13:])
	for i, e := range f.fetch(l, 29) {
		if e.Seq != want[i].Seq || !bytes.Equal(e.Payload(), want[i].Payload) {
			t.Fatalf("event %d is handed out; want %d as it was", e.Seq, want[i].Seq)
		}
	}
	f.none(l)
	f.until("it to be set aside", func() bool { return f.Quarantined() == 1 })
	unread, err := f.get(record.UnreadKey(13))
	if err != nil || !bytes.Contains(unread, drafts[12].Payload[1:]) {
		t.Errorf("%d bytes are set aside, %v; want the record as it is", len(unread), err)
	}
	for _, d := range want {
		if e, err := f.Event(d.Seq); err != nil || !bytes.Equal(e.Payload(), d.Payload) {
			t.Errorf("event %d: %v", d.Seq, err)
		}
	}
}

// What setting aside writes again of a frame is counted, once a frame, before the group is committed:
// it needs room in the value log.
func TestSetAsideCountsItsFrame(t *testing.T) {
	f := open(t)
	f.lane("crm")
	drafts := f.random(30, 1000, "crm")
	if err := f.Append(drafts...); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	var c settingAside
	_, frame := f.together(1)
	for _, i := range []int{4, 12, 20} {
		flipInValues(t, f.dir, drafts[i].Payload)
		again := look.NewReader(f.engine)
		_, u, err := f.eventOrUnread(again, uint64(i+1))
		again.Close()
		if err != nil || u == nil {
			t.Fatalf("event %d: %+v, %v; want one that cannot be read", i+1, u, err)
		}
		c.unread = append(c.unread, *u)
	}
	o := c.cost()
	if o.largest < frame || o.bytes < frame || o.bytes > 2*frame {
		t.Errorf("it counts as %d bytes, %d in one; want the %d of the frame", o.bytes, o.largest, frame)
	}
}

// flipInValues changes the first byte of a payload where it lies in the value log.
func flipInValues(t *testing.T, dir string, payload []byte) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, ondisk.Dir, "*.vlog"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(text, payload)
		if at < 0 {
			continue
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			_, err = file.WriteAt([]byte{payload[0] ^ 1}, int64(at))
		}
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no value log has it")
}
