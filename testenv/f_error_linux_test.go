package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// sickness lets system calls of a running process fail, from outside: strace's fault injection. It
// is the only way to a static binary on a kernel without device-mapper.
type sickness struct {
	t   testing.TB
	cmd *exec.Cmd
}

// injectErrors makes every call of these names fail with an error until heal.
func injectErrors(t testing.TB, pid int, calls, errno string) *sickness {
	t.Helper()
	s := &sickness{t: t, cmd: exec.Command("strace", "-f", "-qq", "-o", "/dev/null",
		"-p", fmt.Sprint(pid), "-e", "trace="+calls, "-e", "inject="+calls+":error="+errno)}
	var out strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.heal)
	if !Eventually(Patience, func() bool { return traced(t, pid) }) {
		s.heal()
		SkipLoudly(t, "strace cannot attach: %s", out.String())
	}
	return s
}

// heal lets the calls succeed again.
func (s *sickness) heal() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
}

// traced reports whether every thread of a process has a tracer.
func traced(t testing.TB, pid int) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(b), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(tasks) > 0
}

// TestFaultIOErrors lets writes and syncs of the running relay fail, for ever or until the first
// refusal, and asserts that it says yes to nothing from then on, is unready, leaves with an error
// and a hint, and that its next start has everything it ever said yes to.
func TestFaultIOErrors(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	needTools(t, "strace")
	for _, c := range []struct {
		name, calls, errno string
		heals              bool
		hint               string
	}{
		// The commit's own sync.
		{"commit", "msync", "EIO", false, "look after the disk"},
		// The same on a disk that comes back at once: what is on it is unknown all the same.
		{"commit, heals", "msync", "EIO", true, "look after the disk"},
		{"commit, no space", "msync", "ENOSPC", true, "make room on the disk"},
		{"commit, quota", "msync", "EDQUOT", false, "the disk quota"},
		// The high-water mark, once a second.
		{"mark's sync", "fsync,fdatasync", "EIO", true, "look after the disk"},
		{"mark's write", "pwrite64", "EIO", false, "look after the disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rng := Seed(t)
			j := faultJourney(t, rng, "")
			gate := make(chan struct{})
			j.RX.Always("good", Held(gate, OK()))
			j.Config.Set("server.drain_timeout", "1s")
			j.Start()
			load := j.StartLoad(rng, 4, "sick")
			Until(t, Patience, "events", func() bool { return j.Ledger.Accepted() > 50 })
			disk := injectErrors(t, j.Pid(), c.calls, c.errno)
			j.awaitDiskError()
			load.Stop()
			accepted := j.Ledger.Accepted()
			if c.heals {
				disk.heal()
			}
			for i := range 20 {
				a := j.Post(Post{ID: fmt.Sprintf("late-%d", i), Body: []byte(`{"a":1}`)})
				if a.Status == 200 {
					t.Fatalf("an event was accepted after the disk had failed: %s", a.Body)
				}
			}
			if code := j.WaitExit(); code != 1 {
				t.Errorf("it left with %d, want 1", code)
			}
			disk.heal()
			close(gate)
			log := j.keepLog()
			if !strings.Contains(log, "error: ") || !strings.Contains(log, "hint: "+c.hint) ||
				strings.Contains(log, "goroutine ") {
				t.Errorf("it did not say what to do:\n%s", tail(log))
			}
			if n := j.Ledger.Accepted(); n != accepted {
				t.Errorf("%d events were accepted after the disk had failed", n-accepted)
			}
			j.crashes++ // attempts that were not settled are repeated
			j.Start()
			j.finishFaults()
		})
	}
}

// awaitDiskError waits until posts are refused, wants the code disk_error, and looks at what the
// relay says of itself while it is still there.
func (j *Journey) awaitDiskError() {
	j.t.Helper()
	var a Answer
	Until(j.t, Patience, "a post to fail", func() bool {
		a = j.Post(Post{Body: []byte(`{"eventType":"message"}`)})
		return a.Err != nil || a.Status != 200
	})
	if a.Err == nil && (a.Status != 507 || a.Problem.Code != "disk_error") {
		j.t.Errorf("refused with %d %q, want 507 disk_error", a.Status, a.Problem.Code)
	}
	if code, body, err := j.client.call("GET", "/readyz"); err == nil &&
		(code != 503 || !strings.Contains(string(body), "disk error")) {
		j.t.Errorf("/readyz says %d %q after the disk has failed", code, body)
	}
}
