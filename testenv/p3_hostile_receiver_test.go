package testenv

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// hostile is a receiver that means harm: what it does, and what an attempt at it must come to.
type hostile struct {
	name    string
	reply   Reply
	outcome string
}

// flood writes a beginning and then the same piece for ever.
func flood(status int, start, piece string) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		_, err := io.WriteString(conn, start)
		for many := strings.Repeat(piece, 1+8<<10/len(piece)); err == nil; {
			_, err = io.WriteString(conn, many)
		}
		return false, status
	}
}

// dripOn writes a beginning and then the same piece now and then, for ever.
func dripOn(status int, start, piece string) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		_, err := io.WriteString(conn, start)
		for err == nil {
			<-tick.C
			_, err = io.WriteString(conn, piece)
		}
		return false, status
	}
}

// halfClose writes, ends its side, and keeps the other open.
func halfClose(status int, words string) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		_, _ = io.WriteString(conn, words)
		_ = conn.(*inHandConn).Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		return false, status
	}
}

// bomb is gzip of 64 MiB of zeros: 64 KiB on the wire.
func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	return b.String()
}

func hostiles() []hostile {
	const ok, no = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 500 No\r\n"
	zip := bomb()
	gzipped := fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zip), zip)
	return []hostile{
		{"endless-head", flood(200, ok, "X-More: and more\r\n"), "success"},
		{"endless-field", flood(200, ok+"X-More: ", "x"), "success"},
		{"endless-reason", flood(0, "HTTP/1.1 200 ", "OK "), "protocol"},
		{"endless-interim", flood(0, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), "protocol"},
		{"endless-body", flood(200, ok+"\r\n", "body"), "success"},
		{"endless-error", flood(500, no+"\r\n", "body"), "status"},
		{"huge-body", flood(200, ok+"Content-Length: 9223372036854775807\r\n\r\n", "b"), "success"},
		{"huge-error", flood(500, no+"Content-Length: 3000000000\r\n\r\n", "b"), "status"},
		{"endless-chunks", flood(200, ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), "success"},
		{"endless-chunk", flood(500, no+"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", "x"),
			"status"},
		{"endless-extension", flood(200, ok+"Transfer-Encoding: chunked\r\n\r\n1;", "x"), "success"},
		{"endless-trailers", flood(200, ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "T: v\r\n"),
			"success"},
		{"bomb", RawClose(200, ok+gzipped), "success"},
		{"bomb-error", RawClose(500, no+gzipped), "status"},
		{"broken-gzip", RawClose(500, no+"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8bxx"),
			"status"},
		{"slow-head", dripOn(0, "HTTP/1.1 200 OK\r\nX: ", "x"), "timeout"},
		{"slow-interim", dripOn(0, "", "H"), "protocol"},
		{"slow-body", dripOn(200, ok+"Content-Length: 100000\r\n\r\n", "x"), "success"},
		{"slow-error", dripOn(500, no+"Content-Length: 100000\r\n\r\n", "x"), "status"},
		{"silent", Hang(), "timeout"},
		{"half-closed", halfClose(0, ""), "protocol"},
		{"half-head", halfClose(0, ok), "protocol"},
		{"half-body", halfClose(200, ok+"Content-Length: 10\r\n\r\nx"), "success"},
		{"second-answer", RawClose(500, no+"Content-Length: 0\r\n\r\n"+ok+"Content-Length: 0\r\n\r\n"),
			"status"},
		{"body-is-answer", Raw(500, no+"Content-Length: 38\r\n\r\n"+ok+"Content-Length: 0\r\n\r\n"),
			"status"},
		{"slam", Close(), "protocol"},
		{"reset", Reset(), "protocol"},
		{"garbage", flood(0, "\x00\xff\x1b[2J", "\x00\xff"), "protocol"},
		{"switch", Raw(0, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "protocol"},
		{"http2", RawClose(0, "\x00\x00\x12\x04\x00\x00\x00\x00\x00"), "protocol"},
	}
}

// TestP3HostileReceivers asserts that thirty receivers that flood, drip, cut, lie and bomb, hit again
// and again by live events and by jobs, cost the relay no memory to speak of, no descriptor and no
// goroutine that stays, that each counts as what it is, and that a healthy target beside them gets
// every event at once.
func TestP3HostileReceivers(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Ledger.AllowGaps() // an answer of no sense may leave the receiver unsure of what it said
	j.Config.Set("retry.interval", "500ms").Set("retry.stop_job_after", 2)
	j.Config.Set("retry.max_attempts", 10_000) // a busy machine takes longer than 145 of them
	for _, h := range hostiles() {
		timeout := "1m" // a busy machine is no fault of the receiver's
		if h.outcome == "timeout" {
			timeout = "300ms"
		}
		j.Config.Target(h.name, j.RX.URL(h.name), "timeout", timeout, "concurrency", 2)
		j.RX.Always(h.name, h.reply)
	}
	j.Start()
	base := usageOf(j.Relay)
	peak := base
	sent := 0
	events := effort.Rounds(10, 3)
	for round := range 4 {
		j.SendIDs(fmt.Sprint("round-", round), events)
		sent += events
		j.RX.Await("good", sent)
		now := usageOf(j.Relay)
		peak = usage{max(peak.rss, now.rss), max(peak.goroutines, now.goroutines),
			max(peak.descriptors, now.descriptors)}
		j.AwaitTicks(1)
	}
	checkMemory(t, "at the peak", base, peak, memoryMiB(64))
	// Two attempts a target, and a descriptor each.
	if most := base.descriptors + 2*len(hostiles()) + leakSlack; peak.descriptors > most {
		t.Errorf("%d descriptors were open, %d are allowed", peak.descriptors, most)
	}
	m := j.Metrics()
	for _, h := range hostiles() {
		for _, outcome := range outcomes() {
			n := m.Get("attempts_total", "target", h.name, "outcome", outcome)
			if (n > 0) != (outcome == h.outcome) {
				t.Errorf("%s: %d attempts came to %s, want all %s", h.name, n, outcome, h.outcome)
			}
		}
	}
	for _, h := range hostiles() {
		j.RX.Always(h.name, OK())
	}
	j.Ledger.AwaitDelivered()
	awaitRest(t, j.Relay, base)
}

// authority makes certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	made := a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)})
	a.key = made.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	if a.cert, err = x509.ParseCertificate(made.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue signs a certificate, by itself while there is no authority.
func (a *authority) issue(c *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "\x1b[2J\nlevel=ERROR"}
	c.NotBefore = c.NotAfter.Add(-24 * time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil || c.Issuer.CommonName == "itself" {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTCP gives each connection of a port to a function, until the test ends.
func serveTCP(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(Patience))
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// over answers every handshake with a certificate, and every request with 200.
func over(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		secure := tls.Server(conn, config)
		if _, err := secure.Read(make([]byte, 64<<10)); err == nil {
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// TestP3HostileTLS asserts that a certificate that is expired, of another name, of nobody or not yet
// valid, old protocols, handshakes that are garbage, plain, cut or never finish, are failures of
// their kind, that no byte of the event is sent then, and that nothing stays of any of them.
func TestP3HostileTLS(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Ledger.AllowGaps()
	ca := newAuthority(t)
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	hour := time.Now().Add(time.Hour)
	good := ca.issue(&x509.Certificate{IPAddresses: loopback, NotAfter: hour})
	with := func(c *x509.Certificate) func(net.Conn) {
		return over(&tls.Config{Certificates: []tls.Certificate{ca.issue(c)}})
	}
	cases := []struct {
		name, outcome string
		serve         func(net.Conn)
	}{
		{"valid", "success", over(&tls.Config{Certificates: []tls.Certificate{good}})},
		{"expired", "tls", with(&x509.Certificate{IPAddresses: loopback,
			NotAfter: time.Now().Add(-time.Hour)})},
		{"not-yet", "tls", with(&x509.Certificate{IPAddresses: loopback,
			NotAfter: time.Now().Add(48 * time.Hour)})},
		{"other-name", "tls", with(&x509.Certificate{DNSNames: []string{"localhost"}, NotAfter: hour})},
		{"self-signed", "tls", with(&x509.Certificate{IPAddresses: loopback, NotAfter: hour,
			Issuer: pkix.Name{CommonName: "itself"}})},
		{"old", "tls", over(&tls.Config{Certificates: []tls.Certificate{good},
			MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})},
		{"wants-ours", "tls", over(&tls.Config{Certificates: []tls.Certificate{good},
			ClientAuth: tls.RequireAnyClientCert})},
		{"plain", "tls", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") }},
		{"garbage", "tls", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0x16, 3, 3}, 9999)) }},
		{"slam", "tls", func(net.Conn) {}},
		{"silent", "timeout", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
	}
	for _, c := range cases {
		timeout := "1m"
		if c.outcome == "timeout" {
			timeout = "2s"
		}
		j.Config.Target(c.name, "https://"+serveTCP(t, c.serve)+"/", "timeout", timeout, "ca_file",
			ca.file)
	}
	j.Start()
	base := usageOf(j.Relay)
	for round := range 3 {
		a := j.Relay.Post(Post{ID: fmt.Sprint("e-", round), Body: []byte(`{}`)})
		j.Ledger.AllowForeign()
		j.RX.AwaitID("good", a.ID)
	}
	for _, c := range cases {
		Until(t, Patience, c.name+" to count", func() bool { return j.Metrics().Attempts(c.name) == 3 })
		if n := j.Metrics().Get("attempts_total", "target", c.name, "outcome", c.outcome); n != 3 {
			t.Errorf("%s: %d of 3 attempts came to %s: %v", c.name, n, c.outcome, j.Target(c.name).LastError)
		}
	}
	if strings.Contains(j.Log(), "\x1b") || j.LogCount("level=ERROR", "rounds") > 0 {
		t.Error("a certificate's text reached the log raw")
	}
	awaitRest(t, j.Relay, base)
}

// TestP3ConnectionStorm asserts that a target which accepts and slams, on every one of hundreds of
// events at once, leaves no connection behind and takes nothing from its neighbour.
func TestP3ConnectionStorm(t *testing.T) {
	effort.OnlyLong(t, "hundreds of connections")
	t.Parallel()
	j := NewJourney(t).Aim("good")
	j.Ledger.AllowGaps()
	slam := serveTCP(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) })
	deaf := serveTCP(t, func(c net.Conn) { // it never reads, and its window fills
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		buffer := make([]byte, 1)
		_, _ = c.Read(buffer)
		time.Sleep(time.Second)
	})
	j.Config.Target("slam", "http://"+slam+"/", "concurrency", 64, "timeout", "5s")
	j.Config.Target("deaf", "http://"+deaf+"/", "concurrency", 2, "timeout", "300ms")
	j.Ledger.AllowForeign()
	j.Start()
	base := usageOf(j.Relay)
	lines := bytes.Repeat([]byte("{}\n"), 500)
	for range 2 {
		if a := j.Relay.Post(Post{ContentType: "application/x-ndjson", Body: lines}); a.Status != 200 {
			t.Fatalf("answered %d", a.Status)
		}
	}
	big := Post{ID: "big", Body: bytes.Repeat([]byte(" "), 512<<10)}
	j.Relay.Post(big)
	j.RX.Await("good", 1001)
	Until(t, Patience, "the storm to pass", func() bool {
		m := j.Metrics()
		return m.Attempts("slam") == 1001
	})
	now := usageOf(j.Relay)
	checkMemory(t, "after the storm", base, now, memoryMiB(64))
	if n := j.Target("slam").Pending; n != 1001 {
		t.Errorf("%d of 1001 deliveries are pending", n)
	}
	j.Config.Remove("target.deaf") // its thousand attempts of 300 ms are not waited for
	j.Reload()
	awaitRest(t, j.Relay, base)
}
