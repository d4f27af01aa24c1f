//go:build unix

package attempt

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A process without a descriptor left, for real: nothing is charged to a target for what it meets,
// and everything works once descriptors are back. It runs in a process of its own, because the limit
// is the whole process's. What crypto/x509 could not read at its only try is among it.
func TestStarved(t *testing.T) {
	if os.Getenv("STARVED_URL") != "" {
		starve(t)
		return
	}
	ca := newAuthority(t)
	file := filepath.Join(t.TempDir(), "roots.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := newReceiver(t, says(answer200, false))
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}}
	secure := newReceiver(t, func(nc net.Conn) {
		server := tls.Server(nc, config)
		defer server.Close()
		each(func(_ net.Conn, _ *http.Request, _ []byte) bool {
			_, err := server.Write([]byte(answer200))
			return err == nil
		})(server)
	})
	cmd := exec.Command(os.Args[0], "-test.run=^TestStarved$", "-test.v")
	cmd.Env = append(os.Environ(), "STARVED_URL="+plain.url(), "STARVED_TLS="+secure.secureURL(),
		"SSL_CERT_FILE="+file, "SSL_CERT_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// starve is the process of TestStarved.
func starve(t *testing.T) {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	plain := newTestClient(t, options(t, os.Getenv("STARVED_URL")))
	var eaten []*os.File
	eat := func() error {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return err
			}
			eaten = append(eaten, f)
		}
	}
	_ = eat()
	top := eaten[len(eaten)-1]
	free := func(n int) {
		for _, f := range eaten[:n] {
			f.Close()
		}
		eaten = eaten[n:]
	}
	try := func(c *Client, want Kind, words string) {
		t.Helper()
		wantKind(t, checked(t, c.Do(context.Background(), request())), want, words)
	}
	const none = "hookspool has no file descriptor left (ulimit -n)"
	try(plain, Withheld, "cannot connect to 127.0.0.1: "+none)
	// No socket, so this asks nobody.
	try(newTestClient(t, options(t, "http://crm.example.com/")), Withheld,
		"cannot resolve crm.example.com: "+none)
	secure := newTestClient(t, options(t, os.Getenv("STARVED_TLS")))
	try(secure, Withheld, "cannot connect")
	free(1) // for the connection, not for the authorities
	try(secure, Withheld, "cannot shake hands with 127.0.0.1: "+none)
	// The last ones are left to the spool.
	if err := eat(); err == nil {
		t.Fatal("there are descriptors without end")
	}
	top.Close()
	try(plain, Withheld, "cannot connect to 127.0.0.1: "+none+": the last ones are kept for the spool")
	free(20)
	try(plain, Success, "")
	try(secure, Success, "")
}
