package attempt

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// portsFew is the range of local ports in the namespace of TestNoPortLeft.
const portsFew = "40000 40007"

// A machine without a free local port, for real, in a network of its own.
func TestNoPortLeft(t *testing.T) {
	if os.Getenv("FEW_PORTS") != "" {
		useUpPorts(t)
		return
	}
	script := "ip link set lo up && echo " + portsFew +
		` > /proc/sys/net/ipv4/ip_local_port_range && echo ready && exec "$@"`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, "sh",
		os.Args[0], "-test.run=^TestNoPortLeft$", "-test.v")
	cmd.Env = append(os.Environ(), "FEW_PORTS=1")
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && len(out) >= 5 && string(out[:5]) == "ready":
		t.Errorf("%v\n%s", err, out)
	case err != nil:
		t.Skipf("no network namespace here, so nobody used all ports up (TestWants plays it): %v\n%s",
			err, out)
	}
}

// useUpPorts is the process of TestNoPortLeft.
func useUpPorts(t *testing.T) {
	held := make(chan struct{})
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		<-held
		_, err := nc.Write([]byte(answer200))
		return err == nil
	}))
	c := newTestClient(t, options(t, r.url()))
	ends := make(chan Outcome)
	const many = 12
	for range many {
		go func() { ends <- c.Do(context.Background(), request()) }()
	}
	got := checked(t, <-ends) // the others hang
	wantKind(t, got, Withheld, "this machine has no local port left for this address")
	if got.Want != WantPort {
		t.Errorf("want %v", got.Want)
	}
	close(held)
	for range many - 1 {
		if got := checked(t, <-ends); got.Kind != Withheld {
			wantKind(t, got, Success, "")
		}
	}
	wantKind(t, checked(t, c.Do(context.Background(), request())), Success, "")
	// An address that this machine cannot reach is no want of ports.
	wantKind(t, attemptAt(t, options(t, "http://[fd00::1]:9/")), Connect, "unreachable")
}
