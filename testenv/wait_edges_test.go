package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// running is a verb of the command line that goes on.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// begin starts a verb with the relay's config.
func (j *Journey) begin(t *testing.T, args ...string) *running {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, cmd: exec.Command(bin, append(args, "--config", j.ConfigPath())...)}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = t.TempDir(), &r.stdout, &r.stderr
	r.cmd.Env = append(os.Environ(), "NO_COLOR=1")
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// ends waits for its end, and asserts its code and what it says.
func (r *running) ends(code int, parts ...string) {
	r.t.Helper()
	_ = r.cmd.Wait() // its code is in ProcessState
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("%q ended with %d, want %d", r.cmd.Args[1:], got, code)
	}
	r.says(parts...)
}

// says asserts what one that has ended said.
func (r *running) says(parts ...string) {
	r.t.Helper()
	said := r.stdout.String() + r.stderr.String()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			r.t.Errorf("%q does not say %q:\n%s", r.cmd.Args[1:], part, said)
		}
	}
}

// TestWaitingForAJob asserts that the time to wait runs out, and that Ctrl-C ends the waiting, with
// an error that says so, and that the job goes on either way and is noted with what it came to; that
// a relay which dies meanwhile is told; and that a job before the one asked for is.
func TestWaitingForAJob(t *testing.T) {
	t.Parallel()
	const pending = 3
	for _, verb := range []string{"retry", "enable"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			j := NewJourney(t)
			j.Config.Target("slow", j.RX.URL("slow"), "concurrency", 1, "timeout", "10m")
			j.RX.Always("slow", Code(503))
			j.Start()
			j.SendIDs("x", pending)
			j.AwaitFailed("slow", pending)
			gate := make(chan struct{})
			j.RX.Always("slow", Held(gate, Code(503)))
			j.tells(1, []string{"error: slow: the job goes on after 300ms: ", "0 of 3",
				"hint: hookspool targets slow shows what it comes to; --wait 1h waits longer"},
				verb, "slow", "--wait", "300ms")
			out := j.CLI(verb, "slow", "--wait", "300ms", "--json")
			var failed struct {
				Error string
				Exit  int
			}
			if err := json.Unmarshal([]byte(out.Stderr), &failed); err != nil || failed.Exit != 1 ||
				out.Code != 1 || !json.Valid([]byte(out.Stdout)) ||
				!strings.Contains(failed.Error, "a job is running already, one more comes after it") {
				t.Errorf("%v: with --json, of a job after the one that runs: %+v", err, out)
			}
			waits := j.begin(t, verb, "slow")
			Until(t, Patience, "it to be asked for", func() bool {
				return len(j.Actions("--verb", verb)) == 3
			})
			if err := waits.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			waits.ends(1, "error: stopped waiting; the job goes on", "hookspool targets slow shows it")
			close(gate)
			Until(t, Patience, "the jobs to end", func() bool {
				for _, a := range j.Actions("--verb", verb) {
					if a.EndedAt == nil || !strings.Contains(a.Result, "3 tried, 0 acknowledged (503 × 3)") {
						return false
					}
				}
				return true
			})
			// The relay dies while somebody waits.
			gate = make(chan struct{})
			defer close(gate)
			j.RX.Always("slow", Held(gate, Code(503)))
			f := startFront(t, j)
			var looks atomic.Int32
			f.answer(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					looks.Add(1)
				}
				return false
			})
			waits = j.begin(t, verb, "slow", "--admin", f.URL())
			Until(t, Patience, "it to look at its job", func() bool { return looks.Load() > 0 })
			j.Kill()
			waits.ends(1, "error: cannot see what the job comes to: ",
				"hookspool actions --target slow tells it once the relay answers")
			j.Ledger.AllowForeign()
		})
	}
}

// TestStoppedReplayAndPurge asserts that Ctrl-C stops a replay and a purge between two pages, that
// they say how many were done, and that the log of actions has them as stopped with just as many.
func TestStoppedReplayAndPurge(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	const events = 5000 // five pages of the command line
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.max_attempts", 0)
	j.RX.Always("crm", Code(500))
	j.Start()
	j.Ledger.AllowForeign()
	j.Relay.Post(Post{ContentType: "application/x-ndjson",
		Body: bytes.Repeat([]byte("{\"eventType\":\"message\"}\n"), events)})
	Until(t, 2*Patience, "all exhausted", func() bool { return j.Target("crm").Exhausted == events })
	j.tells(0, nil, "pause", "crm")
	for verb, args := range map[string][]string{
		"purge":  {"purge", "--target", "crm", "--state", "exhausted", "--yes"},
		"replay": {"replay", "--target", "crm", "--yes"},
	} {
		front := startFront(t, j)
		args = append(args, "--admin", front.URL())
		page := front.holdPost("/" + verb) // the second page
		stops := j.begin(t, args...)
		page.await()
		if err := stops.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		page.letGo()
		stops.ends(1)
		list := j.Actions("--verb", verb)
		if len(list) != 1 || list[0].EndedAt == nil || list[0].Result != "stopped" ||
			list[0].Count < 2000 || list[0].Count >= events {
			t.Fatalf("the log of actions has %+v", list)
		}
		stops.says("error: stopped", fmt.Sprintf("%d exhausted deliveries", list[0].Count))
	}
}
