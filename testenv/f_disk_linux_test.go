package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is a small file system of its own, for one spool: on a loop device, or a tmpfs. It can lose
// its power, fill up and come back, and nothing else is on it.
type disk struct {
	t     testing.TB
	kind  string // ext4, xfs or tmpfs
	image string // the file below the loop device; "" for tmpfs
	dir   string // where it is mounted
	size  int64
	// filled is when others took room last, or a table may have been begun, and left is what was free
	// after that; see takeRest.
	filled time.Time
	left   int64
}

// The flags of FS_IOC_SHUTDOWN: what happens to the journal before the file system is dead.
const (
	cutFlushed   = 0 // everything dirty is written first: the kindest end
	cutJournaled = 1 // the journal is written, data is not
	cutAtOnce    = 2 // nothing is written any more: what a power cut does
)

// fsShutdown is FS_IOC_SHUTDOWN, _IOR('X', 125, __u32).
const fsShutdown = 0x8004587d

// newDisk makes and mounts a file system. It skips the test, loudly, where that is not possible.
// Make it before the relay that uses it, so that the relay leaves first.
func newDisk(t testing.TB, kind string, size int64) *disk {
	t.Helper()
	needTools(t, "mount", "umount")
	base := keptDir(t)
	d := &disk{t: t, kind: kind, dir: filepath.Join(base, "disk"), size: size}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if kind != "tmpfs" {
		needTools(t, "mkfs."+kind)
		d.image = filepath.Join(base, "image")
		d.format()
	}
	d.unmountAfterDeath()
	if err := d.tryMount(); err != nil {
		SkipLoudly(t, "%v", err)
	}
	t.Cleanup(func() {
		if d.mounted() {
			d.unmount()
		}
	})
	return d
}

func (d *disk) format() {
	d.t.Helper()
	f, err := os.Create(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := f.Truncate(d.size); err != nil {
		d.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
	args := map[string][]string{"ext4": {"-q", "-F", "-m", "0"}, "xfs": {"-q", "-f"},
		"btrfs": {"-q", "-f"}}[d.kind]
	must(d.t, "mkfs."+d.kind, append(args, d.image)...)
}

// unmountAfterDeath leaves a process behind that unmounts the disk when this one is gone in
// whatever way, a timeout's panic included. The loop device goes with the mount.
func (d *disk) unmountAfterDeath() {
	d.t.Helper()
	cmd := exec.Command("sh", "-c", `cat >/dev/null; umount -l "$1" 2>/dev/null`, "sh", d.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // or a ^C would end it as well
	alive, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = alive.Close()
		_ = cmd.Wait()
	})
}

func (d *disk) tryMount() error {
	args := []string{"-t", "tmpfs", "-o", fmt.Sprintf("size=%d", d.size), "tmpfs", d.dir}
	if d.image != "" {
		args = []string{"-t", d.kind, "-o", "loop", d.image, d.dir}
	}
	return command("mount", args...)
}

func (d *disk) mount() {
	d.t.Helper()
	if err := d.tryMount(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) unmount() {
	d.t.Helper()
	must(d.t, "umount", d.dir)
}

// remount changes options of the mounted file system: "ro", "rw", "size=…".
func (d *disk) remount(options string) {
	d.t.Helper()
	must(d.t, "mount", "-o", "remount,"+options, d.dir)
}

func (d *disk) mounted() bool {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.Contains(string(b), " "+d.dir+" ")
}

// cut takes the power away: from the instant it returns nothing reaches the device any more.
func (d *disk) cut(flag uint32) {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsShutdown,
		uintptr(unsafe.Pointer(&flag)))
	if errno != 0 {
		d.t.Fatalf("FS_IOC_SHUTDOWN on %s: %v", d.kind, errno)
	}
}

// sync writes everything that is dirty on this file system, and nothing of others.
func (d *disk) sync() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		d.t.Fatal(err)
	}
}

// free is what a user can still write.
func (d *disk) free() int64 {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fill writes a file beside the spool, as another program would, until only so many bytes are free.
func (d *disk) fill(leave int64) {
	d.t.Helper()
	d.write(func() int64 { return d.free() - leave }, leave == 0)
}

// take writes so many bytes more into that file, or as many as there are.
func (d *disk) take(n int64) {
	d.t.Helper()
	var size int64
	if st, err := os.Stat(d.filler()); err == nil {
		size = st.Size()
	}
	d.write(func() int64 {
		st, err := os.Stat(d.filler())
		if err != nil {
			d.t.Fatal(err)
		}
		return n - (st.Size() - size)
	}, true)
}

// write appends to that file what is still to be written. last: the disk may end before.
func (d *disk) write(rest func() int64, last bool) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for {
		n := min(rest(), int64(len(block)))
		if n <= 0 {
			break
		}
		if _, err = f.Write(block[:n]); err != nil {
			break // full to the last byte
		}
	}
	if err != nil && !last {
		d.t.Fatal(err)
	}
	_ = f.Sync()
	if err := f.Close(); err != nil && !last {
		d.t.Fatal(err)
	}
}

// unfill removes what fill wrote.
func (d *disk) unfill() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
	unix.Sync() // ext4 gives blocks back at its next commit
}

func (d *disk) filler() string { return filepath.Join(d.dir, "somebody-else") }

// needTools skips unless the user is root and the commands are there.
func needTools(t testing.TB, names ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		SkipLoudly(t, "it mounts file systems and injects faults, which only root may")
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			SkipLoudly(t, "%v", err)
		}
	}
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func must(t testing.TB, name string, args ...string) {
	t.Helper()
	if err := command(name, args...); err != nil {
		t.Fatal(err)
	}
}
