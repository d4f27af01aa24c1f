package attempt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for names and 127.0.0.1, good until notAfter.
func (a *authority) issue(notAfter time.Time, names ...string) tls.Certificate {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"},
		NotBefore: time.Unix(0, 0), NotAfter: notAfter, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// newTLSReceiver answers with 200 over TLS.
func newTLSReceiver(t testing.TB, config *tls.Config) *receiver {
	return newReceiver(t, func(nc net.Conn) {
		secure := tls.Server(nc, config)
		defer secure.Close()
		says(answer200, false)(secure)
	})
}

func (r *receiver) secureURL() string {
	return strings.Replace(r.url(), "http://", "https://", 1)
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	notAfter := time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)
	for version, want := range map[uint16]string{
		tls.VersionTLS12: "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, " +
			"certificate until 2099-01-02",
		tls.VersionTLS13: "TLS 1.3, TLS_AES_128_GCM_SHA256, certificate until 2099-01-02",
	} {
		var protocols atomic.Value
		cert := ca.issue(notAfter)
		r := newTLSReceiver(t, &tls.Config{
			Certificates: []tls.Certificate{cert}, MaxVersion: version,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			NextProtos:   []string{"h2", "http/1.1"},
			GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				protocols.Store(strings.Join(h.SupportedProtos, " "))
				return nil, nil
			},
		})
		o := options(t, r.secureURL())
		o.RootCAs = ca.pool
		var seen []time.Time
		o.OnTLS = func(at time.Time) { seen = append(seen, at) }
		c := newTestClient(t, o)
		for range 3 {
			got := checked(t, c.Do(context.Background(), request()))
			wantKind(t, got, Success, "")
			if got.TLS != want {
				t.Errorf("TLS %q, want %q", got.TLS, want)
			}
		}
		if len(seen) != 1 || !seen[0].Equal(notAfter) {
			t.Errorf("OnTLS told %v, want one handshake, %v", seen, notAfter)
		}
		if r.conns.Load() != 1 || protocols.Load() != "http/1.1" {
			t.Errorf("%d connections, protocols offered: %v", r.conns.Load(), protocols.Load())
		}
	}
}

func TestTLSRefusals(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(time.Now().Add(time.Hour))
	f := func(config *tls.Config, words string) {
		t.Helper()
		var requests atomic.Int64
		r := newReceiver(t, func(nc net.Conn) {
			secure := tls.Server(nc, config)
			defer secure.Close()
			each(func(net.Conn, *http.Request, []byte) bool {
				requests.Add(1)
				return false
			})(secure)
		})
		o := options(t, r.secureURL())
		o.RootCAs = ca.pool
		wantKind(t, attemptAt(t, o), TLS, words)
		if requests.Load() != 0 {
			t.Error("the request was sent all the same")
		}
	}
	f(&tls.Config{Certificates: []tls.Certificate{ca.issue(time.Now().Add(-time.Hour))}}, "expired")
	f(&tls.Config{Certificates: []tls.Certificate{other.issue(time.Now().Add(time.Hour))}},
		"certificate signed by unknown authority")
	f(&tls.Config{Certificates: []tls.Certificate{
		ca.issue(time.Now().Add(time.Hour), "else\r\nwhere.example")}}, "127.0.0.1")
	f(&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10,
		MaxVersion: tls.VersionTLS11}, "protocol version")
	f(&tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"other"}},
		"no application protocol")
	// a certificate of ours is wanted: at once in TLS 1.2, after the handshake in 1.3
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f(&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}, "tls: ")
	}
	// nothing trusted but the system's
	r := newTLSReceiver(t, &tls.Config{Certificates: []tls.Certificate{good}})
	wantKind(t, attemptAt(t, options(t, r.secureURL())), TLS, "unknown authority")
	// no TLS there; nothing there
	wantKind(t, attemptAt(t, options(t, newReceiver(t, func(nc net.Conn) {
		io.WriteString(nc, answer200)
		untilClosed(nc)
	}).secureURL())), TLS, "does not look like a TLS handshake")
	wantKind(t, attemptAt(t, options(t, newReceiver(t, func(nc net.Conn) {
		nc.Read(make([]byte, 4096))
	}).secureURL())), TLS, "the target closed the connection")
}

// A handshake that hangs. Its time is enough to connect in on a busy machine.
func TestHandshakeHangs(t *testing.T) {
	t.Parallel()
	o := options(t, newReceiver(t, untilClosed).secureURL())
	o.Timeout = 1500 * time.Millisecond
	wantKind(t, attemptAt(t, o), Timeout, "cannot shake hands with 127.0.0.1: not done within 1.5s")
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	r := newTLSReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour), "crm.local")},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
	})
	o := options(t, "https://crm.local.:"+portOf(r)+"/")
	o.RootCAs, o.Certificates = ca.pool, []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}
	o.Resolver = resolvesTo("127.0.0.1")
	c := newTestClient(t, o)
	do(t, c, 2, Success)
	// a large payload takes another way out
	req := request()
	req.Payload = make([]byte, 1<<20)
	wantKind(t, checked(t, c.Do(context.Background(), req)), Success, "")
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A TLS 1.3 target that wants a certificate says so when the request is half written.
func TestAlertInTheMiddleOfARequest(t *testing.T) {
	ca := newAuthority(t)
	r := newTLSReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
	})
	o := options(t, r.secureURL())
	o.RootCAs = ca.pool
	req := request()
	req.Payload = make([]byte, 16<<20)
	got := checked(t, newTestClient(t, o).Do(context.Background(), req))
	wantKind(t, got, TLS, "remote error: tls: certificate required")
}

// A second answer over TLS, which hides in the TLS layer and not in the socket.
func TestTLSDesync(t *testing.T) {
	ca := newAuthority(t)
	var n atomic.Int64
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}}
	r := newReceiver(t, func(nc net.Conn) {
		// Both records leave in one write, so that one read of the client's gets both.
		whole := &gather{Conn: nc}
		secure := tls.Server(whole, config)
		defer nc.Close()
		if secure.Handshake() != nil {
			return
		}
		each(func(_ net.Conn, _ *http.Request, _ []byte) bool {
			if n.Add(1) > 1 {
				io.WriteString(secure, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
				return true
			}
			whole.hold = true
			io.WriteString(secure, answer200)
			io.WriteString(secure, answer200)
			return whole.flush() == nil
		})(secure)
	})
	o := options(t, r.secureURL())
	o.RootCAs = ca.pool
	c := newTestClient(t, o)
	do(t, c, 1, Success)
	do(t, c, 1, Status)
	if got := r.conns.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

// gather is a connection that can hold writes back and send them as one.
type gather struct {
	net.Conn
	hold bool
	held []byte
}

func (g *gather) Write(p []byte) (int, error) {
	if !g.hold {
		return g.Conn.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

func (g *gather) flush() error {
	g.hold = false
	_, err := g.Conn.Write(g.held)
	return err
}

// A receiver that wants nothing of a large request, says so and closes: what it said counts,
// if the reset did not overtake it.
func TestEarlyAnswerOfLargeRequest(t *testing.T) {
	r := newReceiver(t, func(nc net.Conn) {
		nc.Read(make([]byte, 1))
		io.WriteString(nc, "HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
		nc.(*net.TCPConn).CloseWrite()
		untilClosed(nc)
	})
	c := newTestClient(t, options(t, r.url()))
	req := request()
	req.Payload = make([]byte, 8<<20)
	got := checked(t, c.Do(context.Background(), req))
	if got.Kind != Status || got.Status != 413 {
		t.Errorf("outcome %+v", got)
	}
}

// One that answers and then neither reads nor closes: the write runs into the deadline, and
// the answer that was there all the time still decides.
func TestAnswerWithoutReading(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	r := newReceiver(t, func(nc net.Conn) {
		nc.Read(make([]byte, 1))
		io.WriteString(nc, "HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n")
		<-stop
	})
	o := options(t, r.url())
	o.Timeout = 200 * time.Millisecond
	req := request()
	req.Payload = make([]byte, 16<<20)
	c := newTestClient(t, o)
	got := checked(t, c.Do(context.Background(), req))
	if got.Kind != Status || got.Status != 401 {
		t.Errorf("outcome %+v", got)
	}
	if len(wireOf(c).pool.idle) != 0 {
		t.Error("a connection in the middle of a request was kept")
	}
}

func TestIsAlert(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if isAlert(err) != want {
			t.Errorf("isAlert(%v) = %v", err, !want)
		}
	}
	f(&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, true)
	f(&net.OpError{Op: "local error", Err: errors.New("tls: bad record MAC")}, true)
	f(&net.OpError{Op: "read", Err: errors.New("x")}, false)
	f(io.EOF, false)
}
