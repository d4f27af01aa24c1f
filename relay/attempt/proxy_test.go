package attempt

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// testProxy is a proxy that remembers what it was asked, and passes on or answers as it is told.
type testProxy struct {
	*receiver
	mu    sync.Mutex // guards below
	heads []string   // request line, Host and Proxy-Authorization
}

// newProxy starts one. answer is written instead of passing on; empty: it passes on.
func newProxy(t *testing.T, answer string) *testProxy {
	t.Helper()
	p := &testProxy{}
	p.receiver = newReceiver(t, func(nc net.Conn) { p.serve(nc, answer) })
	return p
}

func (p *testProxy) serve(nc net.Conn, answer string) {
	for in := bufio.NewReader(nc); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		p.mu.Lock()
		p.heads = append(p.heads, fmt.Sprintf("%s %s %s %s", req.Method, req.RequestURI, req.Host,
			req.Header.Get("Proxy-Authorization")))
		p.mu.Unlock()
		if answer != "" {
			io.WriteString(nc, answer)
			return
		}
		to, err := net.Dial("tcp", "127.0.0.1:"+req.URL.Port())
		if err != nil {
			io.WriteString(nc, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		if req.Method == http.MethodConnect {
			io.WriteString(nc, "HTTP/1.1 200 Connection established\r\n\r\n")
			go func() {
				io.Copy(to, in)
				to.Close()
			}()
			io.Copy(nc, to)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.Header.Del("Proxy-Authorization")
		_ = req.Write(to)
		resp, err := http.ReadResponse(bufio.NewReader(to), req)
		if err == nil {
			resp.Header.Add("Via", "1.1 test")
			_ = resp.Write(nc)
		}
		to.Close()
	}
}

// asked is what the proxy was asked.
func (p *testProxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.heads...)
}

// through sends o through a proxy.
func through(o Options, p *receiver) Options {
	o.Proxy = &url.URL{Scheme: "http", Host: p.listener.Addr().String()}
	return o
}

// behindProxy is options for a receiver by another name, which only the proxy knows.
func behindProxy(t *testing.T, scheme string, target, proxy *receiver) Options {
	o := through(options(t, scheme+"://crm.invalid:"+portOf(target)+"/hook?q=1"), proxy)
	o.Resolver = nobody{t}
	return o
}

// nobody resolves nothing, and nobody may ask it.
type nobody struct{ t *testing.T }

func (n nobody) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n.t.Error("a name was looked up that is for the proxy to know")
	return nil, &net.DNSError{Err: "no such host"}
}

// A plain request goes in absolute form over a connection that is kept, and the target sees the
// origin form, the host as configured, and nothing of what the proxy was told.
func TestProxyPlain(t *testing.T) {
	var mu sync.Mutex
	var got []string
	target := newReceiver(t, each(func(nc net.Conn, req *http.Request, body []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %s %s %s%s", req.Method, req.RequestURI, req.Host,
			req.Header.Get("Proxy-Authorization"), body))
		io.WriteString(nc, answer200)
		return false
	}))
	proxy := newProxy(t, "")
	o := behindProxy(t, "http", target, proxy.receiver)
	o.Proxy.User = url.UserPassword("user", "password")
	c := newTestClient(t, o)
	host := "crm.invalid:" + portOf(target)
	for range 3 {
		out := c.Do(context.Background(), request())
		if out.Kind != Success || out.Remote != o.Proxy.Host {
			t.Fatalf("%+v", out)
		}
	}
	want := "POST http://" + host + "/hook?q=1 " + host + " Basic dXNlcjpwYXNzd29yZA=="
	if all := proxy.asked(); len(all) != 3 || all[2] != want {
		t.Errorf("the proxy was asked %q; want three of %q", all, want)
	}
	if want = "POST /hook?q=1 " + host + " " + string(request().Payload); got[0] != want {
		t.Errorf("the target saw %q; want %q", got[0], want)
	}
	if n := proxy.conns.Load(); n != 1 {
		t.Errorf("%d connections to the proxy for three attempts", n)
	}
	preview := string(c.Preview(request()))
	for _, part := range []string{"POST http://" + host + "/hook?<redacted> HTTP/1.1\r\nHost: " + host,
		"\r\nProxy-Authorization: <redacted>\r\n"} {
		if !strings.Contains(preview, part) {
			t.Errorf("the preview has no %q:\n%s", part, preview)
		}
	}
}

// TLS goes through a tunnel, end to end: the target's certificate is checked, and its name is that
// of the URL; nothing of what the proxy was told is in it.
func TestProxyTunnel(t *testing.T) {
	ca := newAuthority(t)
	notAfter := time.Now().Add(time.Hour)
	target := newReceiver(t, func(nc net.Conn) {
		secure := tls.Server(nc, &tls.Config{
			Certificates: []tls.Certificate{ca.issue(notAfter, "crm.invalid")}})
		each(func(nc net.Conn, req *http.Request, _ []byte) bool {
			if req.RequestURI != "/hook?q=1" || req.Header.Get("Proxy-Authorization") != "" {
				t.Errorf("the target saw %s, %v", req.RequestURI, req.Header)
			}
			io.WriteString(nc, answer200)
			return true
		})(secure)
	})
	proxy := newProxy(t, "")
	o := behindProxy(t, "https", target, proxy.receiver)
	o.RootCAs, o.Proxy.User = ca.pool, url.UserPassword("user", "password")
	var expiry time.Time
	o.OnTLS = func(at time.Time) { expiry = at }
	c := newTestClient(t, o)
	for range 3 {
		out := checked(t, c.Do(context.Background(), request()))
		if out.Kind != Success || out.TLS == "" || expiry.Unix() != notAfter.Unix() {
			t.Fatalf("%+v, certificate until %s", out, expiry)
		}
	}
	host := "crm.invalid:" + portOf(target)
	want := "CONNECT " + host + " " + host + " Basic dXNlcjpwYXNzd29yZA=="
	if all := proxy.asked(); len(all) != 1 || all[0] != want {
		t.Errorf("the proxy was asked %q; want %q once for three attempts", all, want)
	}
	// Another name than that of the certificate is the target's fault, and through whom is said.
	o.URL.Host = "other.invalid:" + portOf(target)
	wantKind(t, attemptAt(t, o), TLS, "shake hands with other.invalid through the proxy 127.0.0.1: ")
}

// What the proxy does wrong is told from what the target does, and none of it is the target's status.
func TestProxyFaults(t *testing.T) {
	target := newReceiver(t, says(answer200, false))
	f := func(answer string, tunnel Kind, tunnelWords string, plain Kind, plainWords string) {
		t.Helper()
		for scheme, want := range map[string]struct {
			kind  Kind
			words string
		}{"https": {tunnel, tunnelWords}, "http": {plain, plainWords}} {
			proxy := newProxy(t, answer)
			o := behindProxy(t, scheme, target, proxy.receiver)
			o.Proxy.User = url.UserPassword("proxyuser", "hunter2canary")
			out := attemptAt(t, o)
			wantKind(t, out, want.kind, want.words)
			if text := out.Error + string(out.Snippet); strings.Contains(text, "hunter2") {
				t.Errorf("%s: shows the password: %s", scheme, text)
			}
			if out.Kind != Status && out.Kind != Success && !strings.Contains(out.Error, "the proxy") {
				t.Errorf("%s: does not name the proxy: %s", scheme, out.Error)
			}
		}
	}
	status := func(status string) string { return "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n" }
	const through = "get through the proxy 127.0.0.1: "
	f(status("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic"), Connect,
		through+"it answered 407 Proxy Authentication Required; it wants (other) user-info in `proxy`",
		Connect, through+"it answered 407 ")
	f(status("502 Bad Gateway"), Connect, through+"it answered 502 Bad Gateway", Status,
		"answered 502 Bad Gateway; it may be the proxy 127.0.0.1 that says so")
	f(status("403 Filtered"), Connect, through+"it answered 403 Forbidden", Status,
		"answered 403 Forbidden; it may be the proxy 127.0.0.1")
	f(status("503 x\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nVia: 1.1 squid"), Connect,
		through+"it answered 503 ", Connect, through+"it answered 503 Service Unavailable")
	f(status("504 x\r\nProxy-Status: p; error=connection_timeout"), Connect, through+"it answered 504 ",
		Connect, through+"it answered 504 Gateway Timeout")
	f(status("301 Moved\r\nLocation: http://x/"), Connect, through+"it answered 301 ", Status,
		"answered 301 Moved Permanently; redirects are not followed")
	f("SSH-2.0-OpenSSH_9.2\r\n", Protocol, through, Protocol, "the proxy")
	f("\x00\x00\x12\x04\x00\x00\x00\x00\x00", Protocol, through, Protocol, "the proxy")
	f("HTTP/1.1 200 O", Protocol, through+"the proxy closed the connection", Protocol,
		"read answer through the proxy 127.0.0.1: the proxy closed the connection")
	f("HTTP/1.1 200 OK\r\n\r\nand more", Protocol, through+"there is more than its answer", Success, "")
	// a target behind it that closes at once, or speaks no TLS
	f("HTTP/1.1 200 OK\r\n\r\n", TLS, "shake hands with crm.invalid through the proxy 127.0.0.1: ",
		Success, "")
}

// A status that was passed on is the target's, whatever it is.
func TestProxyPassesOn(t *testing.T) {
	for _, status := range []string{"500 Oops", "502 Bad Gateway", "403 Forbidden", "503 Busy",
		"504 x\r\nProxy-Status: cdn; error=connection_timeout"} {
		target := newReceiver(t, says("HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n", false))
		proxy := newProxy(t, "")
		out := attemptAt(t, behindProxy(t, "http", target, proxy.receiver))
		if wantKind(t, out, Status, "answered "); strings.Contains(out.Error, "proxy") {
			t.Errorf("%s: %s", status, out.Error)
		}
	}
}

// A proxy that is not there, that cannot be found, that hangs.
func TestProxyAway(t *testing.T) {
	t.Parallel()
	target := newReceiver(t, says(answer200, false))
	silent := newReceiver(t, untilClosed)
	for _, scheme := range []string{"http", "https"} {
		o := behindProxy(t, scheme, target, silent)
		o.Timeout = time.Second
		out := attemptAt(t, o)
		want := map[string]string{"http": "read answer through the proxy 127.0.0.1: not done within 1s",
			"https": "get through the proxy 127.0.0.1: not done within 1s"}[scheme]
		wantKind(t, out, Timeout, want)
		o.Timeout = testTimeout
		o.Proxy.Host = "127.0.0.1:1"
		wantKind(t, attemptAt(t, o), Connect, "connect to the proxy 127.0.0.1: ")
		o.Proxy.Host, o.Resolver = "proxy.invalid:3128", resolverFunc(
			func(context.Context, string) ([]netip.Addr, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "proxy.invalid", IsNotFound: true}
			})
		wantKind(t, attemptAt(t, o), DNS, "resolve the proxy proxy.invalid: ")
		// the relay stops while the proxy hangs
		o = behindProxy(t, scheme, target, silent)
		ctx, cancel := context.WithCancel(context.Background())
		before := silent.conns.Load()
		outcome := make(chan Outcome, 1)
		c := newTestClient(t, o)
		go func() { outcome <- c.Do(ctx, request()) }()
		eventually(t, "a connection to the proxy", func() bool { return silent.conns.Load() > before })
		cancel()
		wantKind(t, <-outcome, Aborted, "aborted")
	}
}

// The address rules judge the proxy by its own name, and of the target what they can see.
func TestProxyAddresses(t *testing.T) {
	target := newReceiver(t, says(answer200, false))
	proxy := newProxy(t, answer200)
	o := behindProxy(t, "http", target, proxy.receiver)
	wantKind(t, attemptAt(t, o), Success, "")
	// a public name of a proxy that resolves inward
	at := o.Proxy.Host
	o.Proxy.Host, o.Resolver = "proxy.example.com:"+portOf(proxy.receiver), resolvesTo("127.0.0.1")
	wantKind(t, attemptAt(t, o), Connect, "connect to the proxy proxy.example.com: 127.0.0.1:")
	o.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	wantKind(t, attemptAt(t, o), Success, "")
	o.AllowAddresses, o.Proxy.Host = nil, at
	before := len(proxy.asked())
	for _, host := range []string{"169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
		"169.254.43518", "0xA9.254.169.0xfe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0",
		"169.254.169.254.", "Metadata.Google.Internal", "metadata.google.internal.", "metadata",
		"instance-data"} {
		for _, scheme := range []string{"http", "https"} {
			o.URL = options(t, scheme+"://"+host+"/").URL
			out := attemptAt(t, o)
			wantKind(t, out, Connect, "address rules refuse ")
			if !strings.Contains(out.Error, "allow_addresses") {
				t.Errorf("an error that does not help: %s", out.Error)
			}
		}
	}
	if n := len(proxy.asked()); n != before {
		t.Errorf("the proxy was asked for what is refused: %q", proxy.asked()[before:])
	}
	o.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("169.254.169.254/32")}
	for _, host := range []string{"169.254.169.254", "metadata.google.internal", "2852039166"} {
		o.URL = options(t, "http://"+host+"/").URL
		wantKind(t, attemptAt(t, o), Success, "")
	}
	for _, host := range []string{"crm.example.com", "10.0.0.1", "localhost", "192.0.2.9.example.com",
		"1.2.3.4.5", "1..2", "08"} {
		o.URL, o.AllowAddresses = options(t, "http://"+host+"/").URL, nil
		if out := attemptAt(t, o); out.Kind != Success {
			t.Errorf("%s is refused: %s", host, out.Error)
		}
	}
}

// What is asked beside the deliveries goes through the proxy as well.
func TestProxyHTTPClient(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(time.Now().Add(time.Hour), "crm.invalid")
	for scheme, target := range map[string]*receiver{
		"http":  newReceiver(t, says(answer200, false)),
		"https": newTLSReceiver(t, &tls.Config{Certificates: []tls.Certificate{cert}}),
	} {
		proxy := newProxy(t, "")
		o := behindProxy(t, scheme, target, proxy.receiver)
		o.RootCAs, o.Proxy.User = ca.pool, url.UserPassword("user", "password")
		c, err := NewHTTPClient(o)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Get(o.URL.String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		all := proxy.asked()
		if resp.StatusCode != 200 || len(all) != 1 || !strings.HasSuffix(all[0], " Basic dXNlcjpwYXNzd29yZA==") {
			t.Errorf("%s: %s, the proxy was asked %q", scheme, resp.Status, all)
		}
	}
}

// A proxy that nobody can use is refused when a client is made.
func TestProxyRefused(t *testing.T) {
	for _, proxy := range []string{"https://proxy:1", "socks5://proxy:1", "http://", "http://proxy:0"} {
		o := options(t, "http://crm/")
		o.Proxy = options(t, proxy).URL
		if _, err := NewClient(o); err == nil || !strings.Contains(err.Error(), "cannot use proxy") {
			t.Errorf("%s: %v", proxy, err)
		}
	}
}
