package port

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestListenApart asserts that a port that was given is given to nobody else, although nobody
// listens there: not by this process, not by another one, not by the system.
func TestListenApart(t *testing.T) {
	if os.Getenv("HOOKSPOOL_PORT_CHILD") != "" {
		for range 100 {
			address, err := Free()
			if err != nil {
				t.Fatal(err)
			}
			t.Log("at " + address)
		}
		return
	}
	given := make(map[string]bool)
	for range 100 {
		address, err := Free()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Errorf("%s was given twice", address)
		}
		given[address] = true
	}
	child := exec.Command(os.Args[0], "-test.run=^TestListenApart$", "-test.v")
	child.Env = append(os.Environ(), "HOOKSPOOL_PORT_CHILD=1")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	others := 0
	for line := range strings.Lines(string(out)) {
		if _, address, ok := strings.Cut(strings.TrimSpace(line), " at "); ok {
			others++
			if given[address] {
				t.Errorf("%s was given to two processes", address)
			}
		}
	}
	if others != 100 {
		t.Errorf("the other process was given %d ports, want 100: %s", others, out)
	}
	for address := range given {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Errorf("its owner cannot come back: %v", err)
			continue
		}
		ln.Close()
	}
}

// TestListenTaken asserts that a port where somebody listens is passed over.
func TestListenTaken(t *testing.T) {
	var held []net.Listener
	defer func() {
		for _, ln := range held {
			ln.Close()
		}
	}()
	for range 50 {
		ln, err := Listen()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, ln)
	}
	taken := make(map[string]bool)
	for _, ln := range held {
		taken[ln.Addr().String()] = true
	}
	for range blockPorts { // all the way round
		address, err := Free()
		if err != nil {
			t.Fatal(err)
		}
		if taken[address] {
			t.Fatalf("%s is taken", address)
		}
	}
}
