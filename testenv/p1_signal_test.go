package testenv

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
	j.Config.Target("hung", j.RX.URL("hung"), "timeout", "5m")
	j.Config.Set("server.drain_timeout", "5m")
	j.RX.Always("hung", Hang())
	j.Start()
	j.SendIDs("x", 3)
	j.RX.Await("hung", 3)
	if err := j.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	Until(t, Patience, "the relay to drain", func() bool {
		return j.LogCount("a signal came") == 1
	})
	if err := j.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := j.proc.Wait(Patience); err != nil {
		t.Fatalf("after a second signal: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("after a second signal the relay took %s", took)
	}
	j.RX.Always("hung", OK())
	j.Start()
	j.Ledger.AwaitDelivered()
}
