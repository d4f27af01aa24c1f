package testenv

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const badConfig = `
[server]
lissten = ["127.0.0.1:0"]

[retry]
interval = "ten"

[target.crm]
url = "http://127.0.0.1:9/"
events = ["*"]
timeout = 10
`

// TestP7ReloadThreeWays asserts that SIGHUP, the API and a change of the file each take a new
// config without a restart: a target that is added gets what comes then, and nothing from before.
func TestP7ReloadThreeWays(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("first")
	j.Config.Set("server.reload_check", "50ms")
	j.Start()
	ways := []struct {
		name string
		tell func()
	}{
		{"sighup", func() { j.Signal(syscall.SIGHUP) }},
		{"api", func() {
			if code, body := j.Admin("POST", "/v1/reload"); code/100 != 2 {
				t.Errorf("POST /v1/reload answered %d: %s", code, body)
			}
		}},
		{"file", func() {}},
	}
	want := []string{"first"}
	for _, way := range ways {
		j.SendIDs("before-"+way.name, 1)
		j.Aim(way.name)
		if err := j.WriteConfig(j.Config.String()); err != nil {
			t.Fatal(err)
		}
		way.tell()
		Until(t, Patience, "the reload", func() bool {
			_, ok := j.Targets()[way.name]
			return ok
		})
		want = append(want, way.name)
		slices.Sort(want)
		a := j.Send(Post{ID: "after-" + way.name, Body: []byte(`{}`)})
		slices.Sort(a.Targets)
		if !slices.Equal(a.Targets, want) {
			t.Errorf("%s: an event is owed to %v, want %v", way.name, a.Targets, want)
		}
	}
	j.Ledger.AwaitDelivered()
	if n := j.RX.Count("file"); n != 1 {
		t.Errorf("the target added last got %d events, want 1", n)
	}
}

// TestP7BadFileChangesNothing asserts that a bad config is refused as a whole, whichever way it is
// read: deliveries go on, the log and the metrics say so, the API answers 422 with all faults and
// their places; and that a good file makes it well again.
func TestP7BadFileChangesNothing(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	good := j.Metrics()
	if err := j.WriteConfig(badConfig); err != nil {
		t.Fatal(err)
	}
	code, body := j.Admin("POST", "/v1/reload")
	if code != 422 {
		t.Errorf("POST /v1/reload answered %d, want 422: %s", code, body)
	}
	for _, want := range []string{"3:1", "lissten", "6:1", "interval", "11:1", "timeout"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the answer does not name %q: %s", want, body)
		}
	}
	checkBad := func(how string) {
		t.Helper()
		m := j.Metrics()
		at := Series("config_reload_success_timestamp_seconds")
		if m.Get("config_last_reload_successful") != 0 || m[at] != good[at] {
			t.Errorf("%s: config_last_reload_successful is %d", how,
				m.Get("config_last_reload_successful"))
		}
		if j.LogCount("lissten") == 0 || !j.Status().ReloadFailed {
			t.Errorf("%s: the log or the status does not tell", how)
		}
		if code, _ := j.Admin("GET", "/readyz"); code != 200 {
			t.Errorf("%s: readyz answers %d", how, code)
		}
		j.SendIDs(how, 2)
		j.Ledger.AwaitDelivered()
	}
	checkBad("api")
	said := j.LogCount("lissten")
	j.Signal(syscall.SIGHUP)
	Until(t, Patience, "the log", func() bool { return j.LogCount("lissten") > said })
	checkBad("sighup")
	j.Config.Set("target.crm.timeout", "7s")
	j.Reload()
	if m := j.Metrics(); m.Get("config_last_reload_successful") != 1 {
		t.Error("a good file did not make it well")
	}
}

// TestP7WatchedBadFile asserts the same for a file that is found changed: it is said once, not at
// every look.
func TestP7WatchedBadFile(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.reload_check", "20ms").Set("retry.interval", "50ms")
	j.Start()
	if err := j.WriteConfig(badConfig); err != nil {
		t.Fatal(err)
	}
	Until(t, Patience, "the log", func() bool { return j.LogCount("lissten") > 0 })
	j.AwaitTicks(10)
	if n := j.LogCount("lissten"); n != 1 {
		t.Errorf("the same bad file was said %d times", n)
	}
	if err := j.WriteConfig(j.Config.String()); err != nil {
		t.Fatal(err)
	}
	Until(t, Patience, "the good file", func() bool {
		return j.Metrics().Get("config_last_reload_successful") == 1
	})
}

// TestP7RestartNeeded asserts that the answer to a reload names what it could not change, every time
// until the restart, and that one fault is one.
func TestP7RestartNeeded(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	reload := func(want string) {
		t.Helper()
		if err := j.WriteConfig(j.Config.String()); err != nil {
			t.Fatal(err)
		}
		if _, body := j.Admin("POST", "/v1/reload"); !strings.Contains(string(body), want) {
			t.Errorf("POST /v1/reload does not answer %s: %s", want, body)
		}
	}
	reload(`"restart_needed":[]`)
	j.Config.Set("log.format", "json").Set("server.read_timeout", "7s")
	reload(`"restart_needed":["log.format","server.read_timeout"]`)
	reload(`"restart_needed":["log.format","server.read_timeout"]`)
	j.Config.Set("target.crm.timeout", "never")
	reload("the config has a fault and")
}

// TestP7VanishedFile asserts that a config file that is gone is said once, in log and metric, whoever
// finds out; and that the same file makes it well when it is back.
func TestP7VanishedFile(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.reload_check", "20ms").Set("retry.interval", "50ms")
	j.Start()
	healthy := func(want int) func() bool {
		return func() bool { return j.Metrics().Get("config_last_reload_successful") == want }
	}
	away := j.ConfigPath() + ".away"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(j.ConfigPath(), away)
	Until(t, Patience, "the missing file to be told", healthy(0))
	j.AwaitTicks(10)
	if n := j.LogCount("cannot reload the config", "no such file"); n != 1 {
		t.Errorf("a missing file was said %d times", n)
	}
	move(away, j.ConfigPath())
	Until(t, Patience, "the file that is back", healthy(1))
	move(j.ConfigPath(), away)
	if code, body := j.Admin("POST", "/v1/reload"); code != 422 || !healthy(0)() {
		t.Errorf("a reload without a file answered %d: %s", code, body)
	}
	move(away, j.ConfigPath())
	Until(t, Patience, "the file that is back again", healthy(1))
}

// TestP7WrongConfigNeverStarts asserts that serve does not start with a config that is wrong or
// missing: exit code 1, error and hint, every fault with its place, no spool made, no port bound.
func TestP7WrongConfigNeverStarts(t *testing.T) {
	t.Parallel()
	f := func(name, text string, wants ...string) {
		t.Helper()
		r := NewRelay(t, NewConfig())
		if text != "" {
			if err := r.WriteConfig(text); err != nil {
				t.Fatal(err)
			}
		}
		for _, verb := range []string{"serve", "check"} {
			out := r.CLI(verb)
			if out.Code != 1 {
				t.Errorf("%s: %s left with %d, want 1", name, verb, out.Code)
			}
			all := out.Stdout + out.Stderr
			for _, want := range wants {
				if !strings.Contains(all, want) {
					t.Errorf("%s: %s does not say %q:\n%s", name, verb, want, all)
				}
			}
		}
	}
	f("bad keys", badConfig, "hookspool.toml:3:1", `"listen"`, ":6:1", ":11:1", "hint: ")
	f("no file", "", "error: ", "hookspool.toml", "hint: ")
	f("not TOML", "[server\n", "hookspool.toml:1")
	f("open admin", "[server]\nadmin_listen = \":0\"\n", ":2:1", "admin_token")
	f("secret missing", "[server]\nevent_token = \"env:NOT_SET_ANYWHERE\"\n", "NOT_SET_ANYWHERE")
	out := CLI(t, nil, "serve", "--nonsense")
	if out.Code != 2 {
		t.Errorf("an unknown flag left with %d, want 2", out.Code)
	}
	if out := CLI(t, nil, "nonsense"); out.Code != 2 {
		t.Errorf("an unknown verb left with %d, want 2", out.Code)
	}
}

// TestP7ExampleIsSound asserts that check passes config.example.toml as it is.
func TestP7ExampleIsSound(t *testing.T) {
	t.Parallel()
	out := CLI(t, nil, "check", "--config", mustRoot(t)+"/config.example.toml")
	if out.Code != 0 && !strings.Contains(out.Stdout, inUse) {
		t.Errorf("check left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
}

// inUse is what check says on a machine where a relay listens on the addresses of the defaults.
const inUse = ": address already in use"

// TestP7NoTargets asserts that a file without targets is legal and said so; everything is
// unmatched.
func TestP7NoTargets(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Start()
	if a := j.Send(Post{Body: []byte(`{}`)}); len(a.Targets) != 0 {
		t.Errorf("the targets are %v", a.Targets)
	}
	if n := j.Metrics().Get("events_unmatched_total"); n != 1 {
		t.Errorf("events_unmatched_total is %d", n)
	}
	if j.LogCount("no [target.NAME]") == 0 {
		t.Errorf("the log does not say that there is no target:\n%s", j.Log())
	}
}
