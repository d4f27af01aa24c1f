package relay

import (
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/testenv/effort"
)

// importLine is a line of an export with one pending delivery to each target.
func importLine(id string, targets ...string) string {
	x := care.Exported{ID: id, Type: "message", AcceptedAt: time.Now(), Payload: new(string),
		Headers: []care.ExportedHeader{}}
	for _, name := range targets {
		x.Targets = append(x.Targets, care.ExportedTarget{Name: name, State: "pending"})
	}
	line, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	return string(line) + "\n"
}

// scrape is how many series a target has.
func (f *fixture) scrape(target string) (series int) {
	f.t.Helper()
	var text string
	f.api("GET", "/metrics", &text)
	return strings.Count(text, fmt.Sprintf("target=%q", target))
}

func (f *fixture) running() (n int) {
	f.lanesMu.Lock()
	defer f.lanesMu.Unlock()
	for _, l := range f.byName {
		if l.running {
			n++
		}
	}
	return n
}

// Orphans cost no goroutine, and one with nothing left no series. A line that is refused makes none.
func TestOrphansCostNothing(t *testing.T) {
	effort.WithoutRace(t)
	rx := newReceiver(t, always(200))
	f := newFixture(t)
	f.target("crm", rx.URL)
	f.start()
	before := runtime.NumGoroutine()
	var lines strings.Builder
	for i := range care.OrphansMax {
		lines.WriteString(importLine(fmt.Sprint("e", i), fmt.Sprint("t", i)))
	}
	bad := importLine("bad", "new", "crm") + strings.Replace(importLine("x", "y"), `"y"`, `"a/b"`, 1)
	for _, body := range []string{bad, bad + lines.String(),
		lines.String() + importLine("more", "one-more")} {
		if code := f.api("POST", "/v1/spool/import", nil, body); code != 400 {
			t.Errorf("it was answered %d; want 400", code)
		}
		if n := len(f.spool.Lanes()); n != 1 || len(f.allLanes()) != 1 {
			t.Fatalf("there are %d lanes of the spool, %d of the relay", n, len(f.allLanes()))
		}
	}
	if code := f.api("POST", "/v1/spool/import", nil, lines.String()); code != 200 {
		t.Fatalf("as many orphans as may be: %d", code)
	}
	for _, when := range []string{"at once", "after a restart"} {
		if n := runtime.NumGoroutine(); n > before+100 || f.running() != 1 {
			t.Errorf("%s: %d goroutines, before %d; %d lanes run", when, n, before, f.running())
		}
		if n := f.scrape("t1"); n == 0 {
			t.Errorf("%s: an orphan with something left has no series", when)
		}
		if when == "at once" {
			f.restart()
		}
	}
	if code := f.api("POST", "/v1/spool/import", nil, importLine("more", "one-more")); code != 400 {
		t.Errorf("one orphan more was answered %d", code)
	}
	purge := "/v1/targets/t1/purge"
	if code := f.api("POST", purge, nil); code != 200 || f.scrape("t1") != 0 {
		t.Errorf("an orphan with nothing left has %d series", f.scrape("t1"))
	}
	if code := f.api("POST", purge+"?forget=true", nil); code != 200 || f.laneNamed("t1") != nil {
		t.Errorf("it cannot be forgotten: %d", code)
	}
	if code := f.api("POST", "/v1/spool/import", nil, importLine("more", "one-more")); code != 200 {
		t.Errorf("in its place another was answered %d", code)
	}
	if f.scrape("one-more") == 0 || f.scrape("crm") == 0 || f.scrape("t1") != 0 {
		t.Error("the series are not those of who owes something")
	}
}

// An orphan becomes a target by a reload, and a target an orphan, and back: each time what is owed
// is delivered once there is somewhere to.
func TestOrphanAndTarget(t *testing.T) {
	t.Parallel()
	rx := newReceiver(t, always(200))
	f := newFixture(t)
	f.target("crm", rx.URL)
	f.start()
	with, without := f.cfg, f.cfg
	with.Targets = append(with.Targets[:1:1], with.Targets[0])
	with.Targets[1].Name = "old"
	for round := range 3 {
		before := rx.count()
		if err := f.apply(&without); err != nil {
			t.Fatal(err)
		}
		if code := f.api("POST", "/v1/spool/import", nil, importLine(fmt.Sprint(round), "old")); code != 200 {
			t.Fatal(code)
		}
		old := f.laneNamed("old")
		if n := f.running(); n != min(round+1, 2) || old.spool.Counts().Pending != 1 {
			t.Errorf("round %d: %d lanes run, %d pending", round, n, old.spool.Counts().Pending)
		}
		if err := f.apply(&with); err != nil {
			t.Fatal(err)
		}
		f.wait("the delivery", func() bool { return old.spool.Counts().Pending == 0 })
		if n := rx.count(); n != before+1 || f.running() != 2 {
			t.Errorf("round %d: %d requests, want 1; %d lanes run", round, n-before, f.running())
		}
	}
}

// A target is forgotten when it is in no config and owes nothing; its name may come back.
func TestForgetTarget(t *testing.T) {
	t.Parallel()
	rx := newReceiver(t, always(500))
	f := newFixture(t)
	f.target("crm", rx.URL)
	f.target("old", rx.URL)
	f.start()
	refused := func(want int, hint, query string) {
		t.Helper()
		var out struct{ Code, Hint string }
		if code := f.api("POST", "/v1/targets/old/purge?"+query, &out); code != want ||
			!strings.Contains(out.Hint, hint) {
			t.Errorf("%s: %d, %+v; want %d and %q", query, code, out, want, hint)
		}
	}
	if code, _ := f.post("/v1/events/message", "{}"); code != 200 {
		t.Fatal(code)
	}
	old := f.laneNamed("old")
	f.wait("a failure", func() bool { c := old.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	refused(409, "reload", "forget=true")
	refused(400, "", "forget=true&state=pending")
	refused(400, "", "forget=x")
	without := f.cfg
	without.Targets = without.Targets[:1]
	if err := f.apply(&without); err != nil {
		t.Fatal(err)
	}
	refused(409, `hookspool purge --target "old"`, "forget=true")
	if code := f.api("POST", "/v1/targets/old/purge", nil); code != 200 {
		t.Fatal(code)
	}
	var out struct{ Forgotten bool }
	if code := f.api("POST", "/v1/targets/old/purge?forget=true", &out); code != 200 || !out.Forgotten {
		t.Fatalf("%d %+v", code, out)
	}
	refused(404, "", "forget=true")
	if code := f.api("GET", "/v1/targets/old", nil); code != 404 {
		t.Errorf("it is still shown: %d", code)
	}
	var events struct{ Events []struct{ ID string } }
	if code := f.api("GET", "/v1/events", &events); code != 200 || len(events.Events) != 1 {
		t.Errorf("the event that it was owed: %d %+v", code, events)
	} else if code := f.api("GET", "/v1/events/"+url.PathEscape(events.Events[0].ID), nil); code != 200 {
		t.Errorf("it cannot be read: %d", code)
	}
	f.runTick()
	f.restart() // with the target back in the config
	again := f.laneNamed("old")
	if c := again.spool.Counts(); c != (spool.Counts{}) || again.failedJobs() != 0 {
		t.Errorf("the name came back with %+v, %d failed jobs", c, again.failedJobs())
	}
	if code, _ := f.post("/v1/events/message", "{}"); code != 200 {
		t.Fatal(code)
	}
	f.wait("its own event", func() bool { return again.spool.Counts().Pending == 1 })
}

// A name that comes and goes leaves nothing running.
func TestForgetAgainAndAgain(t *testing.T) {
	f := newFixture(t)
	f.target("crm", "http://127.0.0.1:1/")
	f.target("old", "http://127.0.0.1:1/")
	f.start()
	with, without := f.cfg, f.cfg
	without.Targets = without.Targets[:1]
	before := runtime.NumGoroutine()
	for range 40 {
		if err := f.apply(&without); err != nil {
			t.Fatal(err)
		}
		if code := f.api("POST", "/v1/targets/old/purge?forget=true", nil); code != 200 {
			t.Fatal(code)
		}
		if err := f.apply(&with); err != nil {
			t.Fatal(err)
		}
	}
	f.wait("the goroutines of forgotten targets to end", func() bool {
		return runtime.NumGoroutine() < before+40
	})
	if n := len(f.spool.Lanes()); n != 2 || f.running() != 2 {
		t.Errorf("there are %d lanes, %d run", n, f.running())
	}
}

// Names that no config could have can be purged and forgotten.
func TestForgetOddNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.target("crm", "http://127.0.0.1:1/")
	f.start()
	for _, name := range []string{"a/b", "..", ".", "<img>", strings.Repeat("x", 256), "a\u202eb", "a b",
		"a%2Fb", "a?b#c", "ä"} {
		x := exportedTo(name)
		if _, err := care.Import(f.spool, []*care.Exported{x}, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.meetLanes(); err != nil {
			t.Fatal(err)
		}
		path := "/v1/targets/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E") + "/purge"
		var out struct{ Count int }
		if code := f.api("POST", path, &out); code != 200 || out.Count != 1 {
			t.Errorf("%q: purged %d, %d", name, out.Count, code)
		}
		if code := f.api("POST", path+"?forget=true", nil); code != 200 {
			t.Errorf("%q: forgotten with %d", name, code)
		}
	}
	if n := len(f.spool.Lanes()); n != 1 {
		t.Errorf("%d lanes are left", n)
	}
}

func exportedTo(target string) *care.Exported {
	return &care.Exported{ID: "to-" + url.PathEscape(target), AcceptedAt: time.Now(),
		Payload: new(string), Targets: []care.ExportedTarget{{Name: target, State: "pending"}}}
}
