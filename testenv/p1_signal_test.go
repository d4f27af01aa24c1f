package testenv

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// notified is a service manager's socket (sd_notify(3)) and what it was told.
type notified struct {
	t    *testing.T
	conn *net.UnixConn
}

func newNotified(t *testing.T) (*notified, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &notified{t, conn}, path
}

// next is the next message.
func (n *notified) next() string {
	n.t.Helper()
	if err := n.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		n.t.Fatal(err)
	}
	b := make([]byte, 4096)
	size, err := n.conn.Read(b)
	if err != nil {
		n.t.Fatalf("the service manager was told nothing: %v", err)
	}
	return string(b[:size])
}

// TestP1ServiceManager asserts what a Type=notify unit of systemd is told: ready once events are
// taken, reloading and ready again at SIGHUP, stopping at SIGTERM before anything else.
func TestP1ServiceManager(t *testing.T) {
	t.Parallel()
	manager, socket := newNotified(t)
	j := NewJourney(t).Aim("crm")
	j.Env = append(j.Env, "NOTIFY_SOCKET="+socket)
	j.Start()
	if got := manager.next(); got != "READY=1" {
		t.Fatalf("at the start the service manager was told %q", got)
	}
	j.SendIDs("x", 1)
	j.Ledger.AwaitDelivered()
	if err := j.proc.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := manager.next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at SIGHUP it was told %q", got)
	}
	if got := manager.next(); got != "READY=1" {
		t.Errorf("after the reload it was told %q", got)
	}
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	if got := manager.next(); got != "STOPPING=1" {
		t.Errorf("at SIGTERM it was told %q", got)
	}
}

// TestP1SecondSignal asserts that a second signal ends a relay at once that still waits for a
// hanging target, and that nothing is lost by it.
func TestP1SecondSignal(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("hung", j.RX.URL("hung"), "timeout", "10m")
	j.Config.Set("server.drain_timeout", "1h") // nobody waits that long for the process to end
	j.RX.Always("hung", Hang())
	j.Start()
	j.SendIDs("x", 3)
	j.RX.Await("hung", 3)
	first := time.Now()
	j.Signal(syscall.SIGTERM)
	Until(t, Patience, "the relay to drain", func() bool {
		return j.LogCount("a signal came") == 1
	})
	// Asked again and again it goes, once that can no longer be the same signal.
	Until(t, Patience, "the relay to end", func() bool {
		j.Signal(syscall.SIGTERM)
		return j.proc.Ended()
	})
	if took := time.Since(first); took < 300*time.Millisecond {
		t.Errorf("with a second signal the relay took %s", took)
	}
	if code := j.WaitExit(); code != 1 || j.LogCount("stopped at once by a second signal") != 1 {
		t.Errorf("the relay left with code %d\n%s", code, tail(j.Log()))
	}
	j.RX.Always("hung", OK())
	j.Start()
	j.Ledger.AwaitDelivered()
}

// TestP1SignalTwice asserts that a signal that comes twice, as timeout(1), an init or a terminal and
// a supervisor together send it, is one signal: the relay leaves as it should.
func TestP1SignalTwice(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		gate := make(chan struct{})
		j := NewJourney(t).Aim("slow")
		j.RX.Always("slow", Held(gate, OK()))
		j.Start()
		j.SendIDs("x", 1)
		j.RX.Await("slow", 1)
		j.Signal(syscall.SIGTERM)
		j.Signal(second)
		Until(t, Patience, "the relay to drain", func() bool {
			return j.proc.Ended() || j.LogCount("stopping: unready") == 1
		})
		close(gate)
		if code := j.WaitExit(); code != 0 || j.LogCount("stopped; what is pending") != 1 {
			t.Errorf("after SIGTERM and %s the relay left with code %d\n%s", second, code,
				tail(j.Log()))
		}
		if n := j.RX.Count("slow"); n != 1 {
			t.Errorf("the attempt in flight was made %d times", n)
		}
	}
}

// TestP1ServiceManagerHangs asserts that a service manager that does not read its socket delays the
// relay's leaving by seconds at most.
func TestP1ServiceManagerHangs(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	_, socket := newNotified(t)
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// It is full once writes would wait. A single deadline may pass before its write on a busy machine.
	for waits := 0; waits < 3; {
		if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Write([]byte("x"))
		switch {
		case err == nil:
			waits = 0
		case errors.Is(err, os.ErrDeadlineExceeded):
			waits++
		default:
			t.Fatal(err)
		}
	}
	j := NewJourney(t).Aim("crm")
	j.Env = append(j.Env, "NOTIFY_SOCKET="+socket)
	j.Start()
	j.SendIDs("x", 1)
	j.Ledger.AwaitDelivered()
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with code %d", code)
	}
	if j.LogCount("cannot notify the service manager") == 0 {
		t.Error("that the service manager heard nothing is not said")
	}
}
