//go:build linux && (amd64 || arm64)

// Alone runs a test binary where it can reach nobody but itself: `go test -exec` with it. The
// network namespace has loopback and one more way out, a device that leads to this program, so
// that every packet that would have left the machine is swallowed, named, and fails the run. The
// resolver of the namespace is behind that device too: a lookup that leaves is seen like a
// connection, which it would not be where the machine's own resolver listens on loopback.
//
// It needs root. Where it cannot make the namespace it says so and runs the binary as it is.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside marks the second start of this program, the one in the namespaces.
const inside = "HOOKSPOOL_ALONE"

// leftCode is the exit code when packets tried to leave; tests end with 0, 1 or 2.
const leftCode = 3

// drain is how long packets that left last are waited for.
const drain = 100 * time.Millisecond

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -exec ALONE …, or ALONE PROGRAM [ARGUMENT…]")
		os.Exit(2)
	}
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run() (int, error) {
	if os.Getenv(inside) != "" {
		return watched()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	code, err := through(cmd)
	if errors.Is(err, syscall.EPERM) {
		if err := note("it may not make a network namespace"); err != nil {
			return 0, err
		}
		return through(exec.Command(os.Args[1], os.Args[2:]...)) // #nosec G204 -- what it is for
	}
	return code, err
}

// watched runs the tests in the namespaces and fails them if anything left.
func watched() (int, error) {
	if err := os.Unsetenv(inside); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "hookspool-alone-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	out, err := openWayOut(dir)
	if err != nil {
		if err := note("no way out to watch: " + err.Error()); err != nil {
			return 0, err
		}
	}
	var left packets
	var reading sync.WaitGroup
	if out != nil {
		reading.Go(func() { left.read(out) })
	}
	code, err := through(exec.Command(os.Args[1], os.Args[2:]...)) // #nosec G204 -- what it is for
	if out != nil {
		// What waits in the device is read before it goes.
		err = errors.Join(err, out.SetReadDeadline(time.Now().Add(drain)))
		reading.Wait()
		err = errors.Join(err, out.Close())
	}
	if said := left.String(); said != "" {
		fmt.Printf("FAIL: packets left loopback:\n%s", said)
		return max(code, leftCode), err
	}
	return code, err
}

// through runs a command on this program's files and hands signals on; `go test` ends a run that
// takes too long by one.
func through(cmd *exec.Cmd) (int, error) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1) // one at a time is all that go test sends
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	ended := make(chan error, 1) // the one result of Wait
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s)
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil // -1: by a signal
			}
			return 0, err
		}
	}
}

// note says why nobody saw what leaves loopback, where CI collects what was not proven.
func note(why string) error {
	line := "alone: NOT PROVEN HERE: whether a test leaves loopback: " + why
	fmt.Fprintln(os.Stderr, line)
	path := os.Getenv("HOOKSPOOL_SKIPS")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // #nosec G304 -- as above
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// packets are those that tried to leave, by where they wanted to.
type packets struct {
	mu    sync.Mutex // guards below
	order []string
	count map[string]int
}

// read takes packets from the device until its deadline.
func (p *packets) read(device *os.File) {
	b := make([]byte, 65536)
	for {
		n, err := device.Read(b)
		if err != nil {
			return
		}
		if to := destination(b[:n]); to != "" {
			p.add(to)
		}
	}
}

func (p *packets) add(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	if p.count[to]++; p.count[to] == 1 {
		p.order = append(p.order, to)
	}
}

// String is a line for each destination.
func (p *packets) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, to := range p.order {
		fmt.Fprintf(&b, "  %d to %s\n", p.count[to], to)
	}
	return b.String()
}
