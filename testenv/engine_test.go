package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// onStream makes a config's spool one that a cluster keeps.
func onStream(c *Config, urls ...string) *Config {
	return c.Set("spool.engine", "jetstream").Set("spool.jetstream.urls", urls).
		Set("spool.jetstream.name", "moved").Set("spool.jetstream.relay", "r1").
		Set("spool.max_size", "1GiB")
}

// TestEngineMove moves a spool from one engine to the other and back, at rest and into a running
// relay, and asserts that what is exported is the same each time, line by line, and is delivered in
// the end as it was sent, each event once.
func TestEngineMove(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	cluster := nats.StartInProcess(t, nats.Options{})
	from := NewJourney(t)
	from.Config.Target("moved", from.RX.URL("moved"), "status", "paused")
	from.Start()
	from.SendIDs("moved", 60)
	from.Send(Post{ID: "bytes", Type: "näme", ContentType: "application/x-odd; a=b",
		Body: []byte{0xff, 0, '<', '\n', '\r'}})
	from.Terminate()
	want := exported(t, from.Relay)
	if len(want) != 61 {
		t.Fatalf("%d events are exported", len(want))
	}
	there := NewRelay(t, onStream(NewConfig(), strings.Split(cluster.URL(), ",")...))
	there.Config.Set("spool.encryption_key", "AAAAAAAAAAAAAAAAAAAAAA==").
		Set("spool.jetstream.monitor_url", cluster.Node(0).MonitorURL())
	there.Config.Target("moved", from.RX.URL("moved"), "status", "paused")
	there.Start()
	there.Terminate()
	imports(t, there, want)
	if got := exported(t, there); !slices.Equal(got, want) {
		t.Errorf("the stream exports\n%.2000s\nwant\n%.2000s", got, want)
	}
	there.Start() // with what was imported while it was at rest
	imports(t, there, want)
	if got := exported(t, there); !slices.Equal(got, want) {
		t.Errorf("the running relay exports\n%.2000s\nwant\n%.2000s", got, want)
	}
	checkCare(t, there)
	there.Terminate()
	checkCare(t, there)
	back, rx := NewRelay(t, NewConfig()), NewReceiver(t)
	back.Config.Target("moved", rx.URL("moved"))
	back.Start()
	imports(t, back, exported(t, there))
	checkMoved(t, back, rx)
}

// exported is what a relay, or its spool at rest, exports, without what another spool says of itself.
func exported(t *testing.T, r *Relay) []string {
	t.Helper()
	out := r.CLI("spool", "export")
	if out.Code != 0 {
		t.Fatalf("export left with %d: %s", out.Code, out.Stderr)
	}
	return slices.Collect(strings.Lines(out.Stdout))
}

func imports(t *testing.T, r *Relay, lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := r.CLI("spool", "import", file); out.Code != 0 {
		t.Fatalf("import left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
}

// checkCare asserts which verbs look after a spool that a cluster keeps, and that the others say
// what to do instead.
func checkCare(t *testing.T, r *Relay) {
	t.Helper()
	f := func(code int, says string, args ...string) {
		t.Helper()
		out := r.CLI(append([]string{"spool"}, args...)...)
		if out.Code != code || !strings.Contains(out.Stdout+out.Stderr, says) {
			t.Errorf("spool %v left with %d: %s%s; want %d, %q", args, out.Code, out.Stdout, out.Stderr,
				code, says)
		}
	}
	file := filepath.Join(t.TempDir(), "backup")
	f(0, "every checksum and every count fits", "verify")
	f(0, "61 kept", "stat")
	f(1, "nats stream backup moved", "backup", file)
	f(1, "restore it with --dir", "restore", r.ConfigPath())
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a backup was left: %v", err)
	}
}

// TestEngineRefuses asserts that what keeps a relay from its servers is one clear error of serve and
// of check, with what to do, and that nobody's spool is taken for another.
func TestEngineRefuses(t *testing.T) {
	t.Parallel()
	alone := nats.StartInProcess(t, nats.Options{Nodes: 1, Config: "authorization { users: " +
		"[{user: hs, password: right}] }"})
	lazy := nats.StartInProcess(t, nats.Options{Nodes: 1, Sync: nats.SyncDefault})
	f := func(hint string, change func(r *Relay)) {
		t.Helper()
		r := NewRelay(t, onStream(NewConfig(), "nats://hs:right@"+alone.Node(0).Address()))
		r.Config.Set("spool.jetstream.replicas", 1).Set("spool.jetstream.accept_unsafe", true)
		r.Config.Set("spool.dir", filepath.Join(r.Dir, "spool"))
		change(r)
		err := r.tryStart()
		checked := r.CLI("check", "--json")
		var report struct {
			OK       bool     `json:"ok"`
			Problems []string `json:"problems"`
		}
		if jerr := json.Unmarshal([]byte(checked.Stdout), &report); jerr != nil {
			t.Errorf("%v: %s%s", jerr, checked.Stdout, checked.Stderr)
		}
		if hint == "" {
			if err != nil || !report.OK {
				t.Errorf("%v, %+v", err, report)
			}
			return
		}
		human := r.CLI("check")
		if err == nil || report.OK || len(report.Problems) != 1 || human.Code != 1 ||
			!strings.Contains(human.Stdout, hint) || !strings.Contains(r.Log(), "hint: "+hint) {
			t.Errorf("serve: %v\ncheck: %s%s\nwant %q", err, human.Stdout, human.Stderr, hint)
		}
		if strings.Contains(r.Log()+human.Stdout+checked.Stdout, "//hs") {
			t.Errorf("user-info is shown: %s%s", r.Log(), human.Stdout)
		}
	}
	at := func(url string) func(r *Relay) {
		return func(r *Relay) { r.Config.Set("spool.jetstream.urls", []string{url}) }
	}
	f("", func(*Relay) {})
	f("set in [spool.jetstream] a user", at("nats://hs:wrong@"+alone.Node(0).Address()))
	f("set ca_file", at("tls://"+lazy.Node(0).Address()))
	f("give the servers sync_interval", func(r *Relay) {
		at(lazy.URL())(r)
		r.Config.Set("spool.jetstream.monitor_url", lazy.Node(0).MonitorURL()).
			Set("spool.jetstream.replicas", 3).Set("spool.jetstream.accept_unsafe", false)
	})
	f("name another spool.dir for the copy", func(r *Relay) { mustMkdir(t, r, "db") })
	f(`set spool.engine = "jetstream" again`, func(r *Relay) {
		r.Config.Set("spool.engine", "badger")
		mustMkdir(t, r, "replica")
	})
}

func mustMkdir(t *testing.T, r *Relay, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(r.SpoolPath(), name), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestEngineWaits asserts that a start waits for servers that are not there yet and says so, that a
// signal ends it as one that was ready, and that two relays do not share a directory.
func TestEngineWaits(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	cluster := nats.StartInProcess(t, nats.Options{Nodes: 1})
	cluster.Node(0).Stop()
	r := NewRelay(t, onStream(NewConfig(), cluster.URL()))
	r.Config.Set("spool.jetstream.replicas", 1).Set("spool.jetstream.accept_unsafe", true)
	waiting := func(times int) {
		t.Helper()
		if err := r.Launch(); err != nil {
			t.Fatal(err)
		}
		Until(t, Patience, "it says that it waits", func() bool {
			return r.LogCount("the start waits for them") == times
		})
	}
	waiting(1)
	r.Signal(syscall.SIGTERM)
	if code := r.WaitExit(); code != 0 || r.LogCount("stopped before it was ready") != 1 {
		t.Errorf("it left with %d:\n%s", code, r.Log())
	}
	out := r.CLI("check")
	if out.Code != 1 || !strings.Contains(out.Stdout, "are the servers of spool.jetstream.urls running") {
		t.Errorf("check left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	waiting(2)
	cluster.Node(0).Start()
	Until(t, Patience, "it is ready", func() bool {
		var status Status
		return r.client.get("/v1/status", &status) == nil && status.Ready
	})
	Until(t, Patience, "a warning of accept_unsafe", func() bool {
		return r.LogCount("accept_unsafe is true") == 1
	})
	second := NewRelay(t, r.Config.Clone())
	second.Config.Remove("server.admin_listen")
	second.Config.Set("spool.dir", r.SpoolPath())
	if err := second.tryStart(); err == nil || !strings.Contains(fmt.Sprint(err), "another process") {
		t.Errorf("another one in its directory: %v", err)
	}
}
