package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// pastCanary is what an action is narrowed down by, and nothing else holds.
const pastCanary = "canary-in-a-filter"

// told is what a relay tells of its past, to be compared: its log of actions, what became of these
// events, and the history of its targets.
func (j *Journey) told(ids []string) string {
	j.t.Helper()
	var b strings.Builder
	for _, a := range j.Actions("--limit", "1000") {
		at := ""
		if a.EndedAt != nil {
			at = a.EndedAt.UTC().String()
		}
		fmt.Fprintln(&b, a.Run, a.At.UTC(), at, a.Verb, a.Target, a.Count, a.Result, a.Filter, a.By,
			a.How, a.Remote, a.Token)
	}
	for _, id := range ids {
		for _, d := range j.Event(id).Deliveries {
			if d.DeliveredAt == nil || d.Status == nil || d.Duration == nil {
				j.t.Fatalf("%s has no receipt at %s: %+v", id, d.Target, d)
			}
			fmt.Fprintln(&b, id, d.Target, d.State, d.Attempts, d.DeliveredAt.UTC(), *d.Status, *d.Duration)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Targets())) {
		h := j.history(name, "24h")
		fmt.Fprintln(&b, name, h.sums())
	}
	return b.String()
}

// lived is a relay with a past of every kind: an action by socket and by address, one with a filter,
// deliveries that succeeded at once and later, and minutes that have ended.
func lived(t *testing.T, set func(*Config)) (j *Journey, ids []string) {
	j = NewJourney(t).Aim("crm", "erp")
	j.Config.Set("retry.interval", "100ms").Set("spool.keep_delivered", "1h")
	set(j.Config)
	j.RX.On("erp", FailFirst(2, 503))
	j.Start()
	ids = j.SendIDs("lived", 29)
	last := Post{ID: "last", Type: "message", Body: []byte(`{"x":"` + pastCanary + `"}`)}
	j.Send(last)
	ids = append(ids, last.ID)
	j.Ledger.AwaitDelivered()
	j.awaitNonePending()
	j.tells(0, nil, "pause", "crm")
	j.tells(0, nil, "resume", "crm")
	j.tells(0, nil, "replay", "--target", "erp", "--state", "delivered", "--where",
		"x="+pastCanary, "--yes")
	j.tells(0, nil, "sample", "crm", "message")
	j.tells(0, nil, "replay", "--id", ids[0], "--target", "erp", "--state", "delivered", "--yes")
	j.awaitNonePending()
	j.WantHistory("crm", "30 accepted, 30 delivered")
	j.Restart() // it leaves its last minute with the spool
	j.awaitNonePending()
	return j, ids
}

// TestP2BackupTellsThePast backs up a relay that runs, restores that elsewhere, and asserts that who
// did what, what was delivered when, and what happened to each target are told as they were, by a
// relay on the restored spool; in a spool that is encrypted as well, whose files then say nothing
// of it in the clear.
func TestP2BackupTellsThePast(t *testing.T) {
	t.Parallel()
	embeddedOnly(t, "the servers back a stream up; that spool backup says so is in TestEngineMove")
	for name, key := range map[string]string{"clear": "",
		"encrypted": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, ids := lived(t, func(c *Config) { c.Set("spool.encryption_key", key) })
			want := j.told(ids)
			for _, part := range []string{"resume crm", "replay erp 1", pastCanary, "last erp delivered",
				"crm 30 accepted, 30 delivered"} {
				if !strings.Contains(want, part) {
					t.Fatalf("the past has no %q:\n%s", part, want)
				}
			}
			file, restored := filepath.Join(j.Dir, "spool.bak"), filepath.Join(j.Dir, "restored")
			j.tells(0, nil, "spool", "backup", file)
			j.Terminate()
			j.tells(0, nil, "spool", "restore", file, "--dir", restored)
			for _, dir := range []string{restored, j.SpoolPath()} {
				if found := holds(t, dir, pastCanary); found != (key == "") {
					t.Errorf("that %s holds what an action is about in the clear is %v", dir, found)
				}
			}
			j.Config.Set("spool.dir", restored)
			j.Start()
			if got := j.told(ids); got != want { // without the backup itself
				t.Errorf("the restored spool tells\n%swant\n%s", got, want)
			}
			j.tells(0, []string{"every checksum and every count fits"}, "spool", "verify")
		})
	}
}

// holds reports whether any file below a directory has these bytes.
func holds(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || found {
			return err
		}
		content, err := os.ReadFile(path)
		found = bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestP2ActionsMove moves the log of actions with an export, into a relay that runs and into a spool
// at rest, twice each: it tells the same there, once, and says where that comes from. Without being
// asked an export has events alone, and with a target only what is about it.
func TestP2ActionsMove(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j, _ := lived(t, func(*Config) {})
	j.Config.Target("held", j.RX.URL("held"), "status", "paused", "events", []string{"held"})
	j.Reload()
	j.Relay.Post(Post{ID: "owed", Type: "held", Body: []byte(`{}`)})
	j.Ledger.AllowForeign()
	Until(t, Patience, "two of three targets to have it", func() bool { return j.Status().Pending == 1 })
	want := j.Actions("--limit", "1000")
	file := filepath.Join(j.Dir, "out.ndjson")
	j.tells(0, []string{"exported 1 event, " + fmt.Sprint(len(want)) + " actions"}, "spool", "export",
		"--actions", "--out", file)
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), `{"id":"owed"`) {
		t.Fatalf("%v: the export does not begin with the event: %s", err, text)
	}
	if out := j.CLI("spool", "export", "--all"); strings.Contains(out.Stdout, `{"action":`) {
		t.Error("there are actions in an export of events")
	}
	out := j.CLI("spool", "export", "--actions", "--target", "erp")
	if n := strings.Count(out.Stdout, `{"action":`); n != 2 {
		t.Errorf("%d actions are about erp, want 2:\n%s%s", n, out.Stdout, out.Stderr)
	}
	j.Terminate()
	if rest := j.CLI("spool", "export", "--actions"); rest.Stdout != string(text) {
		t.Errorf("at rest the export is\n%swant\n%s%s", rest.Stdout, text, rest.Stderr)
	}
	for _, online := range []bool{true, false} {
		to := NewRelay(t, NewConfig())
		to.Config.Target("held", j.RX.URL("held"), "status", "paused")
		to.Start()
		if !online {
			to.Terminate()
		}
		n := len(want)
		to.tells(0, []string{fmt.Sprintf("imported 1, deliveries 1, held already 0, owing nothing 0, "+
			"actions %d, held already or too old 0\n", n)}, "spool", "import", file)
		to.tells(0, []string{fmt.Sprintf("held already 1, owing nothing 0, actions 0, held already or "+
			"too old %d\n", n)}, "spool", "import", file)
		if !online {
			to.Start()
		}
		to.wantMoved(want)
		to.Kill()
		to.Start()
		to.wantMoved(want)
		to.tells(1, []string{"line 1: verb", "nothing of their batch was written"}, "spool", "import",
			writeFile(t, strings.ReplaceAll(lineOf(string(text), "resume"), `"resume"`, `"destroy"`)))
	}
}

// TestP2DamagedActionIsNamed flips a byte in the file that holds an action: verify says, by name, what
// it was, at rest and of a relay that runs, and the relay serves the rest.
func TestP2DamagedActionIsNamed(t *testing.T) {
	t.Parallel()
	embeddedOnly(t, "the servers find damage in their files")
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.SendIDs("before", 300) // so that the block with the actions is not all there is
	j.Ledger.AwaitDelivered()
	j.tells(0, nil, "pause", "crm")
	j.tells(0, nil, "resume", "crm")
	j.Terminate()
	files, err := filepath.Glob(filepath.Join(j.SpoolPath(), "db", "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(`"verb":"pause"`)); at >= 0 {
			flipped++
			content[at+3] ^= 1
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if flipped != 1 {
		t.Fatalf("the action is in %d of the tables %q", flipped, files)
	}
	const named = ", what an operator did: cannot read"
	j.tells(1, []string{named}, "spool", "verify")
	j.Start()
	j.tells(1, []string{named}, "spool", "verify")
	if list := j.Actions(); len(list) != 1 || list[0].Verb != "resume" {
		t.Errorf("the log of actions has %+v, want the one that can be read", list)
	}
	j.SendIDs("x", 10)
	j.Ledger.AwaitDelivered()
}

// wantMoved asserts that these actions came over as they were, and say so.
func (r *Relay) wantMoved(want []Action) {
	r.t.Helper()
	var got []Action
	for _, a := range r.Actions("--limit", "1000") {
		if a.Verb != "import" {
			got = append(got, a)
		}
	}
	for i := range want {
		if i >= len(got) {
			break
		}
		moved := want[i]
		moved.Imported = true
		a, errA := json.Marshal(&got[i])
		b, errB := json.Marshal(&moved)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			r.t.Errorf("an action came as\n%s\nwant\n%s", a, b)
		}
	}
	if len(got) != len(want) {
		r.t.Errorf("%d actions came, want %d", len(got), len(want))
	}
	r.tells(0, []string{"(imported)"}, "actions")
}

// lineOf is the first line that has a part.
func lineOf(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// writeFile makes a file with this text.
func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
