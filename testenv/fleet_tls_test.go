package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// TestFleetCertificates lets relays show certificates to servers that want some: with them all
// works, over the death of a server too; without, or with one of somebody else, check and serve say
// that it is TLS.
func TestFleetCertificates(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	cert, key := ca.files("server")
	f := NewFleet(t, 2, nats.StartInProcess(t, nats.Options{Config: fmt.Sprintf(
		"tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, ca.file)}))
	f.Aim("a", "b")
	f.Config.Set("spool.jetstream.ca_file", ca.file)
	for _, c := range []struct {
		what string
		of   *authority
	}{{"no certificate", nil}, {"a stranger's", stranger}} {
		config := f.Config.Clone().Set("spool.dir", t.TempDir())
		if c.of != nil {
			cert, key := c.of.files("relay")
			config.Set("spool.jetstream.client_cert", cert).Set("spool.jetstream.client_key", key)
		}
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"check", "serve"} {
			out := CLI(t, nil, verb, "--config", path)
			said := out.Stdout + out.Stderr
			if out.Code == 0 || !strings.Contains(said, "TLS with the servers fails: remote error: tls:") ||
				!strings.Contains(said, "client_cert") {
				t.Errorf("%s with %s: %+v", verb, c.what, out)
			}
		}
	}
	cert, key = ca.files("relay")
	f.Config.Set("spool.jetstream.client_cert", cert).Set("spool.jetstream.client_key", key)
	f.StartAll()
	send := func(id string) {
		t.Helper()
		for i := range f.Relays {
			Until(t, 2*Patience, "an event to be accepted", func() bool {
				a := f.PostTo(i, Post{ID: fmt.Sprint(id, i), Body: []byte(`{"eventType":"message"}`)})
				return a.Err == nil && a.Status == 200
			})
		}
		f.Ledger.AwaitDelivered()
	}
	send("first")
	f.Cluster.Node(0).Stop()
	send("without")
	f.Cluster.Node(0).Start()
}

// files are a certificate for loopback and its key.
func (a *authority) files(name string) (cert, key string) {
	a.t.Helper()
	pair := a.issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(ending, kind string, der []byte) string {
		path := filepath.Join(a.t.TempDir(), name+ending)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	cert = write(".pem", "CERTIFICATE", pair.Certificate[0])
	key = write(".key", "PRIVATE KEY", private)
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}
