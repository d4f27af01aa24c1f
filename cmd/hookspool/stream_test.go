package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/receiver"
)

// failingStream lets some bytes through and then fails.
type failingStream struct {
	room int
	err  error
}

func (f *failingStream) Write(text []byte) (int, error) {
	n := min(f.room, len(text))
	f.room -= n
	if n < len(text) {
		return n, f.err
	}
	return n, nil
}

// stageSecret signs what the verbs sign.
const stageSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// verbStage is what the verbs of TestOutputThatCannotBeWritten work on: a relay that runs, with an
// event that is delivered, pending and exhausted, and a spool at rest.
type verbStage struct {
	dir, config, event, admin string
	fresh                     int
}

func (s *verbStage) path(name string) string { return filepath.Join(s.dir, name) }

// another is a name that nobody has used.
func (s *verbStage) another() string {
	s.fresh++
	return s.path(fmt.Sprint("fresh-", s.fresh))
}

func newVerbStage(t *testing.T) *verbStage {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rx := receiver.New(receiver.Options{})
	served := make(chan error, 1)
	go func() { served <- rx.Serve(ln) }()
	s := &verbStage{dir: t.TempDir()}
	s.config, s.event = s.path("hookspool.toml"), s.path("event.json")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(s.event, `{"eventType":"message"}`)
	write(s.config, fmt.Sprintf(verbStageConfig, s.path("spool"), ln.Addr(), ln.Addr()))
	cfg, err := config.Load(s.config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := relay.New(relay.Options{Config: cfg, Version: "test", Log: (&spoolVerb{cli: &cli{
		errOut: io.Discard}}).log()})
	if err != nil {
		t.Fatal(err)
	}
	_, s.admin = r.Addresses()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		bye, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(<-ended, rx.Shutdown(bye), <-served); err != nil {
			t.Error(err)
		}
	})
	listen, _ := r.Addresses()
	s.must(t, "send", "--id", "e1", "--to", "http://"+listen[0], s.event)
	for end := time.Now().Add(testPatience); ; {
		target, _ := r.Admin().Target("dead")
		if target.Exhausted == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing is exhausted")
		}
		time.Sleep(time.Millisecond)
	}
	s.must(t, "spool", "export", "--all", "--out", s.path("events"), "--admin", "http://"+s.admin)
	s.must(t, "spool", "import", s.path("events"), "--dir", s.path("rest"))
	s.must(t, "spool", "backup", s.path("backup"), "--dir", s.path("rest"))
	s.must(t, "resume", "crm", "--admin", "http://"+s.admin) // an action
	return s
}

func (s *verbStage) must(t *testing.T, args ...string) {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(args, strings.NewReader(""), &out, &errOut); code != 0 {
		t.Fatalf("%q: exit %d\n%s%s", args, code, out.String(), errOut.String())
	}
}

const verbStageConfig = `[server]
listen = ["127.0.0.1:0"]
admin_listen = "127.0.0.1:0"
drain_timeout = "2s"
[spool]
dir = %q
min_free_disk = "1MiB"
[retry]
interval = "10ms"
max_attempts = 1
[target.crm]
url = "http://%s/"
events = ["*"]
[target.held]
url = "http://%s/held"
status = "paused"
events = ["*"]
[target.dead]
url = "http://127.0.0.1:1/"
events = ["*"]
`

// verbsThatPrint are the words of every verb that make it print on stdout, and succeed when that can
// be written.
func verbsThatPrint() map[string]func(s *verbStage, json bool) []string {
	at := func(words ...string) func(*verbStage, bool) []string {
		return func(s *verbStage, _ bool) []string {
			return append(words[:len(words):len(words)], "--admin", "http://"+s.admin)
		}
	}
	alone := func(words ...string) func(*verbStage, bool) []string {
		return func(*verbStage, bool) []string { return words }
	}
	rest := func(words ...string) func(*verbStage, bool) []string {
		return func(s *verbStage, _ bool) []string {
			return append(words[:len(words):len(words)], "--dir", s.path("rest"))
		}
	}
	return map[string]func(s *verbStage, json bool) []string{
		"": alone(), "help": alone("help", "serve"), "spool": alone("spool"),
		"version": alone("version"), "keygen": alone("keygen"),
		"completion": alone("completion", "bash"),
		"check":      func(s *verbStage, _ bool) []string { return []string{"check", s.config} },
		"explain": func(s *verbStage, _ bool) []string {
			return []string{"explain", "--type", "message", "--file", s.event, "--admin",
				"http://" + s.admin}
		},
		"send": func(s *verbStage, _ bool) []string {
			return []string{"send", "--config", s.config, "--admin", "http://" + s.admin, s.event}
		},
		"sample": at("sample", "crm"), "types": at("types"),
		"status": at("status"), "targets": at("targets"),
		"failures": at("failures", "dead"), "history": at("history"),
		"events": at("events", "e1"), "deliveries": at("deliveries"), "attempts": at("attempts", "e1"),
		"exhausted": at("exhausted"), "replay": at("replay", "--target", "crm", "--dry-run"),
		"enable": at("enable", "crm"), "pause": at("pause", "held"), "resume": at("resume", "crm"),
		"retry": at("retry", "crm"), "actions": at("actions"), "reload": at("reload"), "healthcheck": at("healthcheck"),
		"purge": at("purge", "--target", "dead", "--state", "pending", "--yes"),
		"sign": func(s *verbStage, _ bool) []string {
			return []string{"sign", "--secret", stageSecret, "--id", "a", s.event}
		},
		"verify": func(s *verbStage, _ bool) []string {
			return []string{"verify", "--secret", stageSecret, "--id", "a", "--timestamp", "1790000000",
				"--tolerance", "0", "--signature", stageSignature, s.event}
		},
		"spool stat": rest("spool", "stat"), "spool verify": rest("spool", "verify"),
		"spool export": rest("spool", "export", "--all"),
		"spool import": func(s *verbStage, _ bool) []string {
			return []string{"spool", "import", s.path("events"), "--dir", s.path("rest")}
		},
		"spool backup": func(s *verbStage, json bool) []string {
			if name := "-"; !json {
				return []string{"spool", "backup", name, "--dir", s.path("rest")}
			}
			return []string{"spool", "backup", s.another(), "--dir", s.path("rest")}
		},
		"spool restore": func(s *verbStage, _ bool) []string {
			return []string{"spool", "restore", s.path("backup"), "--dir", s.another()}
		},
	}
}

// stageSignature is what sign makes of the stage's event at 1790000000.
const stageSignature = "v1,M6Tp/HC/CuGwUJuO4rhjMRShp8OH2zTmkSt7hl+Ig3g="

// printsNothing are verbs that write no data on stdout, or that go on without it until they are
// stopped (TestP7OutputIsGone of testenv).
func printsNothing() []string { return []string{"serve", "demo", "listen", "top"} }

// TestOutputThatCannotBeWritten runs every verb there is with a stdout that is full, and with one
// whose reader has left: it must not say that it is done. A verb that is new has to be added.
func TestOutputThatCannotBeWritten(t *testing.T) {
	s := newVerbStage(t)
	prints := verbsThatPrint()
	for _, verb := range printsNothing() {
		prints[verb] = func(*verbStage, bool) []string {
			return append(strings.Fields(verb), "--help")
		}
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		verb := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "hookspool"))
		words := prints[verb]
		if words == nil {
			t.Errorf("verb %q: what makes it print? (verbsThatPrint)", verb)
			return
		}
		checkOutput(t, func(json bool) []string { return words(s, json) }, false)
		checkOutput(t, func(json bool) []string { return append(words(s, json), "--json") }, true)
		checkOutput(t, func(bool) []string { return append(strings.Fields(verb), "--help") }, false)
	}
	root := (&cli{getenv: func(string) string { return "" }}).rootCommand()
	root.InitDefaultHelpCmd()
	walk(root)
}

// checkOutput runs the words three times: with room, without, and without a reader.
func checkOutput(t *testing.T, words func(json bool) []string, json bool) {
	t.Helper()
	f := func(out io.Writer, want int, says string) {
		t.Helper()
		var errOut bytes.Buffer
		args := append([]string{}, words(json)...) // cobra takes nil for the arguments of the test itself
		code := run(args, strings.NewReader(""), out, &errOut)
		text := errOut.String()
		if code != want || says != "" && !strings.Contains(text, says) ||
			says == "" && strings.Contains(text, "error:") {
			t.Errorf("%q: exit %d, want %d with %q\n%s", args, code, want, says, text)
		}
	}
	var all bytes.Buffer
	f(&all, exitDone, "")
	if all.Len() == 0 {
		t.Errorf("%q prints nothing", words(json))
	}
	lost, full := "error: cannot write to stdout: ", "no space left on device\nhint: "
	if json {
		lost, full = `{"error":"cannot write to stdout: `, `no space left on device","hint":"`
	}
	f(&failingStream{0, syscall.ENOSPC}, exitFailed, lost+full)
	// Half of it gets through: the last byte counts, too.
	f(&failingStream{all.Len() / 2, syscall.EIO}, exitFailed, lost)
	f(&failingStream{0, syscall.EPIPE}, exitFailed, "")
}
