package console

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/port"
)

const (
	millionEvents    = 1_000_000
	millionBatch     = 1_000 // events of one request
	millionRounds    = 3
	millionSpace     = "\u202f" // between thousands
	millionAway      = 3        // one of so many targets refuses, the others are paused
	millionCustomers = 10       // of each target
)

// TestConsoleMillion has a million deliveries wait for 60 targets, and for 1,000, and goes through
// the views of the console that list, search or count them: each shows what it should, and says how
// long that took. It takes minutes: HOOKSPOOL_LONG=1.
func TestConsoleMillion(t *testing.T) {
	if !effort.Long() {
		t.Skip("it takes minutes: HOOKSPOOL_LONG=1")
	}
	for _, targets := range []int{60, 1000} {
		t.Run(fmt.Sprint(targets, " targets"), func(t *testing.T) { consoleMillion(t, targets) })
	}
}

func consoleMillion(t *testing.T, targets int) {
	j := testenv.NewJourney(t)
	j.Ledger.AllowForeign()
	closed, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	for i := range targets {
		name := fmt.Sprintf("tenant-%04d", i)
		j.Config.Target(name, "http://"+closed+"/"+name, "events", []string{fmt.Sprint("type", i)})
		if i%millionAway != 0 {
			j.Config.Set("target."+name+".status", "paused")
		}
	}
	j.Start()
	began := time.Now()
	sendMillion(t, j.Relay, targets)
	t.Logf("%d events accepted in %s", millionEvents, time.Since(began))
	t.Logf("memory: %s", memoryParts(j.Relay.Pid()))
	testenv.Until(t, 2*testenv.Patience, "the million to wait", func() bool {
		pending := 0
		for _, target := range j.Relay.Targets() {
			pending += target.Pending
		}
		return pending == millionEvents
	})
	for i := 0; i < targets; i += millionAway {
		j.Verb("retry", fmt.Sprintf("tenant-%04d", i))
	}
	testenv.Until(t, 2*testenv.Patience, "a failed job of each that is not paused", func() bool {
		failed := 0
		for _, target := range j.Relay.Targets() {
			failed += min(target.FailedJobs, 1)
		}
		return failed == (targets+millionAway-1)/millionAway
	})
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	c.expect("status of 404")
	each := thousands((millionEvents + targets - 1) / targets)
	for _, v := range millionViews(targets, each) {
		var took []time.Duration
		for range millionRounds {
			took = append(took, v.time(c).Round(time.Millisecond))
		}
		t.Logf("%-64s %v", v.name(), took)
	}
	c.wantNoViolation(readAxe(t), "the last of a million", 1440)
	t.Logf("memory: %s", memoryParts(j.Relay.Pid()))
}

// thousands is a number as the console shows it.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s%s%03d", thousands(n/1000), millionSpace, n%1000)
}

// sendMillion sends what waits: to the targets in turn, each tenth event of one customer.
func sendMillion(t *testing.T, r *testenv.Relay, targets int) {
	t.Helper()
	var lines bytes.Buffer
	for i := range millionEvents {
		fmt.Fprintf(&lines, `{"eventType":"type%d","waId":"49%d","n":%d,"text":"%s"}`+"\n", i%targets,
			i/targets%millionCustomers, i, strings.Repeat("x", 120))
		if (i+1)%millionBatch > 0 {
			continue
		}
		a := r.Post(testenv.Post{ContentType: "application/x-ndjson", Body: lines.Bytes()})
		if a.Err != nil || a.Status != 200 {
			t.Fatalf("a batch was answered %d %v %s", a.Status, a.Err, a.Body)
		}
		lines.Reset()
	}
}

// timed is a view of the console, some steps in it, and what is then to be seen.
type timed struct {
	view  string
	steps []step
	sees  []string
	rows  int // of a table, at least
}

func (v timed) name() string {
	name := "#/" + strings.TrimPrefix(v.view, "#/")
	for _, s := range v.steps {
		name += " " + s.click + s.text
	}
	return name
}

// time is how long the last step takes until all is there: the page's loading, or the click.
func (v timed) time(c *console) time.Duration {
	c.t.Helper()
	began := time.Now()
	c.open(v.view)
	for _, s := range v.steps {
		if s.field == "State" {
			c.choose(s.field, s.text)
			continue
		}
		if s.field != "" {
			c.fill(s.field, s.text)
			continue
		}
		p := c.find(quote(s.click), control(s.click))
		began = time.Now()
		c.clickAt(p)
	}
	c.see(v.sees...)
	c.until(fmt.Sprint(v.rows, " rows"), `document.querySelectorAll("tbody tr").length >= %d`, v.rows)
	return time.Since(began)
}

func millionViews(targets int, each string) []timed {
	all := thousands(targets)
	page := "1–50 of " + all
	where := step{field: "Where", text: "waId=493"}
	return []timed{
		{view: "", sees: []string{all + " of " + all + " targets need you", page, "live"}, rows: 58},
		{view: "#/?need=you", sees: []string{page}, rows: 50},
		{view: "#/?q=tenant-0007", sees: []string{"tenant-0007"}, rows: 1},
		{view: "#/?sort=pending", sees: []string{page}, rows: 50},
		{view: "#/target/tenant-0000", sees: []string{"Most failures:", "connection refused", each}},
		{view: "#/target/tenant-0001", sees: []string{"Paused", each}},
		{view: "#/target/tenant-0000/pending", rows: 50},
		{view: "#/target/tenant-0001/pending", rows: 50, sees: []string{"tenant-0001 is paused"}},
		{view: "#/target/tenant-0001/pending", steps: []step{{click: "More"}}, rows: 100},
		{view: "#/target/tenant-0001/exhausted", sees: []string{"No exhausted delivery."}},
		{view: "#/target/tenant-0001/delivered", sees: []string{"No delivered delivery."}},
		{view: "#/search", rows: 50},
		{view: "#/search?type=type7", rows: 50, sees: []string{"type7"}},
		{view: "#/search?target=tenant-0007&state=pending", rows: 50, sees: []string{"type7"}},
		{view: "#/search?state=exhausted", sees: []string{"No event matches"}},
		{view: "#/search?where=waId%3D493", rows: 50},
		{view: "#/search?where=n%3D999", rows: 1, sees: []string{"That is all."}},
		{view: "#/types", sees: []string{"templateMessageSent_v2"}},
		{view: "#/target/tenant-0001", steps: []step{{click: "Purge…"},
			{field: "State", text: "pending"}, where, {click: "Count"}},
			sees: []string{"would be deleted"}},
		{view: "#/target/tenant-0000", steps: []step{{click: "Replay…"}, {click: "Count"}},
			sees: []string{"There is nothing to replay."}},
	}
}

// memoryParts is what the system says of a process: now and at most, in memory of its own and in
// mapped files.
func memoryParts(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var parts []string
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "Rss") || name == "VmHWM" ||
			name == "VmRSS" {
			parts = append(parts, name+" "+strings.TrimSpace(value))
		}
	}
	return strings.Join(parts, ", ")
}
