//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// role makes this test binary be alone, or the program that it runs: "alone", or the address that
// the program sends to.
const role = "HOOKSPOOL_ALONE_TEST"

func TestMain(m *testing.M) {
	what := os.Getenv(role)
	switch {
	case what == "":
		os.Exit(m.Run())
	case what == "alone":
		_ = os.Setenv(role, os.Getenv(role+"_TO"))
		main()
	case os.Getenv(inside) != "":
		main()
	default:
		conn, err := net.Dial("udp", what)
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		if err != nil {
			os.Exit(1)
		}
	}
}

// TestAlone asserts that a program that stays on loopback ends as it would, and that one that sends
// a single packet to elsewhere fails with the place named.
func TestAlone(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a network namespace of one's own needs root")
	}
	f := func(to string, code int, said string) {
		t.Helper()
		cmd := exec.Command("/proc/self/exe", "/proc/self/exe")
		cmd.Env = append(os.Environ(), role+"=alone", role+"_TO="+to)
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "NOT PROVEN HERE") {
			t.Skipf("%s", out)
		}
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), said) {
			t.Errorf("to %s: code %d, %v\n%s", to, got, err, out)
		}
	}
	f("127.0.0.1:9", 0, "")
	f("[::1]:9", 0, "")
	f("203.0.113.7:9", leftCode, "1 to 203.0.113.7:9\n")
	f("[2001:db8:1::7]:9", leftCode, "1 to [2001:db8:1::7]:9\n")
	f("crm.example.com:9", leftCode, `the name "crm.example.com"`)
}

func TestDestination(t *testing.T) {
	t.Parallel()
	f := func(packet, want string) {
		t.Helper()
		b, err := hex.DecodeString(strings.ReplaceAll(packet, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := destination(b); got != want {
			t.Errorf("%s: %q, want %q", packet, got, want)
		}
	}
	ip4 := func(protocol string) string {
		return "45000000 00000000 40" + protocol + "0000 c0000202 cb007107"
	}
	f("", "")
	f(ip4("06")+"c3500050", "203.0.113.7:80")
	f(ip4("06")+"c350", "203.0.113.7, protocol 6")
	f(ip4("01")+"08000000", "203.0.113.7, protocol 1")
	f(ip4("11")+"c3500035 00000000 000001000001000000000000 03"+"63726d"+"076578616d706c65 00 0001",
		`203.0.113.7:53, the name "crm.example"`)
	f(ip4("11")+"c3500035 00000000 000001000001000000000000 ff63", `203.0.113.7:53, the name ""`)
	// Options make the header longer; a header that is cut off says what it is.
	f("46000000 00000000 40060000 c0000202 cb007107 01010101 c3500050", "203.0.113.7:80")
	f("4500", "something that is no IP: 45 00")
	// A router is looked for by the kernel itself.
	f("60000000 0008 3a ff fe80000000000000 0000000000000001 ff02000000000000 0000000000000002", "")
	f("60000000 0008 06 40 fe80000000000000 0000000000000001 20010db800000000 0000000000000007"+
		"c3500050", "[2001:db8::7]:80")
}
