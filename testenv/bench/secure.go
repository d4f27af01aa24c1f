package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/valyala/fasthttp"
)

// secureRun is how long the certificate of a run is good.
const secureRun = 24 * time.Hour

// certificate is a PEM file with a certificate for 127.0.0.1 that vouches for itself, and its key.
// Whoever calls such a receiver takes the file for its authority.
func (b *bench) certificate() (string, error) {
	path := filepath.Join(b.dir, "receiver.pem")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(secureRun), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return path, os.WriteFile(path, text, 0o600)
}

// serveSecure serves over TLS on a port of its own, as long as the process, and returns where.
func serveSecure(handler fasthttp.RequestHandler, path string) (string, error) {
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return "", err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return "", err
	}
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}
	go func() { // as long as the process
		fatal(server.Serve(ln))
	}()
	return ln.Addr().String(), nil
}

// serveModern serves over TLS with HTTP/2 or 1.1, as the client likes, by net/http: fasthttp has no
// HTTP/2, and what is compared is to be served by one server.
func serveModern(handler fasthttp.RequestHandler, path string) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var ctx fasthttp.RequestCtx
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		ctx.Request.SetRequestURI(q.RequestURI)
		ctx.Request.SetBodyRaw(body)
		handler(&ctx)
	})}
	go func() { // as long as the process
		fatal(server.ServeTLS(ln, path, path))
	}()
	return ln.Addr().String(), nil
}

// trusting is the TLS of a client that takes a file for its authority.
func trusting(path string) (*tls.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, errors.New("there is no certificate in " + path)
	}
	return c, nil
}
