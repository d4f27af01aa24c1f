package testenv

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Proxy is a forward proxy that wants a user and a password, and knows every name: all of them are
// this machine.
type Proxy struct {
	t       testing.TB
	server  *httptest.Server
	way     *http.Transport
	running sync.WaitGroup

	mu     sync.Mutex // guards below
	script http.HandlerFunc
	asked  []string
	open   map[net.Conn]struct{}
}

// ProxyUser is who may use a Proxy; the password begins with canary.
const ProxyUser = "proxyuser:canary-of-the-proxy"

// NewProxy starts one on port 0; it ends with the test.
func NewProxy(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{t: t, open: map[net.Conn]struct{}{}}
	var d net.Dialer
	dial := func(ctx context.Context, _, to string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", here(to))
	}
	p.way = &http.Transport{DisableCompression: true, DialContext: dial}
	p.server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.hangup()
		p.server.CloseClientConnections()
		p.server.Close()
		p.running.Wait()
		p.way.CloseIdleConnections()
	})
	return p
}

// here is the same port of this machine.
func here(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		port = "80"
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// URL is what a target's proxy is set to.
func (p *Proxy) URL() string {
	return "http://" + ProxyUser + "@" + p.server.Listener.Addr().String()
}

// Script answers instead of the proxy, until it is nil again.
func (p *Proxy) Script(script http.HandlerFunc) {
	p.mu.Lock()
	p.script = script
	p.mu.Unlock()
	p.hangup()
}

// Asked is what it was asked for: method and target of the request line.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// hangup ends all tunnels.
func (p *Proxy) hangup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// ServeHTTP is part of http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	script := p.script
	p.mu.Unlock()
	client := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, _ := client.BasicAuth()
	switch {
	case script != nil:
		_, _ = io.Copy(io.Discard, r.Body) // or it would not show that the client leaves
		script(w, r)
	case user+":"+password != ProxyUser:
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	default:
		p.pass(w, r)
	}
}

// pass passes a plain request on.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Proxy-Authorization")
	r.Header.Set("Via", "1.1 testenv")
	resp, err := p.way.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Via", "1.1 testenv")
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the other side may have left
}

// tunnel passes bytes until one side closes.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	back, err := net.Dial("tcp", here(r.RequestURI))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	front, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		p.t.Errorf("cannot make a tunnel: %v", err)
		return
	}
	p.mu.Lock()
	p.open[front], p.open[back] = struct{}{}, struct{}{}
	p.mu.Unlock()
	_, _ = io.WriteString(front, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.running.Add(1)
	defer p.running.Done()
	var both sync.WaitGroup
	both.Go(func() { // ends with the front
		_, _ = io.Copy(back, front)
		_ = back.Close()
	})
	_, _ = io.Copy(front, back)
	_ = front.Close()
	both.Wait()
	p.mu.Lock()
	delete(p.open, front)
	delete(p.open, back)
	p.mu.Unlock()
}
