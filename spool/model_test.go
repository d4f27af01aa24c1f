package spool

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// model is what a spool must say, kept in plain maps.
type model struct {
	f     *fixture
	names []string
	lanes map[string]*modelLane
	tick  uint64
	total uint64 // events appended
}

type modelLane struct {
	fresh     map[uint64]bool // owed, not handed out
	flying    map[uint64]bool // handed out
	failed    map[uint64]*modelFailure
	exhausted map[uint64]bool
	// recent were delivered without a checkpoint since: a crash may forget them.
	recent map[uint64]bool
	gone   map[uint64]bool // delivered for good
}

type modelFailure struct {
	attempts int
	due      uint64
}

func newModel(t *testing.T) *model {
	m := &model{f: open(t), names: []string{"a", "b", "c"}, lanes: make(map[string]*modelLane), tick: 1}
	for _, name := range m.names {
		m.f.lane(name).Open(true)
		m.lanes[name] = &modelLane{fresh: map[uint64]bool{}, flying: map[uint64]bool{},
			failed: map[uint64]*modelFailure{}, exhausted: map[uint64]bool{},
			recent: map[uint64]bool{}, gone: map[uint64]bool{}}
	}
	return m
}

// check compares every lane's sums with the model.
func (m *model) check(t *rapid.T) {
	for _, name := range m.names {
		ml, c := m.lanes[name], m.f.lane(name).Counts()
		pending := len(ml.fresh) + len(ml.flying) + len(ml.failed)
		if c.Pending != uint64(pending) || c.Exhausted != uint64(len(ml.exhausted)) {
			t.Fatalf("lane %s has %d pending, %d exhausted; the model %d (%d fresh, %d flying, "+
				"%d failed), %d", name, c.Pending, c.Exhausted, pending, len(ml.fresh), len(ml.flying),
				len(ml.failed), len(ml.exhausted))
		}
		if c.Quarantined != 0 {
			t.Fatalf("lane %s has %d quarantined deliveries", name, c.Quarantined)
		}
	}
}

func (m *model) append(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "events")
	var drafts []*Draft
	var owed [][]string
	for range n {
		var names []string
		for _, name := range m.names {
			if rapid.Bool().Draw(t, name) {
				names = append(names, name)
			}
		}
		owed = append(owed, names)
		drafts = append(drafts, &Draft{Payload: []byte(fmt.Sprint("event ", m.total)), At: m.f.now,
			Note: names})
	}
	if err := m.f.Append(drafts...); err != nil {
		t.Fatal(err)
	}
	for i, d := range drafts {
		if len(owed[i]) > 0 {
			m.total++
			if d.Seq != m.total {
				t.Fatalf("got sequence %d; want %d", d.Seq, m.total)
			}
		}
		for _, name := range owed[i] {
			m.lanes[name].fresh[d.Seq] = true
		}
	}
}

func (m *model) lane(t *rapid.T) (*Lane, *modelLane) {
	name := rapid.SampledFrom(m.names).Draw(t, "lane")
	return m.f.lane(name), m.lanes[name]
}

func (m *model) fetch(t *rapid.T) {
	l, ml := m.lane(t)
	events, err := l.Fetch(rapid.IntRange(1, 4).Draw(t, "most"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if !ml.fresh[e.Seq] {
			t.Fatalf("lane %s handed out %d, which it does not owe", l.name, e.Seq)
		}
		for seq := range ml.fresh {
			if seq < e.Seq {
				t.Fatalf("lane %s handed out %d before %d", l.name, e.Seq, seq)
			}
		}
		delete(ml.fresh, e.Seq)
		ml.flying[e.Seq] = true
	}
}

func (m *model) settleFresh(t *rapid.T) {
	l, ml := m.lane(t)
	seq, ok := pick(t, ml.flying)
	if !ok {
		return
	}
	delete(ml.flying, seq)
	st := Settlement{Lane: l.id, Seq: seq, Fresh: true, Attempts: 1, At: m.f.now, AcceptedAt: m.f.now,
		Due: m.tick + 1}
	switch rapid.IntRange(0, 6).Draw(t, "verdict") {
	case 0, 1, 2:
		m.f.Settle(st)
		ml.recent[seq] = true
		return
	case 3, 4:
		st.Verdict = Retry
		ml.failed[seq] = &modelFailure{attempts: 1, due: m.tick + 1}
	case 5:
		st.Verdict = Exhausted
		ml.exhausted[seq] = true
	case 6:
		st.Verdict, st.Attempts = Withheld, 0
		ml.failed[seq] = &modelFailure{due: m.tick + 1}
	}
	m.f.settle(st)
}

func (m *model) job(t *rapid.T) {
	l, ml := m.lane(t)
	m.tick++
	due := m.f.due(l, m.tick)
	want := 0
	for _, x := range ml.failed {
		if x.due <= m.tick {
			want++
		}
	}
	if len(due) != want {
		t.Fatalf("lane %s has %d due deliveries at tick %d; want %d", l.name, len(due), m.tick, want)
	}
	last := uint64(0)
	for _, d := range due {
		x := ml.failed[d.Event.Seq]
		if x == nil || x.attempts != d.Attempts || d.Event.Seq <= last {
			t.Fatalf("lane %s: delivery %d with %d attempts after %d; the model has %+v", l.name,
				d.Event.Seq, d.Attempts, last, x)
		}
		last = d.Event.Seq
		st := Settlement{Lane: l.id, Seq: last, Attempts: d.Attempts + 1, At: m.f.now, Due: m.tick + 1,
			AcceptedAt: d.Event.At, FirstFailed: d.FirstFailed}
		switch rapid.IntRange(0, 4).Draw(t, "job verdict") {
		case 0:
			delete(ml.failed, last)
			ml.gone[last] = true
		case 1:
			st.Verdict = Exhausted
			delete(ml.failed, last)
			ml.exhausted[last] = true
		case 2:
			st.Verdict = Retry
			x.attempts, x.due = x.attempts+1, m.tick+1
		case 3:
			continue // not reached: it stays due
		case 4:
			st.Verdict, st.Attempts = Withheld, d.Attempts
			x.due = m.tick + 1
		}
		m.f.settle(st)
	}
}

func (m *model) replay(t *rapid.T) {
	l, ml := m.lane(t)
	from := ml.exhausted
	if rapid.Bool().Draw(t, "delivered") {
		from = ml.gone
	}
	seq, ok := pick(t, from)
	if !ok {
		return
	}
	if _, err := m.f.Replay(record.Ref{Lane: l.id, Seq: seq}); err != nil {
		t.Fatal(err)
	}
	delete(from, seq)
	ml.failed[seq] = &modelFailure{}
}

func (m *model) giveBack(t *rapid.T) {
	l, ml := m.lane(t)
	lowest, highest := uint64(0), uint64(0)
	for seq := range ml.flying {
		if lowest == 0 || seq < lowest {
			lowest = seq
		}
		highest = max(highest, seq)
	}
	if lowest == 0 {
		return
	}
	l.Release(highest) // the newest one: nothing above it is in flight
	delete(ml.flying, highest)
	ml.fresh[highest] = true
}

// restart closes cleanly, or leaves the files as a crash would.
func (m *model) restart(t *rapid.T) {
	crash := rapid.Bool().Draw(t, "crash")
	if crash {
		next := fmt.Sprintf("%s-%d", m.f.dir, m.tick)
		old := m.f.Spool
		// A failed spool writes nothing more, so that the copy is of one instant.
		old.fail(errors.New("the test crashes it"))
		old.Apply(Change{})
		copyOfOneInstant(t, m.f.dir, next)
		m.f.Spool, m.f.dir = nil, next
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m.tick++
	m.f.reopen()
	for _, name := range m.names {
		m.lanes[name].restarted(t, m.f.lane(name), crash)
		if rapid.Bool().Draw(t, "open") {
			m.f.lane(name).Open(true)
		}
	}
}

// copyOfOneInstant copies a spool's files as a crash would leave them, without one in the making.
func copyOfOneInstant(t rapid.TB, from, to string) {
	for range 50 {
		atrest.Killed(t, from, to)
		if !hasEmptyFile(to) {
			return
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the spool's tables do not come to rest")
}

// hasEmptyFile reports that a copy caught a file of the engine in the making. A start goes on over
// it, but the engine leaves goroutines behind where it first refuses to open.
func hasEmptyFile(dir string) bool {
	for _, ext := range []string{"sst", "mem", "vlog"} {
		names, _ := filepath.Glob(filepath.Join(dir, "db", "*."+ext))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Size() == 0 {
				return true
			}
		}
	}
	return false
}

func (ml *modelLane) restarted(t *rapid.T, l *Lane, crash bool) {
	for seq := range ml.flying {
		ml.fresh[seq] = true
	}
	clear(ml.flying)
	for seq := range ml.recent {
		e, err := look.Event(l.s.engine, seq)
		if err != nil {
			t.Fatal(err)
		}
		if stateOf(t, l, e) == StatePending {
			if !crash {
				t.Fatalf("lane %s forgot delivery %d over a clean restart", l.name, seq)
			}
			ml.fresh[seq] = true
		} else {
			ml.gone[seq] = true
		}
	}
	clear(ml.recent)
}

func pick[V any](t *rapid.T, from map[uint64]V) (uint64, bool) {
	var seqs []uint64
	for seq := range from {
		seqs = append(seqs, seq)
	}
	if len(seqs) == 0 {
		return 0, false
	}
	// In order, so that a seed always picks the same.
	lowest := seqs[0]
	for _, seq := range seqs {
		lowest = min(lowest, seq)
	}
	if rapid.Bool().Draw(t, "lowest") {
		return lowest, true
	}
	highest := lowest
	for _, seq := range seqs {
		highest = max(highest, seq)
	}
	return highest, true
}

// Whatever happens in whatever order, crashes included, the sums are those of a model in plain
// maps, nothing owed is lost, nothing settled comes back but what a crash may repeat.
//
// A change waits for twenty rounds, the night for a hundred; go test ./spool -run Model -rapid.checks N
// goes any number.
func TestModel(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set(strconv.Itoa(effort.Most(100, effort.Rounds(20, 5)))); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		m := newModel(t)
		defer m.f.Close()
		r.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append2": m.append, "fetch": m.fetch, "fetch2": m.fetch,
			"settle": m.settleFresh, "settle2": m.settleFresh, "settle3": m.settleFresh, "job": m.job,
			"replay": m.replay, "purge": m.purge, "give back": m.giveBack, "restart": m.restart,
			"wait": func(*rapid.T) { m.f.commitCheckpoint() }, "verify": m.verifyLive,
			"": m.check,
		})
		m.drain(r)
	})
}

// drain delivers everything and looks for leftovers.
func (m *model) drain(t *rapid.T) {
	deadline := time.Now().Add(testPatience)
	for _, name := range m.names {
		l := m.f.lane(name)
		for seq := range m.lanes[name].flying {
			m.f.Settle(Settlement{Lane: l.id, Seq: seq, Fresh: true, At: m.f.now})
		}
		for {
			events, err := l.Fetch(10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				m.f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, At: m.f.now})
			}
			if c := l.Counts(); c.Fresh == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("lane %s still owes %d fresh deliveries and hands out none", name,
					l.Counts().Fresh)
			}
		}
		for _, d := range m.f.due(l, m.tick+9) {
			m.f.settle(Settlement{Lane: l.id, Seq: d.Event.Seq, At: m.f.now})
		}
		if c := l.Counts(); c.Pending != 0 {
			t.Fatalf("lane %s has %d pending after everything was delivered", name, c.Pending)
		}
	}
}
