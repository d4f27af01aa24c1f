package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/port"
)

// tells asserts how a verb ends and what it says, on whichever stream.
func (r *Relay) tells(code int, parts []string, args ...string) {
	r.t.Helper()
	out := r.CLI(args...)
	if out.Code != code {
		r.t.Errorf("hookspool %q ended with %d, want %d", args, out.Code, code)
	}
	for _, part := range parts {
		if !strings.Contains(out.Stdout+out.Stderr, part) {
			r.t.Errorf("hookspool %q does not say %q:\n%s%s", args, part, out.Stdout, out.Stderr)
		}
	}
}

// TestJobsAreTold asserts that enable and retry wait for their job and tell what it came to; that
// enable leaves a dead target Defective, with a count that grows, unless it is forced; and that the
// first success lifts the defect.
func TestJobsAreTold(t *testing.T) {
	effort.OnlyLong(t, "it takes a minute")
	t.Parallel()
	const pending = 5
	j := NewJourney(t).Aim("billing", "idle")
	j.Config.Set("defect.after_failed_jobs", 1)
	j.RX.Always("billing", Code(503))
	j.Start()
	last := j.SendIDs("x", pending)[pending-1]
	j.AwaitFailed("billing", pending)
	j.AwaitPending("idle", 0)
	j.tells(1, []string{"billing: 5 tried, 0 acknowledged (503 × 5); still Enabled",
		"hookspool sample billing"}, "retry", "billing")
	j.tells(1, []string{"still Defective"}, "retry", "billing")
	since := *j.AwaitStatus("billing", "Defective").DefectiveSince
	for n := 3; n <= 4; n++ {
		j.tells(1, []string{"5 tried, 0 acknowledged (503 × 5); still Defective"}, "enable", "billing")
		if now := j.Target("billing"); now.Status != "Defective" || now.FailedJobs != n ||
			!now.DefectiveSince.Equal(since) {
			t.Errorf("after an enable that got nothing: %+v, want Defective with %d failed jobs", now, n)
		}
	}
	// By force it is Enabled, and its count begins again with this job.
	j.tells(1, []string{"still Enabled"}, "enable", "billing", "--force")
	if now := j.Target("billing"); now.Status != "Enabled" || now.FailedJobs != 1 {
		t.Errorf("after a forced enable: %+v", now)
	}
	j.tells(1, []string{"still Defective"}, "retry", "billing")
	j.RX.On("billing", func(req *Request) Reply {
		if req.ID == last {
			return Code(422)
		}
		return OK()
	})
	out := j.CLI("enable", "billing", "--json")
	var told struct {
		Status  string
		LastJob struct {
			Tried, Acknowledged, Left int
			WhyEnded                  string     `json:"why_ended"`
			EndedAt                   *time.Time `json:"ended_at"`
			Outcomes                  []struct {
				Outcome       string
				Status, Count int
			}
		} `json:"last_job"`
	}
	if err := json.Unmarshal([]byte(out.Stdout), &told); err != nil || out.Code != 0 {
		t.Fatalf("%v: %+v", err, out)
	}
	if got := fmt.Sprintf("%s %d %d %d %s %v", told.Status, told.LastJob.Tried,
		told.LastJob.Acknowledged, told.LastJob.Left, told.LastJob.WhyEnded, told.LastJob.Outcomes); got !=
		"Enabled 5 4 0 done [{success 200 4} {status 422 1}]" || told.LastJob.EndedAt == nil {
		t.Errorf("the job is told as %s", got)
	}
	j.RX.Always("billing", OK())
	j.tells(0, []string{"billing: 1 tried, 1 acknowledged; Enabled"}, "retry", "billing")
	j.tells(0, []string{"nothing is pending; hookspool sample billing"}, "retry", "billing")
	j.tells(0, []string{"idle is Enabled: nothing is pending"}, "enable", "idle")
	j.tells(2, []string{"--wait"}, "retry", "billing", "--wait", "-1s")
	j.Ledger.AwaitDelivered()
}

// TestJobEndsEarlyIsTold asserts that a job which stops because nobody can be reached says so, and
// how many were left, and that nobody has to wait for a job.
func TestJobEndsEarlyIsTold(t *testing.T) {
	t.Parallel()
	const pending, stopAfter = 30, 4
	j := NewJourney(t)
	address, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	j.Config.Target("away", "http://"+address+"/", "concurrency", 1)
	j.Config.Set("retry.stop_job_after", stopAfter)
	j.Start()
	j.SendIDs("x", pending)
	j.AwaitFailed("away", pending)
	j.tells(1, []string{"away: 4 tried, 0 acknowledged (connect × 4); 4 connection failures in a row " +
		"ended it; 26 were left for the next tick"}, "retry", "away")
	j.tells(0, []string{"a job runs over 30 pending deliveries; hookspool targets away"}, "retry",
		"away", "--wait", "0s")
	Until(t, Patience, "the log of actions to have the result", func() bool {
		list := j.Actions("--verb", "retry")
		return len(list) == 2 && strings.Contains(list[0].Result, "26 were left") &&
			list[0].EndedAt != nil && list[0].Count == stopAfter
	})
}

// TestReplayThatIsNotSent asserts that a replay to a target that gets nothing says so and asks
// first, in the command line and the API, and never says that it was replayed.
func TestReplayThatIsNotSent(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("orphan", "paused", "disabled", "fine")
	j.Config.Set("retry.max_attempts", 0)
	for _, name := range []string{"orphan", "paused", "disabled"} {
		j.RX.Always(name, Code(500))
	}
	j.Start()
	ids := j.SendIDs("x", 3)
	for _, name := range []string{"orphan", "paused", "disabled"} {
		Until(t, Patience, name, func() bool { return j.Target(name).Exhausted == 3 })
	}
	j.tells(0, []string{"paused is Paused"}, "pause", "paused")
	j.Config.Set("target.disabled.status", "disabled")
	j.Config.Remove("target.orphan")
	j.Reload()
	for name, why := range map[string]string{
		"orphan":   "orphan is not in the config: nothing is sent until its table returns",
		"paused":   "paused is paused: nothing is sent until hookspool resume paused",
		"disabled": "disabled is disabled by the config: nothing is sent",
	} {
		j.tells(0, []string{"3 exhausted deliveries would be queued; " + why}, "replay", "--target", name,
			"--dry-run")
		// Even one is asked for; nobody is there to answer.
		j.tells(2, []string{"1 exhausted delivery would be queued, and not sent (" + why, "add --yes"},
			"replay", "--target", name, "--id", ids[0])
		if n := j.Target(name).Exhausted; n != 3 {
			t.Errorf("%s: %d are exhausted after a question, want 3", name, n)
		}
		j.tells(0, []string{"queued 3 exhausted deliveries; " + why}, "replay", "--target", name, "--yes")
		list := j.Actions("--target", name, "--verb", "replay")
		if len(list) != 1 || list[0].Count != 3 || !strings.HasPrefix(list[0].Result, "queued; "+why) {
			t.Errorf("%s: the log of actions has %+v", name, list)
		}
	}
	code, body := j.Admin("POST", "/v1/replay?target=paused&dry_run=true")
	if code != 200 || !bytes.Contains(body, []byte(`"sends":false,"why_not":"paused is paused`)) {
		t.Errorf("the API says %d %s", code, body)
	}
	// What can be sent is replayed, without a word.
	j.tells(0, []string{"replayed 1 delivered delivery\n"}, "replay", "--target", "fine", "--id", ids[1],
		"--state", "delivered")
}

// TestActionsAreKept asserts that what operators do is kept across a restart and a kill, with who
// did it, and with how much: a replay of many pages is one action.
func TestActionsAreKept(t *testing.T) {
	t.Parallel()
	const events = 1200 // two pages of the command line
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", "a-token-of-32-bytes-or-even-more")
	j.Config.Set("retry.max_attempts", 0)
	j.RX.Always("crm", Code(500))
	j.Start()
	j.Ledger.AllowForeign() // they are purged
	j.Relay.Post(Post{ContentType: "application/x-ndjson",
		Body: bytes.Repeat([]byte("{\"eventType\":\"message\"}\n"), events)})
	Until(t, 2*Patience, "all exhausted", func() bool { return j.Target("crm").Exhausted == events })
	j.tells(0, []string{"crm is Paused"}, "pause", "crm")
	j.tells(0, []string{"queued 1200"}, "replay", "--target", "crm", "--type", "message", "--yes")
	j.tells(1, nil, "sample", "crm")
	j.tells(0, nil, "purge", "--target", "crm", "--yes")
	j.tells(0, nil, "reload")
	j.Kill()
	j.Start()
	j.tells(0, []string{"crm is Enabled"}, "resume", "crm")
	list := j.Actions("--since", "1h")
	got := ""
	for _, a := range list {
		got += fmt.Sprintf("%s %s %d %s\n", a.Verb, a.Target, a.Count, a.Filter)
		if a.How != "claimed" || a.By == "" || !a.Token || a.Remote != "127.0.0.1" || a.EndedAt == nil {
			t.Errorf("who it was is told as %+v", a)
		}
	}
	if want := "resume crm 0 \nreload  0 \npurge crm 1200 state=pending\nsample crm 1 \n" +
		"replay crm 1200 type=message\npause crm 0 \n"; got != want {
		t.Errorf("the actions are\n%swant\n%s", got, want)
	}
	if n := j.LogCount("an operator acted"); n != 8 { // a replay says when it begins, too, as a purge
		t.Errorf("the log says %d times that an operator acted, want 8", n)
	}
	// Page by page it is the same.
	first := j.CLI("actions", "--limit", "4", "--verb", "pause")
	if first.Code != 0 || !strings.Contains(first.Stdout, "pause") {
		t.Errorf("%+v", first)
	}
	out := j.CLI("actions", "--limit", "4")
	next := between(out.Stderr, "--after ", "\n")
	rest := j.Actions("--after", next)
	if len(rest) != 2 || rest[0].Run != list[4].Run {
		t.Errorf("after %q come %+v", next, rest)
	}
	if out := j.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("spool verify: %+v", out)
	}
	if out := j.CLI("spool", "stat", "--json"); !strings.Contains(out.Stdout, `"actions": 6`) {
		t.Errorf("spool stat says %s", out.Stdout)
	}
}

// between is what stands between two texts.
func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return strings.TrimSpace(found)
}

// TestActionsOfASocket asserts that whoever orders over a unix socket is who the system says,
// whatever he claims, and that a target tells since when it is paused, and by whom.
func TestActionsOfASocket(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	j := NewJourney(t).Aim("bot")
	j.Config.Set("server.admin_listen", "unix:"+filepath.Join(j.Dir, "admin.sock"))
	j.Start()
	before := time.Now()
	j.tells(0, []string{"bot is Paused"}, "pause", "bot")
	j.Restart()
	list := j.Actions()
	if len(list) != 1 || list[0].By != me.Username || list[0].How != "socket" ||
		list[0].Remote != "unix" {
		t.Errorf("the action is %+v", list)
	}
	var told struct {
		PausedSince time.Time `json:"paused_since"`
		PausedBy    string    `json:"paused_by"`
	}
	j.mustGet("/v1/targets/bot", &told)
	if told.PausedBy != me.Username || told.PausedSince.Before(before) {
		t.Errorf("it is paused since %s by %q", told.PausedSince, told.PausedBy)
	}
	j.tells(0, []string{"paused", " by " + me.Username}, "targets", "bot")
	j.Verb("resume", "bot")
	told.PausedBy = ""
	j.mustGet("/v1/targets/bot", &told)
	if told.PausedBy != "" {
		t.Errorf("resumed, it is paused by %q", told.PausedBy)
	}
}
