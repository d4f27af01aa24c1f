package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// nobody is a user who owns nothing.
const nobody = 65534

// TestFaultSpoolDir starts the relay on places where no spool can be, and wants an error and a hint
// within the first moments, no trace of a panic, and nothing changed.
func TestFaultSpoolDir(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	t.Run("read-only file system", func(t *testing.T) {
		d := newDisk(t, "tmpfs", 128<<20)
		j := NewJourney(t).Aim("crm")
		j.Config.Set("spool.dir", filepath.Join(d.dir, "spool")).
			Set("spool.min_free_disk", "16MiB")
		d.remount("ro")
		j.refusesToStart("hint: ")
		d.remount("rw")
		j.Start()
		j.SendIDs("written", 3)
		if code := j.Terminate(); code != 0 {
			t.Fatalf("it left with %d", code)
		}
		d.remount("ro") // with a spool on it
		j.refusesToStart("hint: ")
		d.remount("rw")
		j.Start()
		j.Ledger.AwaitDelivered()
	})
	t.Run("missing parents", func(t *testing.T) {
		t.Parallel()
		j := NewJourney(t).Aim("crm")
		j.Config.Set("spool.dir", filepath.Join(j.Dir, "a", "b", "spool"))
		j.Start()
		j.SendIDs("made", 3)
		info, err := os.Stat(j.SpoolPath())
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the spool's directory is %v, %v; want mode 0700", info.Mode(), err)
		}
	})
	t.Run("a file in the way", func(t *testing.T) {
		t.Parallel()
		j := NewJourney(t).Aim("crm")
		j.Config.Set("spool.dir", filepath.Join(j.ConfigPath(), "spool"))
		j.refusesToStart("hint: spool.dir names something that is no directory")
	})
	t.Run("a link", func(t *testing.T) {
		t.Parallel()
		j := NewJourney(t).Aim("crm")
		link := filepath.Join(j.Dir, "spool")
		if err := os.Symlink(t.TempDir(), link); err != nil {
			t.Fatal(err)
		}
		j.Config.Set("spool.dir", link)
		j.refusesToStart("symbolic link")
	})
	t.Run("somebody else's", func(t *testing.T) {
		t.Parallel()
		needTools(t)
		j := NewJourney(t).Aim("crm")
		j.Start()
		j.SendIDs("mine", 3)
		if code := j.Terminate(); code != 0 {
			t.Fatalf("it left with %d", code)
		}
		out := j.serveAsNobody()
		for _, want := range []string{"error: ", "permission denied", "hint: the user that runs"} {
			if !strings.Contains(out, want) {
				t.Errorf("as another user it did not say %q:\n%s", want, out)
			}
		}
		j.Start()
		j.Ledger.AwaitDelivered()
	})
}

// refusesToStart wants that the process leaves with code 1, an error, and these words.
func (j *Journey) refusesToStart(words string) {
	j.t.Helper()
	if err := j.Launch(); err != nil {
		j.t.Fatal(err)
	}
	code := j.WaitExit()
	log := j.keepLog()
	if code != 1 || !strings.Contains(log, "error: ") || !strings.Contains(log, words) ||
		strings.Contains(log, "goroutine ") {
		j.t.Errorf("it left with %d, want 1, an error and %q:\n%s", code, words, tail(log))
	}
}

// serveAsNobody runs the binary to its end as a user who may read the config and not the spool.
func (j *Journey) serveAsNobody() string {
	j.t.Helper()
	bin, err := Binary()
	if err != nil {
		j.t.Fatal(err)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		j.t.Fatal(err)
	}
	own := filepath.Join(j.Dir, "hookspool")
	if err := os.WriteFile(own, b, 0o755); err != nil {
		j.t.Fatal(err)
	}
	for _, path := range []string{j.Dir, own, j.ConfigPath()} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			j.t.Fatal(err)
		}
	}
	cmd := exec.Command(own, "serve", "--config", j.ConfigPath())
	cmd.SysProcAttr = parentDeath()
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		j.t.Errorf("as another user: %v, want exit code 1", err)
	}
	return string(out)
}

// TestFaultBtrfs asserts that a spool on btrfs has its files written in place, so that a full disk is
// no SIGBUS, and that a start and check tell of one whose files are copied at each write.
func TestFaultBtrfs(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	d := newDisk(t, "btrfs", 512<<20)
	dir := filepath.Join(d.dir, "spool")
	j := faultJourney(t, Seed(t), dir)
	j.Start()
	j.SendIDs("before", 20)
	const words = "copies what is written"
	if strings.Contains(j.Log(), words) {
		t.Errorf("it warns although its files are written in place:\n%s", tail(j.Log()))
	}
	if code := j.Terminate(); code != 0 {
		t.Fatalf("it left with %d", code)
	}
	must(t, "sh", "-c", `mkdir "$1"/copy && cp -a --reflink=never "$1"/db/. "$1"/copy/ && rm -r "$1"/db && `+
		`mv "$1"/copy "$1"/db`, "sh", dir)
	j.Start()
	if !strings.Contains(j.Log(), words) {
		t.Errorf("it does not warn:\n%s", tail(j.Log()))
	}
	j.SendIDs("after", 20)
	j.finishFaults()
}
