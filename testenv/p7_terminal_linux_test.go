package testenv

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal: what is written to slave comes out of master.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo terminal is to be had: %v", err)
	}
	master = os.NewFile(uintptr(fd), "master") // non-blocking, so that it takes deadlines
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal is to be had: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestP7Background asserts that a server in the background of a terminal with tostop goes on when it
// writes there. Its first line would stop it (SIGTTOU), and with it whatever it serves.
func TestP7Background(t *testing.T) {
	t.Parallel()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	master, slave := openTerminal(t)
	if err := master.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", `set -m; stty tostop; "$0" listen --addr 127.0.0.1:0 &
		echo "pid $!"; wait`, bin)
	shell.Stdin, shell.Stdout, shell.Stderr = slave, slave, slave
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true,
		Pdeathsig: syscall.SIGKILL}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shell.Wait() })
	pid, url := 0, ""
	t.Cleanup(func() {
		if pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = shell.Process.Kill()
	})
	for lines := bufio.NewScanner(master); pid == 0 || url == ""; {
		if !lines.Scan() {
			t.Fatalf("it is silent, so it was stopped: %v", lines.Err())
		}
		text := strings.TrimSpace(lines.Text())
		if n, ok := strings.CutPrefix(text, "pid "); ok {
			pid, _ = strconv.Atoi(n)
		}
		if at, ok := strings.CutPrefix(text, "listening on "); ok {
			url, _, _ = strings.Cut(at, ",")
		}
	}
	answer, err := http.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}
