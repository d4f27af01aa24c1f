package testenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/port"
)

// http2Front is a server of HTTP/2 before a Receiver.
type http2Front struct {
	plain, secure string // addresses: without TLS from the first byte, and with
	caFile        string
}

// url is where a target points.
func (f *http2Front) url(secure bool, target string) string {
	if secure {
		return "https://" + f.secure + "/" + target
	}
	return "http://" + f.plain + "/" + target
}

// pairFile writes a PEM file with a certificate for 127.0.0.1 that vouches for itself, and its key.
func pairFile(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	path := filepath.Join(t.TempDir(), "pair.pem")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// goFront is Go's server, which speaks HTTP/2 alone.
func goFront(t *testing.T, rx *Receiver) *http2Front {
	t.Helper()
	pair := pairFile(t)
	cert, err := tls.LoadX509KeyPair(pair, pair)
	if err != nil {
		t.Fatal(err)
	}
	back := &url.URL{Scheme: "http", Host: rx.Address()}
	only := new(http.Protocols)
	only.SetHTTP2(true)
	only.SetUnencryptedHTTP2(true)
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{ErrorLog: quiet,
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(back)
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{Protocols: only, ErrorLog: quiet, Handler: proxy}
	f := &http2Front{caFile: pair}
	var running sync.WaitGroup
	for _, secure := range []bool{false, true} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			f.secure = ln.Addr().String()
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert},
				NextProtos: []string{"h2"}})
		} else {
			f.plain = ln.Addr().String()
		}
		running.Go(func() { _ = server.Serve(ln) })
	}
	t.Cleanup(func() {
		_ = server.Close()
		running.Wait()
	})
	return f
}

// nginxFront is nginx with HTTP/2 on both, few streams, and a connection for few requests.
func nginxFront(t *testing.T, rx *Receiver) *http2Front {
	t.Helper()
	bin, ok := tool(t, "HOOKSPOOL_NGINX", "nginx", "nginx-light")
	if !ok {
		t.SkipNow()
	}
	f, dir := &http2Front{caFile: pairFile(t)}, t.TempDir()
	f.plain, f.secure = freeAddress(t), freeAddress(t)
	conf := fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  client_max_body_size 4m;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u;
  scgi_temp_path %[1]s/s;
  http2_max_concurrent_streams 4;
  keepalive_requests 10;
  proxy_http_version 1.1;
  proxy_next_upstream off;
  server {
    listen %[2]s http2;
    listen %[3]s ssl http2;
    ssl_certificate %[4]s;
    ssl_certificate_key %[4]s;
    location / { proxy_pass http://%[5]s; }
  }
}
`, dir, f.plain, f.secure, f.caFile, rx.Address())
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	runFront(t, f, exec.Command(bin, "-p", dir, "-c", path))
	return f
}

// nodeFront is Node's server.
func nodeFront(t *testing.T, rx *Receiver) *http2Front {
	t.Helper()
	bin, ok := tool(t, "HOOKSPOOL_NODE", "node", "nodejs")
	if !ok {
		t.SkipNow()
	}
	f := &http2Front{caFile: pairFile(t)}
	f.plain, f.secure = freeAddress(t), freeAddress(t)
	const script = `
const http2 = require('node:http2'), http = require('node:http'), fs = require('node:fs')
const [plain, secure, pair, back] = process.argv.slice(1)
const agent = new http.Agent({ keepAlive: true, maxSockets: 100 })
const pass = (stream, headers) => {
  const chunks = []
  stream.on('data', c => chunks.push(c))
  stream.on('error', () => {})
  stream.on('end', () => {
    const copy = {}
    for (const [k, v] of Object.entries(headers)) if (!k.startsWith(':')) copy[k] = v
    const [host, port] = back.split(':')
    const body = Buffer.concat(chunks)
    copy['content-length'] = body.length
    const out = http.request({ host, port, agent, method: headers[':method'],
      path: headers[':path'], headers: copy }, res => {
      res.resume()
      res.on('end', () => { stream.respond({ ':status': res.statusCode }); stream.end() })
    })
    out.on('error', () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    out.end(body)
  })
}
const listen = (server, address) => {
  const [host, port] = address.split(':')
  server.on('stream', pass).listen(Number(port), host)
}
const pem = fs.readFileSync(pair)
listen(http2.createServer(), plain)
listen(http2.createSecureServer({ key: pem, cert: pem }), secure)
`
	runFront(t, f, exec.Command(bin, "-e", script, f.plain, f.secure, f.caFile, rx.Address()))
	return f
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// runFront runs a server until the test ends, and waits until it listens.
func runFront(t *testing.T, f *http2Front, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", cmd.Path, said.String())
		}
	})
	for _, address := range []string{f.plain, f.secure} {
		Until(t, Patience, "the server of HTTP/2", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
}

// TestHTTP2 asserts that deliveries over HTTP/2 are what they are over HTTP/1.1, at three servers
// that others wrote, with TLS and without: the ledger compares bytes and headers; each event comes
// once although connections are ended every few requests and are never wide enough; failures are
// retried to the number; a reload goes from one version to the other and back, and a restart comes
// in the middle.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for name, front := range map[string]func(*testing.T, *Receiver) *http2Front{
		"go": goFront, "nginx": nginxFront, "node": nodeFront,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := Seed(t)
			j := NewJourney(t)
			f := front(t, j.RX)
			j.Config.Set("retry.interval", "50ms")
			j.Config.Target("clear", f.url(false, "clear"), "http", "2")
			j.Config.Target("secure", f.url(true, "secure"), "http", "2", "ca_file", f.caFile)
			j.Config.Target("chosen", f.url(true, "chosen"), "http", "auto", "ca_file", f.caFile)
			j.Config.Target("ill", f.url(true, "ill"), "http", "2", "ca_file", f.caFile)
			j.RX.On("ill", FailFirst(3, 503))
			j.Start()
			events := 0
			send := func(n int) {
				for i := range n {
					j.Send(Post{ID: fmt.Sprintf("e-%d", events),
						Body: Payload(rng, "message", []int{20, 900, 9000, 300_000}[i%4])})
					events++
				}
			}
			send(40)
			j.Ledger.AwaitDelivered()
			load := j.StartLoad(rng, 8, "load")
			Until(t, Patience, "events", func() bool { return j.RX.Count("clear") > 400 })
			load.Stop()
			j.Ledger.AwaitDelivered()
			for _, target := range []string{"clear", "secure", "chosen"} {
				if n, want := j.RX.Count(target), j.Ledger.Accepted(); n != want {
					t.Errorf("%s got %d requests for %d events", target, n, want)
				}
			}
			if got := j.RX.Attempts("ill", "e-0"); fmt.Sprint(got) != "[0 1 2 3]" {
				t.Errorf("a failing target saw attempts %v", got)
			}
			j.Config.Set("target.clear.url", j.RX.URL("clear")).Set("target.clear.http", "1.1")
			j.Reload()
			send(8)
			j.Config.Set("target.clear.url", f.url(false, "clear")).Set("target.clear.http", "2")
			j.Reload()
			send(8)
			j.Restart()
			send(8)
			j.Ledger.AwaitDelivered()
			out := j.CLI("sample", "chosen")
			if out.Code != 0 || !strings.Contains(out.Stdout, "HTTP/2 200") {
				t.Errorf("sample: %d %s %s", out.Code, out.Stdout, out.Stderr)
			}
			for line := range strings.Lines(j.Log()) {
				if !strings.HasPrefix(line, "time=") {
					t.Errorf("a line that is not of the log: %s", line)
				}
			}
		})
	}
}
