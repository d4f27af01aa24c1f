package attempt

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/signature"
)

// server2 is a Go server of one or both versions of HTTP.
type server2 struct {
	*httptest.Server
	conns atomic.Int64 // connections accepted
	seen  atomic.Int64 // requests
}

// newServer2 serves over TLS, or without.
func newServer2(t testing.TB, ca *authority, offered []string, serve http.HandlerFunc) *server2 {
	t.Helper()
	s := &server2{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			s.seen.Add(1)
			serve(w, r)
		}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if ca == nil {
		s.Start()
	} else {
		s.EnableHTTP2 = len(offered) > 0 && offered[0] == "h2"
		s.TLS = &tls.Config{NextProtos: offered,
			Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}}
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s
}

// options2 are those of a target that is spoken to in a version of HTTP.
func options2(t testing.TB, s *server2, ca *authority, version string) Options {
	t.Helper()
	o := options(t, s.URL+"/hook")
	o.HTTP = version
	if ca != nil {
		o.RootCAs = ca.pool
	}
	return o
}

// ways are the ways to speak HTTP/2, by name.
func ways(t *testing.T, serve http.HandlerFunc, f func(t *testing.T, s *server2, o Options)) {
	ca := newAuthority(t)
	for name, way := range map[string]struct {
		version string
		ca      *authority
	}{"h2c": {"2", nil}, "h2": {"2", ca}, "auto": {"auto", ca}} {
		t.Run(name, func(t *testing.T) {
			s := newServer2(t, way.ca, []string{"h2", "http/1.1"}, serve)
			f(t, s, options2(t, s, way.ca, way.version))
		})
	}
}

// What a target sees is the same in both versions: method, path, host, fields, signature, bytes.
func TestHTTP2Wire(t *testing.T) {
	type seen struct {
		proto, method, target, host string
		length                      int64
		header                      http.Header
		body                        []byte
	}
	got := make(chan seen, 1)
	serve := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Proto, r.Method, r.RequestURI, r.Host, r.ContentLength, r.Header, body}
	}
	ways(t, serve, func(t *testing.T, s *server2, o Options) {
		for _, size := range []int{0, 8, 20_000, 900_000} {
			for _, target := range []string{"", "/", "/a%2Fb/ü?x=%41&y= z", "/hook?"} {
				u := *o.URL
				u.Path, u.RawPath, u.RawQuery = "", "", ""
				parsed, err := u.Parse(strings.ReplaceAll(target, " ", "%20"))
				if err != nil {
					t.Fatal(err)
				}
				mine := o
				mine.URL = parsed
				mine.Keys = []signature.Key{mustKey(t, testSecret)}
				mine.Header = []Header{{"X-Tenant", "  a "}, {"authorization", "Bearer abcdefgh"}}
				r := request()
				r.Payload = bytes.Repeat([]byte("x"), size)
				r.Session, r.Attempt, r.Replay = "active", 7, true
				r.Header = []Header{{"traceparent", "00-a-b-01"}, {"ce-subject", "ä ö"}}
				var both [2]seen
				for i, version := range []string{"1.1", o.HTTP} {
					mine.HTTP = version
					wantKind(t, checked(t, newTestClient(t, mine).Do(context.Background(), r)), Success, "")
					both[i] = <-got
				}
				one, two := both[0], both[1]
				if one.proto != "HTTP/1.1" || two.proto != "HTTP/2.0" {
					t.Fatalf("%s and %s", one.proto, two.proto)
				}
				one.proto = two.proto
				if one.method != two.method || one.target != two.target || one.host != two.host ||
					one.length != two.length || !bytes.Equal(one.body, two.body) ||
					len(two.body) != size {
					t.Errorf("%.300v\n%.300v", one, two)
				}
				same := maps.EqualFunc(one.header, two.header, func(a, b []string) bool {
					return strings.Join(a, "|") == strings.Join(b, "|")
				})
				if !same {
					t.Errorf("%v\n%v", one.header, two.header)
				}
			}
		}
	})
}

// Status, snippet and time are judged as with HTTP/1.1.
func TestHTTP2Verdicts(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/interim":
			for range 200 {
				w.WriteHeader(103)
			}
			w.WriteHeader(200)
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
		case "/large":
			w.WriteHeader(500)
			_, _ = io.WriteString(w, strings.Repeat("y", 1<<20))
		case "/slowly", "/slowly500":
			if r.URL.Path == "/slowly500" {
				w.WriteHeader(500)
			}
			_, _ = io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/echo":
			w.WriteHeader(400)
			fmt.Fprint(w, r.Header)
		case "/wait":
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/fields":
			w.Header().Set("X-Long", strings.Repeat("z", headBytesMax+1000))
		}
	}
	ways(t, serve, func(t *testing.T, s *server2, o Options) {
		o.Header = []Header{{"Authorization", "Bearer this-is-secret"}}
		f := func(path string, kind Kind, words string, most time.Duration) Outcome {
			t.Helper()
			u := *o.URL
			u.Path = path
			mine := o
			mine.URL = &u
			r := request()
			r.Sample = strings.Contains(path, "sample")
			out := checked(t, newTestClient(t, mine).Do(context.Background(), r))
			wantKind(t, out, kind, words)
			if out.Duration > most {
				t.Errorf("%s took %v", path, out.Duration)
			}
			return out
		}
		f("/ok", Success, "", testTimeout)
		f("/interim", Success, "", testTimeout)
		f("/redirect", Status, "answered 307", testTimeout)
		f("/fields", Protocol, "or its header is too large", testTimeout)
		if out := f("/large", Status, "500", testTimeout); len(out.Snippet) != snippetBytesMax+len(moreMark) {
			t.Errorf("%d bytes of snippet", len(out.Snippet))
		}
		began := time.Now()
		f("/slowly", Success, "", 10*time.Second)
		out := f("/slowly500", Status, "500", 10*time.Second)
		if string(out.Snippet) != "begin" || time.Since(began) > 10*time.Second {
			t.Errorf("%q after %v", out.Snippet, time.Since(began))
		}
		if out := f("/echo", Status, "400", testTimeout); strings.Contains(string(out.Snippet), "secret") ||
			!strings.Contains(string(out.Snippet), redacted) {
			t.Errorf("%q", out.Snippet)
		}
		if out := f("/sample", Success, "", testTimeout); out.StatusLine != "HTTP/2 200" {
			t.Errorf("status line %q", out.StatusLine)
		}
		if out := f("/wait", Status, "429", testTimeout); out.RetryAfter != 30*time.Second {
			t.Errorf("asked for %v", out.RetryAfter)
		}
		if s.seen.Load() != 10 {
			t.Errorf("%d requests", s.seen.Load())
		}
	})
}

// Many attempts share a connection; where that has room for two, there are more of them, and none
// is refused.
func TestHTTP2Share(t *testing.T) {
	for _, streams := range []int{250, 2} {
		serve := func(w http.ResponseWriter, r *http.Request) { time.Sleep(5 * time.Millisecond) }
		s := newServer2(t, nil, nil, serve)
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
		o := options2(t, s, nil, "2")
		o.Concurrency = 64
		c := newTestClient(t, o)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for range 5 {
					wantKind(t, checked(t, c.Do(context.Background(), request())), Success, "")
				}
			})
		}
		all.Wait()
		if n := s.conns.Load(); streams == 250 && n != 1 || n > 40 {
			t.Errorf("%d connections of %d streams", n, streams)
		}
		if s.seen.Load() != 64*5 {
			t.Errorf("%d requests", s.seen.Load())
		}
	}
}

// A silent target is a timeout, and no other request is given to that connection; one that we stop
// waiting for is aborted.
func TestHTTP2Ends(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	var reached chan struct{}
	serve := func(w http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			reached <- struct{}{}
			<-r.Context().Done()
		}
	}
	reached = make(chan struct{}, 10)
	ways(t, serve, func(t *testing.T, s *server2, o Options) {
		hang.Store(false)
		o.Timeout = 300 * time.Millisecond
		c := newTestClient(t, o)
		do := func() Outcome { return checked(t, c.Do(context.Background(), request())) }
		eventually(t, "a first success", func() bool { return do().Kind == Success })
		hang.Store(true)
		conns := s.conns.Load()
		wantKind(t, do(), Timeout, "not done within 300ms")
		hang.Store(false)
		eventually(t, "a success", func() bool { return do().Kind == Success })
		if s.conns.Load() == conns {
			t.Error("a connection that was silent is used again")
		}
		for len(reached) > 0 {
			<-reached
		}
		hang.Store(true)
		ctx, cancel := context.WithCancel(context.Background())
		o.Timeout = testTimeout
		c = newTestClient(t, o)
		go func() {
			<-reached
			cancel()
		}()
		wantKind(t, checked(t, c.Do(ctx, request())), Aborted, "aborted")
	})
}

// Idle connections are closed, when they are told to and by themselves; after Close none is kept.
func TestHTTP2Idle(t *testing.T) {
	ways(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, s *server2, o Options) {
		c := newTestClient(t, o)
		do := func() {
			t.Helper()
			wantKind(t, checked(t, c.Do(context.Background(), request())), Success, "")
		}
		f := func(want int64) {
			t.Helper()
			if do(); s.conns.Load() != want {
				t.Errorf("%d connections, want %d", s.conns.Load(), want)
			}
		}
		f(1)
		f(1)
		c.CloseIdle(0)
		f(2)
		c.CloseIdle(time.Hour)
		f(3)
		f(4)
		c.CloseIdle(0)
		f(5)
		c.transport.(*http2).share.expire(time.Now().Add(idleMax / 2))
		f(5)
		c.transport.(*http2).share.expire(time.Now().Add(idleMax))
		f(6)
		c.Close()
		f(7)
		f(8)
	})
}

// With "auto" the target decides at every handshake.
func TestHTTPAuto(t *testing.T) {
	ca := newAuthority(t)
	var protos sync.Map
	serve := func(w http.ResponseWriter, r *http.Request) { protos.Store(r.Proto, true) }
	f := func(c *Client, want string) {
		t.Helper()
		protos.Clear()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				wantKind(t, checked(t, c.Do(context.Background(), request())), Success, "")
			})
		}
		all.Wait()
		n := 0
		protos.Range(func(any, any) bool { n++; return true })
		if _, ok := protos.Load(want); !ok || n != 1 {
			t.Errorf("%d versions, want %s", n, want)
		}
	}
	one := newServer2(t, ca, []string{"http/1.1"}, serve)
	two := newServer2(t, ca, []string{"h2", "http/1.1"}, serve)
	silent := newTLSReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}})

	var expires atomic.Int64
	o := options2(t, one, ca, "auto")
	o.OnTLS = func(at time.Time) { expires.Store(at.Unix()) }
	var to atomic.Pointer[server2]
	front := newReceiver(t, func(nc net.Conn) {
		back, err := net.Dial("tcp", to.Load().Listener.Addr().String())
		if err != nil {
			return
		}
		go func() {
			defer back.Close()
			_, _ = io.Copy(back, nc)
		}()
		_, _ = io.Copy(nc, back)
	})
	o.URL.Host = front.listener.Addr().String()
	c := newTestClient(t, o)
	for range 2 {
		to.Store(one)
		c.CloseIdle(0)
		f(c, "HTTP/1.1")
		f(c, "HTTP/1.1")
		to.Store(two)
		c.CloseIdle(0)
		f(c, "HTTP/2.0")
		f(c, "HTTP/2.0")
	}
	if expires.Load() == 0 {
		t.Error("the certificate was not told")
	}
	o = options(t, silent.secureURL())
	o.RootCAs, o.HTTP = ca.pool, "auto"
	wantKind(t, attemptAt(t, o), Success, "")
	o.HTTP = "2"
	wantKind(t, attemptAt(t, o), TLS, "does not speak HTTP/2")
	o = options2(t, one, ca, "2")
	wantKind(t, attemptAt(t, o), TLS, "does not speak HTTP/2")
	o = options2(t, two, ca, "2")
	o.RootCAs = nil
	wantKind(t, attemptAt(t, o), TLS, "certificate")

	// It wants a certificate of ours, and says so after the handshake.
	strict := newServer2(t, ca, []string{"h2"}, serve)
	strict.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	for _, version := range []string{"2", "auto"} {
		o = options2(t, strict, ca, version)
		wantKind(t, attemptAt(t, o), TLS, "certificate required")
	}
}

// A connection that is old is closed after its answer, in both versions.
func TestConnectionMaxAge(t *testing.T) {
	f := func(t *testing.T, s *server2, o Options) {
		for _, age := range []struct {
			most  time.Duration
			conns int64
		}{{0, 1}, {time.Hour, 1}, {time.Nanosecond, 3}} {
			o.MaxAge = age.most
			c := newTestClient(t, o)
			before := s.conns.Load()
			do(t, c, 3, Success)
			if n := s.conns.Load() - before; n != age.conns {
				t.Errorf("of %s at most: %d connections for 3 attempts; want %d", age.most, n, age.conns)
			}
			c.Close()
		}
	}
	serve := func(http.ResponseWriter, *http.Request) {}
	ways(t, serve, f)
	t.Run("1.1", func(t *testing.T) {
		s := newServer2(t, nil, nil, serve)
		f(t, s, options2(t, s, nil, "1.1"))
	})
}

// What has come is read although the attempt's time is over, as after the process stood still.
func TestHTTP2ReadLate(t *testing.T) {
	serve := func(http.ResponseWriter, *http.Request) { time.Sleep(lateGrace / 5) }
	ways(t, serve, func(t *testing.T, _ *server2, o Options) {
		c := newTestClient(t, o)
		do(t, c, 1, Success)
		eventually(t, "a late answer", func() bool { // within its grace, which a busy machine may miss
			x := new(call)
			x.begin(c, request(), time.Now().Add(-time.Hour))
			return c.transport.carry(context.Background(), x) == nil && x.kind == Success
		})
	})
}
