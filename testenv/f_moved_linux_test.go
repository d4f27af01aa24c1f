package testenv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// movedPatience bounds how long a relay lives on moved files. It is a beat of the keeper, which is a
// second, and another for what is in hand; the rest is for a busy machine.
const movedPatience = 200 * time.Second

// moving is something done to the files of a running relay.
type moving struct {
	what string
	do   func(spool string) error
	// undo brings them back; nil: the next start needs nothing.
	undo func(spool string) error
	// away: the directory is not where it was, so that a start without undo is refused.
	away bool
}

func movings() []moving {
	away := func(path ...string) func(string) error {
		return func(spool string) error {
			from := filepath.Join(append([]string{spool}, path...)...)
			return os.Rename(from, from+".moved")
		}
	}
	back := func(path ...string) func(string) error {
		return func(spool string) error {
			to := filepath.Join(append([]string{spool}, path...)...)
			return os.Rename(to+".moved", to)
		}
	}
	return []moving{
		{"the directory", away(), back(), true},
		{"a directory above it", away(".."), back(".."), true},
		{"the engine's directory", away("db"), back("db"), true},
		{"another directory in its place", func(spool string) error {
			return errors.Join(away()(spool), os.Mkdir(spool, 0o700))
		}, func(spool string) error {
			return errors.Join(os.Remove(spool), back()(spool))
		}, true},
		{"a copy in its place", func(spool string) error {
			return errors.Join(away()(spool), atrest.CopyFiles(spool+".moved", spool))
		}, func(spool string) error {
			return errors.Join(os.RemoveAll(spool), back()(spool))
		}, false},
		{"the mark", away("highwater"), back("highwater"), false},
		{"the mark, for good", func(spool string) error {
			return os.Remove(filepath.Join(spool, "highwater"))
		}, nil, false},
		{"the log, for good", onAll(os.Remove, "db", "*.mem"), nil, false},
		{"the log", onAll(func(path string) error {
			return os.Rename(path, path+".moved")
		}, "db", "*.mem"), nil, false},
		{"the tables", onAll(func(path string) error {
			return os.Rename(path, path+".moved")
		}, "db", "*.sst"), onAll(func(path string) error {
			return os.Rename(path, strings.TrimSuffix(path, ".moved"))
		}, "db", "*.sst.moved"), false},
		{"the list of tables", away("db", "MANIFEST"), back("db", "MANIFEST"), false},
		{"a copy of the list of tables", func(spool string) error {
			path := filepath.Join(spool, "db", "MANIFEST")
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path+".moved", b, 0o600), back("db", "MANIFEST")(spool))
		}, nil, false},
	}
}

// onAll does something to every file that matches, of which there must be some.
func onAll(do func(path string) error, pattern ...string) func(string) error {
	return func(spool string) error {
		paths, err := filepath.Glob(filepath.Join(append([]string{spool}, pattern...)...))
		if err == nil && len(paths) == 0 {
			err = fmt.Errorf("there are no files %v", pattern)
		}
		for _, path := range paths {
			err = errors.Join(err, do(path))
		}
		return err
	}
}

// TestFaultMoved takes files from under a running relay, which could go on writing into them for
// ever, and wants it unready, its senders refused and its process gone within seconds, with a hint.
// When the files are back, everything that was acknowledged is there and is delivered.
func TestFaultMoved(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	for _, m := range movings() {
		t.Run(m.what, func(t *testing.T) {
			t.Parallel()
			m.play(t)
		})
	}
}

func (m *moving) play(t *testing.T) {
	t.Helper()
	j := newMovedJourney(t)
	spool := j.SpoolPath()
	j.fallsSilent(m.do)
	if m.away {
		j.refusesToStart("hint: move it back")
		if _, err := os.Stat(filepath.Join(spool, "db")); err == nil {
			t.Error("another spool was begun")
		}
	}
	if m.undo != nil {
		if err := m.undo(spool); err != nil {
			t.Fatal(err)
		}
	}
	j.Config.Set("target.crm.status", "enabled")
	j.Start()
	j.Ledger.AwaitDelivered()
	if files, err := filepath.Glob(spool + "*.away"); err != nil || len(files) > 0 {
		t.Errorf("there is still %v, %v", files, err)
	}
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	if out := j.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("it does not verify: %s%s", out.Stdout, out.Stderr)
	}
	j.keepLog()
}

// newMovedJourney starts a relay whose spool has tables and a log, with everything pending.
func newMovedJourney(t *testing.T) *Journey {
	t.Helper()
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	j.Config.Target("crm", j.RX.URL("crm"), "status", "paused").
		Set("spool.dir", filepath.Join(j.Dir, "above", "spool")).Set("server.max_body_size", "900KiB")
	j.Start()
	for i := range 24 { // half of them so large that they are not in the log
		j.Send(Post{ID: fmt.Sprint("some-", i), Body: bytes.Repeat([]byte{'x'}, 1<<10+i%2*200<<10),
			ContentType: "text/plain"})
	}
	j.Kill()
	j.Start() // what the log had becomes a table
	Until(t, Patience, "a table beside one log", func() bool {
		tables, _ := filepath.Glob(filepath.Join(j.SpoolPath(), "db", "*.sst"))
		logs, _ := filepath.Glob(filepath.Join(j.SpoolPath(), "db", "*.mem"))
		return len(tables) > 0 && len(logs) == 1
	})
	j.SendIDs("small", 20)
	return j
}

// fallsSilent does something to the files and wants the relay to stop over it: unready, 507 for who
// waits, code 1 and a hint.
func (j *Journey) fallsSilent(do func(spool string) error) {
	j.t.Helper()
	waits := j.beginPost()
	defer waits.Close()
	began := time.Now()
	if err := do(j.SpoolPath()); err != nil {
		j.t.Fatal(err)
	}
	var asked time.Time // when the relay had not stopped yet, as far as is known
	Until(j.t, Patience, "the relay to be unready", func() bool {
		before := time.Now()
		code, body, err := j.client.call("GET", "/readyz")
		if j.proc.Ended() || err == nil && code == 503 &&
			strings.Contains(string(body), "not where they were opened") {
			return true
		}
		asked = before
		return false
	})
	status, body, err := endPost(waits)
	switch {
	case err != nil && time.Since(asked) > time.Second || j.proc.Ended():
		j.t.Logf("this machine was too busy to hear the answer: %v", err) // it waits a second
	case err != nil || status != 507 || !strings.Contains(body, `"disk_error"`):
		j.t.Errorf("who waited was answered %d %s, %v", status, body, err)
	}
	code := j.WaitExit()
	if took := time.Since(began); took > movedPatience {
		j.t.Errorf("it took %s until the relay was gone", took)
	}
	if log := j.Log(); code != 1 || !strings.Contains(log, "hint: move it back") {
		j.t.Errorf("it left with code %d and said\n%s", code, tail(log))
	}
}

// beginPost sends half of an event.
func (j *Journey) beginPost() net.Conn {
	j.t.Helper()
	conn, err := net.Dial("tcp", j.EventsAddress())
	if err == nil {
		_, err = conn.Write([]byte("POST /v1/events HTTP/1.1\r\nHost: x\r\n" +
			"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{"))
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return conn
}

// endPost sends the other half and reads the answer.
func endPost(conn net.Conn) (status int, body string, err error) {
	_ = conn.SetDeadline(time.Now().Add(Patience))
	if _, err := conn.Write([]byte("}")); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), errors.Join(err, resp.Body.Close())
}

// TestFaultRemoved removes the directory of a running relay. What was in it is gone, and the relay
// says so; the next start begins no empty spool in silence, but when it is told to.
func TestFaultRemoved(t *testing.T) {
	t.Parallel()
	rx := NewReceiver(t)
	r := Start(t, NewConfig().Target("crm", rx.URL("crm")))
	if a := r.Post(Post{Body: []byte("{}")}); a.Status != 200 {
		t.Fatal(a.Status)
	}
	j := &Journey{Relay: r, RX: rx}
	j.fallsSilent(os.RemoveAll)
	if !strings.Contains(r.Log(), "what was removed for good is lost") {
		t.Errorf("it does not say what is lost:\n%s", tail(r.Log()))
	}
	j.refusesToStart("--accept-data-loss")
	if _, err := os.Stat(r.SpoolPath()); err == nil {
		t.Error("another spool was begun")
	}
	if out := r.CLI("check"); out.Code != 1 || !strings.Contains(out.Stdout+out.Stderr, "is away") {
		t.Errorf("check left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	r.Args = []string{"--accept-data-loss"}
	r.Start()
	r.Args = nil
	r.Restart()
}

// TestFaultMovedAndServed moves the directory of a running relay away and serves another on the
// same path at once: the first stops and leaves the second's files alone; the second says at its
// next start that the first is elsewhere, and nobody's events are lost.
func TestFaultMovedAndServed(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	first := newMovedJourney(t)
	spool := first.SpoolPath()
	first.Signal(syscall.SIGSTOP) // or it might notice before the second has begun
	if err := os.Rename(spool, spool+".moved"); err != nil {
		t.Fatal(err)
	}
	second := NewJourney(t).Aim("crm")
	second.Config.Set("spool.dir", spool)
	second.Start()
	second.SendIDs("second", 20)
	first.Signal(syscall.SIGCONT)
	if code := first.WaitExit(); code != 1 {
		t.Errorf("the first left with %d", code)
	}
	second.Restart()
	second.Ledger.AwaitDelivered()
	if second.LogCount("level=ERROR", "another spool was open here before") != 1 {
		t.Errorf("the second does not say that there was a first:\n%s", tail(second.Log()))
	}
	if code := second.Terminate(); code != 0 {
		t.Errorf("the second left with %d", code)
	}
	if out := second.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("the second does not verify: %s%s", out.Stdout, out.Stderr)
	}
	first.Config.Set("spool.dir", spool+".moved").Set("target.crm.status", "enabled")
	first.Start()
	first.Ledger.AwaitDelivered()
}

// TestFaultMountedOver mounts a file system over the directory of a running relay, and over the
// engine's: what it writes is out of reach for the next start.
func TestFaultMountedOver(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	needTools(t, "mount", "umount")
	for _, below := range []string{"", "db"} {
		t.Run("over "+below, func(t *testing.T) {
			t.Parallel()
			at := ""
			m := moving{do: func(spool string) error {
				at = filepath.Join(spool, below)
				return syscall.Mount("none", at, "tmpfs", 0, "size=128m")
			}, undo: func(string) error { return syscall.Unmount(at, 0) }, away: below == ""}
			t.Cleanup(func() { _ = syscall.Unmount(at, 0) })
			m.play(t)
		})
	}
}
