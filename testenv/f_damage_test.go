package testenv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// damage is one way a file can go bad.
type damage struct {
	name string
	do   func(b []byte) []byte // nil: the file goes
}

// inText is the first place from at on that has text before and after it, as within a payload, or
// at. A log that is cut off between two entries has nothing left that cannot be read.
func inText(b []byte, at int) int {
	const around = 64
	text := 0
	for i := at; i < len(b); i++ {
		if text++; b[i] < ' ' || b[i] > '~' {
			text = 0
		}
		if text == 2*around {
			return i - around
		}
	}
	return at
}

// damages are what is done to the bytes of a file that are in use; the engine's files have holes
// at their ends.
func damages() []damage {
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte {
			if n := used(b); n > 0 {
				b[at(n)] ^= 0x10
			}
			return b
		}
	}
	return []damage{
		{"gone", func([]byte) []byte { return nil }},
		{"emptied", func([]byte) []byte { return []byte{} }},
		{"halved", func(b []byte) []byte { return b[:inText(b, used(b)/2)] }},
		{"torn tail", func(b []byte) []byte { return b[:max(0, used(b)-7)] }},
		{"zeroed tail", func(b []byte) []byte {
			clear(b[used(b)*3/4:])
			return b
		}},
		{"flip at the start", flip(func(int) int { return 0 })},
		{"flip at 9", flip(func(n int) int { return min(9, n-1) })},
		{"flip at a third", flip(func(n int) int { return n / 3 })},
		{"flip at two thirds", flip(func(n int) int { return n * 2 / 3 })},
		{"flip at the end", flip(func(n int) int { return n - 1 })},
		{"smashed in the middle", func(b []byte) []byte {
			// In a log or a table, one event of 2 KB holds it, or two.
			at := max(0, used(b)/2)
			copy(b[at:min(len(b), at+100)], bytes.Repeat([]byte("smash"), 20))
			return b
		}},
	}
}

func used(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// mostLost is how many events a damage may cost that is repaired, by kind and damage; the relay must
// start then, without being told to. What is not here may be refused, or cost what it costs.
func mostLost(kind, damage string) (events int, repaired bool) {
	flipped := strings.HasPrefix(damage, "flip")
	switch {
	case kind == "MANIFEST", kind == "KEYREGISTRY":
		return 0, true
	case kind == "vlog" && (flipped || damage == "torn tail"):
		return 1, true
	case kind == "vlog" && damage == "smashed in the middle":
		return 2, true
	case kind == "mem" && flipped:
		return 1, true // the entry
	case kind == "mem" && damage == "torn tail":
		return 0, true
	case kind == "mem" && damage == "smashed in the middle":
		return 2, true
	case kind == "mem" && damage != "gone" && damage != "emptied":
		return 10, true // the small ones in the part that is missing
	case kind == "sst" && flipped:
		return 40, true // all of the table
	}
	return 0, false
}

// raceStep is how many damages lie between two that are done under the race detector: it has nothing
// to find in what a start mends.
const raceStep = 4

// TestFaultDamage damages every kind of file of a spool in every way, one at a time, and starts the
// relay on it. Where mostLost says so, it starts and delivers the rest. Otherwise, either it
// refuses, with an error and a hint and no trace of a panic; or it starts, and then whatever it
// cannot deliver it counts as set aside. Nothing is ever lost in silence, and nothing arrives that
// was not sent.
func TestFaultDamage(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	owed := newOwedSpool(t)
	for kind, file := range owed.files() {
		for i, d := range damages() {
			if i%effort.Rounds(1, raceStep) > 0 {
				continue
			}
			t.Run(kind+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				owed.damaged(t, kind, file, d)
			})
		}
	}
}

// owedSpool is a spool with events that are all owed to one target: some in tables, some in the
// engine's log, left by a kill. Half of them lie together.
type owedSpool struct {
	dir    string
	bodies map[string][]byte // of the events, by id
}

func newOwedSpool(t *testing.T) *owedSpool {
	t.Helper()
	j := NewJourney(t).Aim("owed")
	j.Config.Set("target.owed.status", "paused")
	s := &owedSpool{dir: filepath.Join(keptDir(t), "spool"), bodies: map[string][]byte{}}
	rng := Seed(t)
	for generation := range 3 {
		j.Start()
		for i := range 20 {
			p := Post{ID: fmt.Sprintf("owed-%d-%d", generation, i), Body: Payload(rng, "m", 2000+i%2*4000)}
			j.Send(p)
			s.bodies[p.ID] = p.Body
		}
		var lines [][]byte
		for range 20 {
			lines = append(lines, Payload(rng, "m", 2000))
		}
		for i, e := range j.SendBatch(lines...).Events {
			s.bodies[e.ID] = lines[i]
		}
		Until(t, Patience, "the high-water mark", func() bool {
			b, err := os.ReadFile(filepath.Join(j.SpoolPath(), "highwater"))
			return err == nil && len(b) >= 8 &&
				binary.BigEndian.Uint64(b) == uint64(len(s.bodies))
		})
		j.Kill()
	}
	if err := atrest.CopyFiles(j.SpoolPath(), s.dir); err != nil {
		t.Fatal(err)
	}
	return s
}

// files is one file of each kind, by kind: the newest and largest.
func (s *owedSpool) files() map[string]string {
	byKind := map[string]string{}
	_ = filepath.WalkDir(s.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		kind := filepath.Ext(path)
		if kind == "" {
			kind = filepath.Base(path)
		}
		byKind[strings.TrimPrefix(kind, ".")], _ = filepath.Rel(s.dir, path)
		return nil
	})
	return byKind
}

func (s *owedSpool) damaged(t *testing.T, kind, file string, d damage) {
	j := NewJourney(t).Aim("owed")
	j.Ledger.AllowForeign()
	j.Config.Set("spool.dir", filepath.Join(j.Dir, "spool")).Set("log.level", "info").
		Set("server.drain_timeout", "1s") // nobody sends, and there are a hundred of these
	if err := atrest.CopyFiles(s.dir, j.SpoolPath()); err != nil {
		t.Fatal(err)
	}
	hurt(t, filepath.Join(j.SpoolPath(), file), d)
	tables := j.tables()
	most, repaired := mostLost(kind, d.name)
	if err := j.StartUnready(); err != nil {
		if repaired {
			t.Errorf("it does not start: %v", err)
		}
		code := j.WaitExit()
		log := j.keepLog()
		t.Logf("refuses: %s", lastLines(log, 2))
		if code != 1 || !strings.Contains(log, "error: ") || !strings.Contains(log, "hint: ") ||
			strings.Contains(log, "goroutine ") {
			t.Errorf("it left with %d and did not say what to do:\n%s", code, tail(log))
		}
		if left := j.tables(); !containsAll(left, tables) {
			t.Errorf("it refused, and removed tables: %v are left of %v", left, tables)
		}
		if !strings.Contains(log, "--accept-data-loss") {
			return
		}
		j.Args = []string{"--accept-data-loss"}
		if err := j.StartUnready(); err != nil {
			t.Fatalf("told to go on, it did not start: %v", err)
		}
		s.arrives(t, j, len(s.bodies))
		return
	}
	missing := s.arrives(t, j, 0)
	if repaired && missing > most {
		t.Errorf("%d events did not arrive; want %d at most\n%s", missing, most, tail(j.Log()))
	}
	if missing > 0 && kind == "mem" && len(j.originals()) == 0 {
		t.Error("the original of what cannot be read was not kept")
	}
	if kind == "mem" || kind == "MANIFEST" {
		s.verifies(t, j)
	}
}

// verifies stops the relay and wants every count of its spool to fit.
func (s *owedSpool) verifies(t *testing.T, j *Journey) {
	t.Helper()
	if code := j.Terminate(); code != 0 {
		t.Errorf("it left with %d", code)
	}
	if got := j.CLI("spool", "verify"); got.Code != 0 {
		t.Errorf("verify leaves with %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
}

// originals are the files that were kept aside.
func (r *Relay) originals() []string {
	names, _ := filepath.Glob(filepath.Join(r.SpoolPath(), "aside", "*"))
	return names
}

// arrives waits for what the spool still has, wants that no more is missing than excused, and
// returns how many events are.
func (s *owedSpool) arrives(t *testing.T, j *Journey, excused int) int {
	t.Helper()
	Until(t, Patience, "the rest to be delivered", func() bool {
		return j.Target("owed").Pending == 0
	})
	arrived := map[string]bool{}
	for _, r := range j.RX.Requests("owed") {
		arrived[r.ID] = true
		if !bytes.Equal(s.bodies[r.ID], r.Body) {
			t.Errorf("event %q arrived with other bytes than it was sent", r.ID)
		}
	}
	missing := len(s.bodies) - len(arrived)
	aside := int(j.Status().Quarantined)
	t.Logf("starts: %d of %d arrive, %d are set aside", len(arrived), len(s.bodies), aside)
	if missing > max(aside, excused) {
		t.Errorf("LOST in silence: %d events did not arrive, %d are set aside\n%s", missing, aside,
			tail(j.Log()))
	}
	return missing
}

// tables are the names of the engine's tables, those that were set aside included.
func (r *Relay) tables() []string {
	r.t.Helper()
	var names []string
	for _, dir := range []string{"db", "aside"} {
		paths, err := filepath.Glob(filepath.Join(r.SpoolPath(), dir, "*.sst"))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, path := range paths {
			names = append(names, filepath.Base(path))
		}
	}
	return names
}

func containsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
}

// hurt damages a file.
func hurt(t *testing.T, path string, d damage) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b = d.do(b); b == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
