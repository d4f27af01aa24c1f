package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/testenv/port"
)

const (
	startPatience = Patience // a race build on a busy machine starts slowly
	stopPatience  = Patience
	startTries    = 4 // a port that was free may be taken a moment later
)

// Relay is one hookspool: a config, a spool and a process that comes and goes.
type Relay struct {
	// Dir holds config, spool and log. It is kept when the test fails.
	Dir    string
	Config *Config
	// Env is added to the environment of the process: "NAME=value". Args are added to its command.
	Env, Args []string
	// Through is a program with its arguments through which the binary is started, such as one that
	// makes a namespace. It must end by replacing itself with the binary.
	Through []string
	// Output, when set, is where the process writes instead of its log. It stays the test's to close.
	Output *os.File

	t       testing.TB
	proc    *Process
	crashes int
	events  atomic.Pointer[string] // http://host:port, while it runs
	admin   string
	token   string // the admin token, when the config only refers to it
	client  *Client
}

// NewRelay readies a directory and does not start the process.
func NewRelay(t testing.TB, c *Config) *Relay {
	t.Helper()
	r := &Relay{t: t, Dir: keptDir(t), Config: c, client: newClient()}
	r.events.Store(new(string))
	t.Cleanup(r.leave)
	return r
}

// Start readies a relay and starts it. It is ready when Start returns.
func Start(t testing.TB, c *Config) *Relay {
	t.Helper()
	r := NewRelay(t, c)
	r.Start()
	return r
}

// keptDir is a temporary directory that a failing test keeps.
func keptDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hookspool-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("config, spool and log are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cannot remove the test's directory: %v", err)
		}
	})
	return dir
}

// Start starts the process on the spool and waits until the relay is ready.
func (r *Relay) Start() {
	r.t.Helper()
	var err error
	for range startTries {
		if err = r.tryStart(); err == nil {
			return
		}
		if !strings.Contains(err.Error(), "is in use by another process") {
			break
		}
	}
	r.t.Fatalf("cannot start the relay: %v", err)
}

// StartUnready starts the process and waits until it answers, ready or not.
func (r *Relay) StartUnready() error {
	if err := r.Launch(); err != nil {
		return err
	}
	var status Status
	if !Eventually(startPatience, func() bool {
		return r.proc.Ended() || r.client.get("/v1/status", &status) == nil
	}) || r.proc.Ended() {
		return errors.New(tail(r.Log()))
	}
	url := listenURL(status.Listen)
	r.events.Store(&url)
	return nil
}

// Launch writes the config and starts the process, and does not wait for anything.
func (r *Relay) Launch() error {
	bin, err := Binary()
	if err != nil {
		return err
	}
	if err := r.chooseAdmin(); err != nil {
		return err
	}
	if err := r.WriteConfig(r.Config.String()); err != nil {
		return err
	}
	command := append(slices.Clone(r.Through), bin, "serve", "--config", r.ConfigPath())
	command = append(command, r.Args...)
	if r.Output != nil {
		r.proc, err = StartProcessOn(command[0], r.Output, r.Output, r.Env, command[1:]...)
	} else {
		r.proc, err = StartProcess(command[0], r.LogPath(), r.Env, command[1:]...)
	}
	return err
}

func (r *Relay) chooseAdmin() error {
	if r.Config.Text("spool.dir") == "" {
		r.Config.Set("spool.dir", filepath.Join(r.Dir, "spool"))
	}
	r.chooseEngine()
	address := r.Config.Text("server.admin_listen")
	if address == "" || r.admin != "" && !strings.HasPrefix(address, "unix:") {
		var err error
		if address, err = port.Free(); err != nil {
			return err
		}
		r.Config.Set("server.admin_listen", address)
	}
	r.admin = address
	token := r.token
	if token == "" {
		token = r.Config.Text("server.admin_token")
	}
	r.client.adminAt(address, token)
	return nil
}

func (r *Relay) tryStart() error {
	if err := r.Launch(); err != nil {
		return err
	}
	var status Status
	ready := Eventually(startPatience, func() bool {
		return r.proc.Ended() || r.client.get("/v1/status", &status) == nil && status.Ready
	})
	if r.proc.Ended() {
		code, _ := r.proc.Wait(0)
		return fmt.Errorf("it ended at once with code %d:\n%s", code, r.Log())
	}
	if !ready {
		_ = r.proc.Kill()
		return fmt.Errorf("it was not ready within %s: %v\n%s", startPatience, status.Unready,
			r.Log())
	}
	url := listenURL(status.Listen)
	r.events.Store(&url)
	return nil
}

// listenURL is the first TCP address among those where events are taken.
func listenURL(listen []string) string {
	for _, address := range listen {
		if !strings.HasPrefix(address, "unix:") && !strings.HasPrefix(address, "/") {
			return "http://" + strings.TrimPrefix(address, "tcp:")
		}
	}
	return ""
}

// WriteConfig replaces the config file the way editors do: a new file, renamed over the old one.
func (r *Relay) WriteConfig(text string) error {
	next := r.ConfigPath() + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.ConfigPath())
}

// ConfigPath is the config file, LogPath what the process wrote, SpoolPath the spool.
func (r *Relay) ConfigPath() string { return filepath.Join(r.Dir, "hookspool.toml") }

// LogPath is the file with all output of the process, of all its starts.
func (r *Relay) LogPath() string { return filepath.Join(r.Dir, "serve.log") }

// SpoolPath is the directory of the spool.
func (r *Relay) SpoolPath() string { return r.Config.Text("spool.dir") }

// EventsURL is where events are taken: http://host:port of the running process.
func (r *Relay) EventsURL() string { return *r.events.Load() }

// EventsAddress is its host:port.
func (r *Relay) EventsAddress() string { return strings.TrimPrefix(r.EventsURL(), "http://") }

// AdminAddress is the admin listener as configured.
func (r *Relay) AdminAddress() string { return r.admin }

// Pid is the process id.
func (r *Relay) Pid() int { return r.proc.Pid() }

// Crashes is how often the process was killed.
func (r *Relay) Crashes() int { return r.crashes }

// Log is all output of the process so far.
func (r *Relay) Log() string {
	b, err := os.ReadFile(r.LogPath())
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(b)
}

// LogCount counts the lines of the log that hold all the words.
func (r *Relay) LogCount(words ...string) int {
	n := 0
lines:
	for line := range strings.Lines(r.Log()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		n++
	}
	return n
}

// UseAdminToken is for a config that has the token in a variable or a file, or that has another one
// since the start: from now on the relay is asked with this one.
func (r *Relay) UseAdminToken(token string) {
	r.token = token
	if r.admin != "" {
		r.client.adminAt(r.admin, token)
	}
}

// Running reports whether there is a process.
func (r *Relay) Running() bool { return r.proc != nil && !r.proc.Ended() }

// Kill ends the process by SIGKILL.
func (r *Relay) Kill() {
	r.t.Helper()
	if err := r.proc.Kill(); err != nil {
		r.t.Fatalf("cannot kill the relay: %v", err)
	}
	r.crashes++
}

// Terminate asks the process to stop and returns its exit code.
func (r *Relay) Terminate() int {
	r.t.Helper()
	r.Signal(syscall.SIGTERM)
	return r.WaitExit()
}

// Signal sends a signal.
func (r *Relay) Signal(s os.Signal) {
	r.t.Helper()
	if err := r.proc.Signal(s); err != nil {
		r.t.Fatalf("cannot signal the relay: %v", err)
	}
}

// WaitExit waits for the end of the process and returns its exit code.
func (r *Relay) WaitExit() int {
	r.t.Helper()
	code, err := r.proc.Wait(stopPatience)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
	return code
}

// Restart terminates the process, wants exit code 0, and starts another on the same spool.
func (r *Relay) Restart() {
	r.t.Helper()
	if code := r.Terminate(); code != 0 {
		r.t.Fatalf("the relay left with code %d\n%s", code, tail(r.Log()))
	}
	r.Start()
}

// Reload replaces the config file by the relay's Config and sends SIGHUP; it returns when the
// relay has read it, taken or not.
func (r *Relay) Reload() {
	r.t.Helper()
	before := r.Status()
	if err := r.WriteConfig(r.Config.String()); err != nil {
		r.t.Fatal(err)
	}
	r.Signal(syscall.SIGHUP)
	Until(r.t, Patience, "the reload to be taken", func() bool {
		s := r.Status()
		return s.ReloadedAt.After(before.ReloadedAt) && !s.ReloadFailed
	})
}

// leave ends the process with the test and looks for what no process may leave behind.
func (r *Relay) leave() {
	if r.proc == nil {
		return
	}
	if !r.proc.Ended() {
		_ = r.proc.Signal(syscall.SIGTERM)
		if code, err := r.proc.Wait(stopPatience); err != nil || code != 0 {
			r.t.Errorf("the relay left with code %d, %v\n%s", code, err, tail(r.Log()))
			_ = r.proc.Kill()
		}
	}
	r.client.close()
	r.leaveStream()
	log := r.Log()
	for _, word := range []string{"DATA RACE", "BUG:", "panic:", "fatal error:"} {
		if at := strings.Index(log, word); at >= 0 {
			r.t.Errorf("the relay's log has %q:\n%s", word, log[at:min(at+4000, len(log))])
		}
	}
}

// tail is the end of a log, enough to see what happened.
func tail(log string) string {
	const bytesMax = 4000
	return log[max(0, len(log)-bytesMax):]
}
