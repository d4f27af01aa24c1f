package testenv

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestP7SilentInput asserts that one SIGTERM ends a verb that waits for input which does not come,
// whether at its beginning or in the middle.
func TestP7SilentInput(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(j.Dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// f writes the beginning of the input, keeps its end open, and stops the verb when it has read that.
	f := func(beginning string, args ...string) {
		t.Helper()
		in, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		cmd := exec.Command(bin, args...)
		cmd.Dir, cmd.Stdin, cmd.SysProcAttr = j.Dir, in, parentDeath()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if args[len(args)-1] == pipe {
			file, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			to = file
		}
		if _, err := io.WriteString(to, beginning); err != nil {
			t.Fatal(err)
		}
		Until(t, Patience, "the beginning to be read", func() bool { return unread(t, to) == 0 })
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(Patience):
			t.Errorf("%q does not end by SIGTERM", args)
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	config := []string{"--config", j.ConfigPath()}
	f(" ", append([]string{"spool", "import", "-"}, config...)...)
	f(" ", "spool", "import", "--dir", filepath.Join(j.Dir, "made"), pipe)
	f("{\"a\":1}\n{\"a\":2}\n", append([]string{"send", "--ndjson", "-"}, config...)...)
	if onCluster() {
		noteSkip(t, "not on JetStream: there is no backup to be restored")
		return
	}
	backup := filepath.Join(j.Dir, "backup")
	if out := j.CLI("spool", "backup", backup); out.Code != 0 {
		t.Fatalf("backup left with %d: %s", out.Code, out.Stderr)
	}
	head := readFile(t, backup)
	f(head[:len(head)/2], "spool", "restore", "--dir", filepath.Join(j.Dir, "restored"), pipe)
}

// unread is how many bytes of a pipe nobody has read yet.
func unread(t *testing.T, pipe *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
