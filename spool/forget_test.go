package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

// trouble gives a lane one record in every table that a lane has records in.
func (f *fixture) trouble(l *Lane) {
	f.t.Helper()
	for range 3 {
		f.append("x", l.name, "crm")
	}
	e := f.fetch(l, 1)[0]
	f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1,
		Error: "refused"})
	e = f.fetch(l, 1)[0]
	f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Exhausted, Attempts: 1,
		Error: "refused"})
	st := record.Standing{FailedJobs: 3}
	if err := f.Apply(Change{Standing: &st, StandingOf: l.id,
		Owe:   []Notice{{Lane: l.id, Episode: 1, Body: []byte("defect")}, {Lane: l.id, Episode: 1, Way: 1}},
		Memos: []Memo{{Lane: l.id, Body: []byte("warned")}}}); err != nil {
		f.t.Fatal(err)
	}
	told := &receipt.Piece{List: []receipt.Receipt{receipt.Of(3, f.now, time.Second, 200)}}
	f.write(func(txn *badger.Txn) error {
		return txn.Set(record.ReceiptsKey(l.id, told), record.EncodeReceipts(told))
	})
}

// keysOfLane are the records of a lane, by their tables.
func (f *fixture) keysOfLane(id record.LaneID) string {
	f.t.Helper()
	tables := ""
	for _, prefix := range append(record.OfLane(), record.PrefixName) {
		err := f.scan(record.LaneKey(prefix, id), nil, func([]byte, []byte) (bool, error) {
			tables += string(rune(prefix))
			return false, nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return tables
}

// sound verifies the spool, and exports all of it.
func (f *fixture) sound(when string) string {
	f.t.Helper()
	rep, err := care.VerifyLive(context.Background(), f.Spool, nil)
	if err != nil || rep.FaultCount > 0 {
		f.t.Errorf("%s: %v, faults %q", when, err, rep.Faults)
	}
	var b bytes.Buffer
	if _, err := care.Export(context.Background(), f.Spool, &b, care.Selection{All: true}); err != nil {
		f.t.Errorf("%s: cannot export: %v", when, err)
	}
	return b.String()
}

// A lane that owes something stays. One that does not goes with all its records; the events that
// list it can be read by everybody, also after a restart, after everything was counted again, and
// out of a backup; its number is never used again, and its name may be.
func TestForget(t *testing.T) {
	f := open(t)
	_, old := f.lane("crm"), f.lane("old")
	f.trouble(old)
	old.Open(false)
	for _, state := range []State{StatePending, StateExhausted} {
		if err := f.Forget(old); !errors.Is(err, ErrOwing) {
			t.Fatalf("with deliveries: %v; want ErrOwing", err)
		}
		if _, err := old.Purge(context.Background(), Purge{State: state}); err != nil {
			t.Fatal(err)
		}
	}
	if tables := f.keysOfLane(old.id); tables != "lpgokhrvn" {
		t.Errorf("before, it has records in %q", tables)
	}
	if err := errors.Join(f.Forget(old), f.Forget(old)); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if err := f.clearForgotten(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if tables := f.keysOfLane(old.id); tables != "n" {
			t.Errorf("%s, it has records in %q", when, tables)
		}
		if len(f.Lanes()) != 1 || f.byName["old"] != nil || f.LaneByID(old.id) != nil {
			t.Errorf("%s, it is still there", when)
		}
		exported := f.sound(when)
		if strings.Contains(exported, "old") || strings.Count(exported, `"crm"`) != 3 {
			t.Errorf("%s, the export is %s", when, exported)
		}
		e, err := f.Event(1)
		if err != nil || len(f.OwedBy(e)) != 1 || !e.OwedTo(old.id) {
			t.Errorf("%s, event 1 is owed by %v, %v", when, f.OwedBy(e), err)
		}
		found, _, err := look.Search(f, look.Query{Limit: 9})
		if err != nil || len(found) != 3 || len(found[0].Places) != 1 {
			t.Errorf("%s, a search finds %v, %v", when, found, err)
		}
	}
	check("at once")
	f.writesNothing(old)
	check("after late outcomes")
	f.reopen()
	check("after a restart")
	var backup bytes.Buffer
	if _, err := care.Backup(context.Background(), f.Spool, &backup); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, ondisk.RecountName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	check("counted again")
	crm := f.lane("crm")
	f.counts(crm, 3, 0)
	f.restoredWithout(&backup, old)
	again := f.lane("old")
	if again.id <= old.id {
		t.Errorf("the name came back as lane %d; it was %d", again.id, old.id)
	}
	d := f.append("new", "old")
	if es := f.fetch(again, 1); es[0].Seq != d.Seq {
		t.Errorf("the new lane was handed event %d; want %d", es[0].Seq, d.Seq)
	}
	f.none(again)
	f.sound("with the name again")
}

// writesNothing sends what may be on its way when a lane is forgotten.
func (f *fixture) writesNothing(l *Lane) {
	f.t.Helper()
	for _, fresh := range []bool{true, false} {
		f.settle(Settlement{Lane: l.id, Seq: 2, Fresh: fresh, Verdict: Retry, Attempts: 1})
	}
	l.mu.Lock()
	l.markDirtyLocked()
	l.mu.Unlock()
	err := f.Apply(Change{Standing: &record.Standing{FailedJobs: 1}, StandingOf: l.id,
		Owe: []Notice{{Lane: l.id, Episode: 1}}, Memos: []Memo{{Lane: l.id, Body: []byte("x")}}})
	if err != nil {
		f.t.Error(err)
	}
	if n, err := f.Replay(record.Ref{Lane: l.id, Seq: 3}); n != 0 || !errors.Is(err, ErrNotFound) {
		f.t.Errorf("replayed %d, %v; want ErrNotFound", n, err)
	}
	if n, err := l.Purge(context.Background(), Purge{State: StatePending}); n != 0 || err != nil {
		f.t.Errorf("purged %d, %v", n, err)
	}
}

// restoredWithout restores a backup, in which the lane is forgotten as well.
func (f *fixture) restoredWithout(backup io.Reader, l *Lane) {
	f.t.Helper()
	r := &fixture{t: f.t, dir: f.t.TempDir() + "/restored", now: f.now}
	o := r.options()
	_, rep, err := care.Restore(context.Background(), backup, care.RestoreOptions{Dir: r.dir, Log: o.Log})
	if err != nil || rep.FaultCount > 0 {
		f.t.Fatal(err, rep)
	}
	r.reopen()
	defer r.Close()
	if other := r.lane("other"); other.id <= l.id {
		f.t.Errorf("after a restore lane %d was given again", other.id)
	}
}

// What a forgotten lane leaves may be more than one commit can delete; it goes all the same, also
// when the process ends on the way, and nobody sees it meanwhile.
func TestForgetMuch(t *testing.T) {
	f := open(t)
	f.lane("crm")
	old := f.lane("old")
	const events = 3*forgetMax + 7
	for range events / 1000 {
		f.appendRandom(1000, 8, "old")
	}
	f.appendRandom(events%1000, 8, "old")
	if n, err := old.Purge(context.Background(), Purge{State: StatePending}); n != events || err != nil {
		t.Fatalf("purged %d, %v; want %d", n, err, events)
	}
	if err := f.Forget(old); err != nil {
		t.Fatal(err)
	}
	f.sound("with marks left")
	f.reopen()
	f.sound("after a restart")
	deadline := time.Now().Add(testPatience)
	for f.keysOfLane(old.id) != "n" {
		if err := f.clearForgotten(); err != nil || time.Now().After(deadline) {
			t.Fatalf("there is still %q, %v", f.keysOfLane(old.id), err)
		}
	}
	f.sound("at last")
	f.pass(3 * time.Hour)
	f.flushNow()
	if err := f.Sweep(f.now); err != nil {
		t.Fatal(err)
	}
	f.sound("swept")
}

// exportedLine is what an import takes.
func exportedLine(id string, at time.Time, targets ...string) *care.Exported {
	text := "{}"
	x := &care.Exported{ID: id, AcceptedAt: at, Payload: &text}
	for _, name := range targets {
		x.Targets = append(x.Targets, care.ExportedTarget{Name: name, State: "pending"})
	}
	return x
}

// An import makes the lanes that it needs together with the events, or neither: not for a batch
// with an id in conflict, an instant to come, or too many names.
func TestImportJudgesFirst(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.append("held", "crm")
	held, err := f.Event(1)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]*care.Exported, care.ImportNamesMax+1)
	for i := range many {
		many[i] = exportedLine(fmt.Sprint("many-", i), f.now, fmt.Sprint("target-", i))
	}
	refused := func(what string, at int, list ...*care.Exported) {
		t.Helper()
		var bad *care.ImportError
		if _, err := care.Import(f.Spool, list, nil); !errors.As(err, &bad) || bad.Reasons[at] == "" {
			t.Errorf("%s: %v; want a reason for line %d", what, err, at)
		} else {
			t.Logf("%s: %s", what, bad.Reasons[at])
		}
		if len(f.Lanes()) != 1 || f.Head() != 1 || f.keysOfLane(2) != "" {
			t.Errorf("%s: lanes were made", what)
		}
	}
	good := exportedLine("good", f.now, "new")
	refused("an id in conflict", 1, good, exportedLine(held.ID(), f.now, "other"))
	refused("an id twice", 1, good, func() *care.Exported {
		x := exportedLine("good", f.now, "other")
		*x.Payload = "else"
		return x
	}())
	refused("to come", 1, good, exportedLine("later", f.now.Add(25*time.Hour), "other"))
	refused("too many names", care.ImportNamesMax-1, many...) // crm is an orphan as well
	huge := exportedLine("huge", f.now, "huge")
	*huge.Payload = strings.Repeat("x", record.BytesMax)
	refused("too large", 1, good, huge)

	claimed := func(name string) bool { return name == "crm" }
	n, err := care.Import(f.Spool, many[:care.ImportNamesMax], claimed)
	if err != nil || n.Imported != care.ImportNamesMax || len(f.Lanes()) != care.ImportNamesMax+1 {
		t.Fatalf("as many as may be: %+v, %v, %d lanes", n, err, len(f.Lanes()))
	}
	var bad *care.ImportError
	if _, err := care.Import(f.Spool, []*care.Exported{good}, claimed); !errors.As(err, &bad) {
		t.Errorf("one orphan more: %v; want a refusal", err)
	}
	if _, err := care.Import(f.Spool, []*care.Exported{good}, func(string) bool { return true }); err != nil {
		t.Errorf("a target of the config beside as many orphans as may be: %v", err)
	}
	f.reopen()
	f.sound("after a restart")
	l := f.lane("new")
	if es := f.fetch(l, 1); es[0].ID() != "good" {
		t.Errorf("the new target is owed %s", es[0].ID())
	}
}

// The commit that an import is has its lanes in it: one that fails leaves neither.
func TestImportIsOneCommit(t *testing.T) {
	f := open(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o := f.options()
	fails := false
	o.seam = func(call string, do func() error) error {
		if fails && call == "commit" {
			return errInjected
		}
		return do()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	s.running.Go(s.commitLoop) // no keeper, which commits as well
	fails = true
	list := []*care.Exported{exportedLine("a", f.now, "new")}
	if _, err := care.Import(f.Spool, list, nil); !errors.Is(err, ErrFailed) {
		t.Errorf("got %v; want ErrFailed", err)
	}
	_ = f.Close()
	fails, f.Spool = false, nil
	f.reopen()
	if len(f.Lanes()) != 0 || f.Head() != 0 {
		t.Errorf("there are %d lanes and %d events", len(f.Lanes()), f.Head())
	}
	var names []string
	err = f.scan([]byte{record.PrefixName}, nil, func(key, _ []byte) (bool, error) {
		names = append(names, string(key))
		return true, nil
	})
	if err != nil || len(names) > 0 {
		t.Errorf("there are names %q, %v", names, err)
	}
}
