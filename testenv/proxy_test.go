package testenv

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/port"
)

// startTinyproxy starts Debian's tinyproxy with a user, and returns its URL.
func startTinyproxy(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("tinyproxy")
	if err != nil {
		SkipLoudly(t, "there is no tinyproxy; a proxy of our own has shown the same")
	}
	address, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := net.SplitHostPort(address)
	user, password, _ := strings.Cut(ProxyUser, ":")
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %s\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 100\n"+
		"LogLevel Info\nViaProxyName \"tinyproxy\"\nBasicAuth %s %s\n", number, user, password)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(bin, filepath.Join(filepath.Dir(conf), "log"), nil, "-d", "-c", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Errorf("cannot end tinyproxy: %v", err)
		}
	})
	Until(t, Patience, "tinyproxy to listen", func() bool {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	})
	return "http://" + ProxyUser + "@" + address
}

// TestProxy asserts that a target behind a proxy gets what it would get without one, byte for byte
// and attempt for attempt, by TLS and in clear, through a kill and a reload; that the proxy's
// password goes to nobody else; and that its tokens come through the proxy as well.
func TestProxy(t *testing.T) {
	t.Parallel()
	own := NewProxy(t)
	t.Run("own", func(t *testing.T) {
		auth := throughProxy(t, own.URL())
		asked := strings.Join(own.Asked(), "\n")
		for _, want := range []string{"POST http://127.0.0.1:", "CONNECT 127.0.0.1:", auth.URL()} {
			if !strings.Contains(asked, want) {
				t.Errorf("the proxy was never asked for %s:\n%s", want, asked)
			}
		}
		if n := strings.Count(asked, "CONNECT "); n > 80 {
			t.Errorf("%d tunnels: connections are not kept", n)
		}
	})
	t.Run("tinyproxy", func(t *testing.T) {
		throughProxy(t, startTinyproxy(t))
	})
}

// throughProxy is the journey of TestProxy.
func throughProxy(t *testing.T, proxy string) *AuthServer {
	j, auth := NewJourney(t), NewAuthServer(t, clientRules())
	front := NewTLSFront(t, j.RX, time.Now().Add(90*24*time.Hour))
	j.Config.Set("retry.interval", "50ms")
	j.Config.Target("plain", j.RX.URL("plain"), "proxy", "env:PROXY", "method", "PUT")
	j.Config.Target("tls", front.URL("tls"), "proxy", "env:PROXY", "ca_file", front.CAFile)
	j.Config.Target("direct", j.RX.URL("direct"))
	auth.Configure(j.Config, "plain")
	j.Env = []string{"PROXY=" + proxy}
	j.RX.On("plain", auth.Guard(failEvents(FailFirst(3, 503))))
	j.RX.On("tls", failEvents(FailFirst(3, 500)))
	j.Start()
	j.SendIDs("a", 40)
	j.Ledger.AwaitDelivered()
	j.Kill()
	j.Start()
	j.SendIDs("b", 40)
	j.Ledger.AwaitDelivered()
	for _, name := range []string{"plain", "tls"} {
		for _, r := range j.RX.Requests(name) {
			if r.Header.Get("Proxy-Authorization") != "" {
				t.Fatalf("%s got what is the proxy's", name)
			}
			if through := r.Header.Get("Via") != ""; through != (name == "plain") {
				t.Fatalf("%s: Via %q", name, r.Header.Get("Via"))
			}
		}
		s := j.Sample(name, "message")
		if s.Outcome != "success" || !strings.HasSuffix(proxy, "@"+s.Remote) {
			t.Errorf("%s: the sample says %+v", name, s)
		}
	}
	// by a reload to no proxy, and nothing is lost on the way
	j.Config.Set("target.plain.proxy", "")
	before := len(j.RX.Requests("plain"))
	j.Reload()
	j.SendIDs("c", 5)
	j.Ledger.AwaitDelivered()
	for _, r := range j.RX.Requests("plain")[before:] {
		if r.Header.Get("Via") != "" {
			t.Error("a request went through the proxy after the reload")
		}
	}
	return auth
}

// failEvents answers 200 to samples, and like next to others.
func failEvents(next Script) Script {
	return func(req *Request) Reply {
		if req.Sample {
			return OK()
		}
		return next(req)
	}
}

// TestProxyEnvironment asserts that proxy = "env" goes by HTTP_PROXY and NO_PROXY, for hosts that
// only the proxy knows, that a target without the key goes direct in the same environment, and that
// what the environment says and nobody can use stops the start.
func TestProxyEnvironment(t *testing.T) {
	t.Parallel()
	p, j := NewProxy(t), NewJourney(t)
	_, port, _ := net.SplitHostPort(j.RX.Address())
	j.Config.Target("named", "http://crm.invalid:"+port+"/named", "proxy", "env")
	j.Config.Target("local", "http://localhost:"+port+"/local", "proxy", "env")
	j.Config.Target("none", j.RX.URL("none"))
	j.Env = []string{"HTTP_PROXY=" + p.URL(), "HTTPS_PROXY=", "https_proxy=", "http_proxy=", "NO_PROXY=",
		"no_proxy=", "REQUEST_METHOD="}
	j.Start()
	j.SendIDs("x", 5)
	j.Ledger.AwaitDelivered()
	for _, asked := range p.Asked() {
		if asked != "POST http://crm.invalid:"+port+"/named" {
			t.Errorf("the proxy was asked for %s", asked)
		}
	}
	_, body := j.Admin("GET", "/v1/targets/named")
	if !strings.Contains(string(body), `"proxy":"http://127.0.0.1:`) {
		t.Errorf("the API says %s", body)
	}
	for _, bad := range []string{"socks5://user:canary@127.0.0.1:9", "https://user:canary@127.0.0.1:9",
		"http://user:canary@127.0.0.1:port"} {
		out := CLI(t, append(slices.Clone(j.Env), "HTTP_PROXY="+bad), "check", "--config",
			j.ConfigPath())
		if out.Code != 1 || !strings.Contains(out.Stdout, `cannot use the proxy of target "named": `+
			"HTTP_PROXY is not ") || strings.Contains(out.Stdout+out.Stderr, "canary") {
			t.Errorf("%s: check left with %d: %s%s", bad, out.Code, out.Stdout, out.Stderr)
		}
	}
}

// proxyFaults is what a proxy may do, and what an attempt comes to then: by TLS, and in clear.
func proxyFaults() map[string]struct {
	script     http.HandlerFunc
	tls, plain [2]string // outcome, and words of the error
} {
	type row = struct {
		script     http.HandlerFunc
		tls, plain [2]string
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			nc, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = nc.Write([]byte(text))
			_ = nc.Close()
		}
	}
	says := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	const through = "cannot get through the proxy 127.0.0.1: "
	return map[string]row{
		"407": {says(407), [2]string{"connect", through + "it answered 407"},
			[2]string{"connect", through + "it answered 407"}},
		"502": {says(502), [2]string{"connect", through + "it answered 502"},
			[2]string{"status", "answered 502 Bad Gateway; it may be the proxy 127.0.0.1 that says so"}},
		"garbage": {raw("SSH-2.0-OpenSSH\r\n"), [2]string{"protocol", through},
			[2]string{"protocol", "through the proxy 127.0.0.1: "}},
		"slam": {raw(""), [2]string{"protocol", through + "the proxy closed the connection"},
			[2]string{"protocol", "through the proxy 127.0.0.1: the proxy closed the connection"}},
		"hang": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, [2]string{"timeout", through + "not done within 2s"},
			[2]string{"timeout", "through the proxy 127.0.0.1: not done within 2s"}},
	}
}

// TestProxyFaults asserts that what a proxy does wrong is told from what a target does, is a failure
// that is retried, and spends nothing more than its attempts; that nothing tells the password; and
// that addresses which no target may have are not asked for.
func TestProxyFaults(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j, proxies := NewJourney(t), map[string]*Proxy{}
	j.Ledger.AllowGaps() // what fails before the target is not seen by it
	front := NewTLSFront(t, j.RX, time.Now().Add(90*24*time.Hour))
	j.Config.Set("retry.interval", "100ms").Set("log.deliveries", true)
	for name, row := range proxyFaults() {
		proxies[name] = NewProxy(t)
		proxies[name].Script(row.script)
		timeout := "1m"
		if name == "hang" {
			timeout = "2s"
		}
		j.Config.Target("plain-"+name, j.RX.URL("plain-"+name), "proxy", proxies[name].URL(),
			"timeout", timeout)
		j.Config.Target("tls-"+name, front.URL("tls-"+name), "proxy", proxies[name].URL(),
			"timeout", timeout, "ca_file", front.CAFile)
	}
	watch := NewProxy(t)
	j.Config.Target("metadata", "http://metadata.google.internal/", "proxy", watch.URL())
	j.Config.Target("away", j.RX.URL("away"), "proxy", "http://"+ProxyUser+"@127.0.0.1:1")
	j.Start()
	j.Send(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	want := func(target, outcome, words string) {
		t.Helper()
		Until(t, Patience, target+" to fail by "+words, func() bool {
			last := j.Target(target).LastError
			return last != nil && strings.Contains(*last, words)
		})
		m := j.Metrics()
		if n := m.Get("attempts_total", "target", target, "outcome", outcome); n == 0 ||
			n != m.Attempts(target) {
			t.Errorf("%s: %d attempts, %d of them %s", target, m.Attempts(target), n, outcome)
		}
		if n := j.RX.Count(target); n != 0 {
			t.Errorf("%s got %d requests", target, n)
		}
	}
	for name, row := range proxyFaults() {
		want("tls-"+name, row.tls[0], row.tls[1])
		want("plain-"+name, row.plain[0], row.plain[1])
	}
	want("away", "connect", "cannot connect to the proxy 127.0.0.1: 127.0.0.1:1: ")
	want("metadata", "connect", "address rules refuse metadata.google.internal (cloud metadata)")
	if asked := watch.Asked(); len(asked) != 0 {
		t.Errorf("a proxy was asked for %q", asked)
	}
	for name := range proxyFaults() {
		proxies[name].Script(nil)
		j.RX.AwaitID("tls-"+name, "one")
		j.RX.AwaitID("plain-"+name, "one")
	}
	outputs := map[string]string{}
	collect(j, outputs)
	_, explained := j.Admin("POST", "/v1/explain?type=message")
	outputs["explain"], outputs["log"] = string(explained), j.Log()
	secret := base64.StdEncoding.EncodeToString([]byte(ProxyUser))
	for from, text := range outputs {
		if strings.Contains(text, "canary") || strings.Contains(text, secret) {
			t.Errorf("%s shows the proxy's password", from)
		}
	}
	if !strings.Contains(outputs["check"], "through the proxy http://127.0.0.1:") {
		t.Errorf("check does not tell of the proxy: %s", outputs["check"])
	}
}
