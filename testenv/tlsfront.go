package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TLSFront speaks TLS before a Receiver, with a certificate that can be replaced.
type TLSFront struct {
	// CAFile is a PEM file with the authority of all its certificates.
	CAFile string

	t       testing.TB
	to      *Receiver
	address string
	key     *ecdsa.PrivateKey
	ca      *x509.Certificate
	running sync.WaitGroup

	mu    sync.Mutex // guards below
	cert  *tls.Certificate
	conns map[net.Conn]struct{}
}

// NewTLSFront starts one on port 0 with a certificate until an instant; it ends with the test.
func NewTLSFront(t testing.TB, to *Receiver, until time.Time) *TLSFront {
	t.Helper()
	f := &TLSFront{t: t, to: to, conns: map[net.Conn]struct{}{},
		CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	var err error
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der := f.sign(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(1000 * 24 * time.Hour)}, nil)
	if f.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(f.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Renew(until)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.cert, nil
		}})
	if err != nil {
		t.Fatalf("cannot start TLS: %v", err)
	}
	f.address = ln.Addr().String()
	f.running.Add(1)
	go f.accept(ln) // ends with its listener
	t.Cleanup(func() {
		_ = ln.Close()
		f.Hangup()
		f.running.Wait()
	})
	return f
}

// URL is where a target points.
func (f *TLSFront) URL(target string) string { return "https://" + f.address + "/" + target }

// Renew replaces the certificate and closes all connections, so that the next request sees it. An
// answer on its way is lost with its connection.
func (f *TLSFront) Renew(until time.Time) {
	f.t.Helper()
	der := f.sign(&x509.Certificate{NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature}, f.ca)
	f.mu.Lock()
	f.cert = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: f.key}
	f.mu.Unlock()
	f.Hangup()
}

// Hangup closes all connections, like Renew.
func (f *TLSFront) Hangup() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
}

// sign makes a certificate of an authority; nil: it signs itself.
func (f *TLSFront) sign(c, by *x509.Certificate) []byte {
	f.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		f.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.BasicConstraintsValid = serial, time.Now().Add(-time.Hour), true
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, f.key.Public(), f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

func (f *TLSFront) accept(ln net.Listener) {
	defer f.running.Done()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[conn] = struct{}{}
		f.mu.Unlock()
		f.running.Add(1)
		go f.pass(conn) // ends with either side
	}
}

// pass copies both ways until one side is closed, and then closes the other.
func (f *TLSFront) pass(conn net.Conn) {
	defer f.running.Done()
	back, err := net.Dial("tcp", f.to.Address())
	if err == nil {
		var both sync.WaitGroup
		both.Go(func() { // ends with the front
			_, _ = io.Copy(back, conn)
			_ = back.Close()
		})
		_, _ = io.Copy(conn, back)
		_ = conn.Close()
		both.Wait()
	}
	_ = conn.Close()
	f.mu.Lock()
	delete(f.conns, conn)
	f.mu.Unlock()
}
