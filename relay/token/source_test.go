package token

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
)

const (
	testID     = "client/1"
	testSecret = "p@ss word+hunter2canary"
)

// endpoint is a token endpoint that answers as it is told.
type endpoint struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	e := &endpoint{}
	e.answer.Store(&answer)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		body, _ := io.ReadAll(r.Body) // or the server would not see a client that goes away
		r.Body = io.NopCloser(bytes.NewReader(body))
		(*e.answer.Load())(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// source makes a Source of the endpoint.
func (e *endpoint) source(t *testing.T, set func(*Options)) *Source {
	t.Helper()
	u, err := url.Parse(e.URL + "/token?tenant=canaryquery")
	if err != nil {
		t.Fatal(err)
	}
	client, err := attempt.NewHTTPClient(attempt.Options{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{URL: u, ClientID: testID, ClientSecret: testSecret, Client: client}
	if set != nil {
		set(&o)
	}
	return New(o)
}

// numbered gives token-1, token-2 and so on, with what else is to stand in the answer.
func numbered(more string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer"%s}`, n.Add(1), more)
	}
}

// get asks for a value, which must come.
func get(t *testing.T, s *Source) string {
	t.Helper()
	value, err := s.Authorization(t.Context(), time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Many attempts cost one request, and so does a token that never ends.
func TestOneForMany(t *testing.T) {
	held := make(chan struct{})
	give := numbered("")
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		<-held
		give(w, r)
	})
	s := e.source(t, nil)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			value, err := s.Authorization(t.Context(), time.Now().Add(10*time.Second))
			if err != nil || value != "Bearer token-1" {
				t.Errorf("%q, %v", value, err)
			}
		})
	}
	close(held)
	all.Wait()
	if n := e.asked.Load(); n != 1 {
		t.Errorf("%d requests for 100 attempts", n)
	}
}

// The request is what RFC 6749 §4.4.2 wants.
func TestRequest(t *testing.T) {
	var got string
	give := numbered("")
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		id, secret, _ := r.BasicAuth()
		got = fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", id, " ", secret, " ",
			r.PostForm.Encode())
		give(w, r)
	})
	get(t, e.source(t, func(o *Options) {
		o.Scopes, o.Params = []string{"a", "b"}, map[string]string{"audience": "https://x/"}
	}))
	want := "POST /token?tenant=canaryquery application/x-www-form-urlencoded " +
		url.QueryEscape(testID) + " " + url.QueryEscape(testSecret) +
		" audience=https%3A%2F%2Fx%2F&grant_type=client_credentials&scope=a+b"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A server that wants the secret in the body gets it there, is not asked in the other way again, and
// is asked in both once it says no.
func TestSecretInBody(t *testing.T) {
	give := numbered(`,"expires_in":1`)
	var basic, body atomic.Int64
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok {
			basic.Add(1)
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		body.Add(1)
		if r.PostFormValue("client_id") != testID || r.PostFormValue("client_secret") != testSecret {
			t.Errorf("the body has %q", r.PostForm)
		}
		give(w, r)
	})
	s := e.source(t, nil)
	now := time.Now()
	s.now = func() time.Time { return now }
	for i := range 3 {
		if got := get(t, s); got != fmt.Sprintf("Bearer token-%d", i+1) {
			t.Errorf("got %q", got)
		}
		now = now.Add(time.Hour)
	}
	if basic.Load() != 1 || body.Load() != 3 {
		t.Errorf("%d with Basic auth, %d in the body", basic.Load(), body.Load())
	}
}

// A token is renewed a minute before it ends, by one attempt, and one that still lives bridges a
// failure.
func TestRenewal(t *testing.T) {
	e := newEndpoint(t, numbered(`,"expires_in":"600"`))
	s := e.source(t, nil)
	now := time.Now()
	s.now = func() time.Time { return now }
	want := func(token string, asked int64) {
		t.Helper()
		if got := get(t, s); got != "Bearer "+token || e.asked.Load() != asked {
			t.Errorf("got %q after %d requests; want %s, %d", got, e.asked.Load(), token, asked)
		}
	}
	want("token-1", 1)
	now = now.Add(538 * time.Second)
	want("token-1", 1)
	working := e.answer.Load()
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	e.answer.Store(&broken)
	now = now.Add(3 * time.Second)
	want("token-1", 2) // it failed
	want("token-1", 2) // and is not asked again at once
	e.answer.Store(working)
	now = now.Add(2 * time.Second)
	want("token-2", 3)
	e.answer.Store(&broken)
	now = now.Add(601 * time.Second)
	if value, err := s.Authorization(t.Context(), time.Now().Add(time.Second)); err == nil {
		t.Errorf("an old token is given: %q", value)
	}
}

// Lives that make no sense do not end in a request for each attempt.
func TestLife(t *testing.T) {
	f := func(more string, renewed time.Duration) {
		t.Helper()
		e := newEndpoint(t, numbered(more))
		s := e.source(t, nil)
		now := time.Now()
		s.now = func() time.Time { return now }
		get(t, s)
		get(t, s)
		if n := e.asked.Load(); n != 1 {
			t.Errorf("%s: %d requests for two attempts at once", more, n)
		}
		if renewed == 0 {
			now = now.Add(1000 * time.Hour)
			get(t, s)
			if n := e.asked.Load(); n != 1 {
				t.Errorf("%s: %d requests in 1000 hours", more, n)
			}
			return
		}
		now = now.Add(renewed - 200*time.Millisecond)
		get(t, s)
		before := e.asked.Load()
		now = now.Add(400 * time.Millisecond)
		get(t, s)
		if before != 1 || e.asked.Load() != 2 {
			t.Errorf("%s: %d requests, then %d; want one, and one more after %s", more, before,
				e.asked.Load(), renewed)
		}
	}
	f("", 0)
	f(`,"expires_in":0`, 0)
	f(`,"expires_in":null`, 0)
	f(`,"expires_in":3600`, 59*time.Minute)
	f(`,"expires_in":60`, 30*time.Second)
	f(`,"expires_in":1`, 500*time.Millisecond)
	f(`,"expires_in":-5`, 500*time.Millisecond)
}

// A 401 costs one token. One that is refused at once is kept for a minute; 403 costs none; and what
// is said of a token of before means nothing.
func TestRefused(t *testing.T) {
	e := newEndpoint(t, numbered(""))
	s := e.source(t, nil)
	now := time.Now()
	s.now = func() time.Time { return now }
	f := func(value string, status int, want string) {
		t.Helper()
		s.Refused(value, status)
		if got := get(t, s); got != "Bearer "+want {
			t.Errorf("%q was refused with %d, and %q follows; want %s", value, status, got, want)
		}
	}
	first := get(t, s)
	f(first, 403, "token-1")
	f(first, 401, "token-2")
	f(first, 401, "token-2")
	f("Bearer token-2", 401, "token-2")
	now = now.Add(59 * time.Second)
	f("Bearer token-2", 401, "token-2")
	now = now.Add(time.Second)
	f("Bearer token-2", 401, "token-3")
	secrets := strings.Join(s.Secrets(), " ")
	for _, secret := range []string{"token-2", "token-3", testSecret, url.QueryEscape(testSecret)} {
		if !strings.Contains(secrets, secret) {
			t.Errorf("%q is not among what is hidden", secret)
		}
	}
}

// While the server says no it is asked after 1, 2, 4, 8 and 8 seconds, and in both ways, and every
// attempt meanwhile hears why.
func TestFailurePause(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	s := e.source(t, nil)
	now := time.Now()
	s.now = func() time.Time { return now }
	for i, pause := range []time.Duration{1, 2, 4, 8, 8} {
		for _, at := range []time.Duration{0, pause*time.Second - 1} {
			if _, err := s.Authorization(t.Context(), time.Now().Add(time.Second)); err == nil ||
				!strings.Contains(err.Error(), "503 Service Unavailable") {
				t.Errorf("%v", err)
			}
			if at == 0 {
				now = now.Add(pause*time.Second - 1)
			}
		}
		now = now.Add(1)
		if n := e.asked.Load(); n != int64(i+1) {
			t.Errorf("%d requests after %d pauses", n, i)
		}
	}
}

// faults is every bad answer that we thought of, and what is said of it.
func faults() map[string]struct {
	answer http.HandlerFunc
	want   string
} {
	type row = struct {
		answer http.HandlerFunc
		want   string
	}
	say := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const json = "application/json"
	return map[string]row{
		"html":          {say(200, "text/html", "<h1>Log in</h1>"), `answered 200 OK with "text/html" that is no token`},
		"html refusal":  {say(500, "text/html", "<h1>Oh</h1>"), `answered 500 Internal Server Error`},
		"nothing":       {say(200, "", ""), `answered 200 OK with`},
		"no token":      {say(200, json, `{"token_type":"bearer"}`), `with "application/json" that is no token`},
		"empty token":   {say(200, json, `{"access_token":""}`), `that is no token`},
		"garbage life":  {say(200, json, `{"access_token":"abcdefgh","expires_in":"soon"}`), `that is no token`},
		"half":          {say(200, json, `{"access_token":"abc`), `that is no token`},
		"huge":          {say(200, json, `{"access_token":"`+strings.Repeat("x", 1<<20)+`"}`), `that is no token`},
		"large":         {say(200, json, `{"access_token":"`+strings.Repeat("x", 20<<10)+`"}`), `gave a token of 20480 bytes`},
		"lines":         {say(200, json, `{"access_token":"abcdefgh\r\nX: y"}`), `gave a token with characters`},
		"mac":           {say(200, json, `{"access_token":"abcdefgh","token_type":"mac"}`), `gave a token of type "mac"`},
		"redirect":      {say(302, "text/html", ""), `answered 302 Found; redirects are not followed`},
		"no":            {say(401, json, `{"error":"invalid_client","error_description":"expired"}`), `answered 401 Unauthorized: "invalid_client", "expired"`},
		"no with 200":   {say(200, json, `{"error":"invalid_scope"}`), `answered 200 OK: "invalid_scope"`},
		"echo":          {say(400, json, `{"error":"x","error_description":"`+strings.Repeat("y", 100)+testSecret+`"}`), `<redacted>`},
		"echo as form":  {say(400, json, `{"error":"x","error_description":"client_secret=`+url.QueryEscape(testSecret)+`"}`), `<redacted>`},
		"echo as Basic": {say(400, json, `{"error":"`+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(testID)+":"+url.QueryEscape(testSecret)))+`"}`), `<redacted>`},
		"slam": {func(w http.ResponseWriter, _ *http.Request) {
			nc, _, _ := w.(http.Hijacker).Hijack()
			nc.Close()
		}, `closed the connection`},
		"not HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			nc, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(nc, "SSH-2.0-x\r\n")
			nc.Close()
		}, `was not heard: `},
		"hang": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			`did not answer in time`},
		"hang in the middle": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", json)
			fmt.Fprint(w, `{"access_token":"`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, `did not answer in time`},
	}
}

// Every bad answer is an error in a line, in time, without a secret or the query of the URL.
func TestFaults(t *testing.T) {
	for name, row := range faults() {
		e := newEndpoint(t, row.answer)
		s := e.source(t, nil)
		began := time.Now()
		within := time.Minute
		if row.want == "did not answer in time" {
			within = 300 * time.Millisecond
		}
		value, err := s.Authorization(t.Context(), began.Add(within))
		took := time.Since(began)
		e.CloseClientConnections()
		if value != "" || err == nil || !strings.Contains(err.Error(), row.want) || took > 30*time.Second {
			t.Errorf("%s: %q, %v after %s; want %q", name, value, err, took, row.want)
			continue
		}
		text := err.Error()
		for _, secret := range []string{testSecret, "hunter2", "canaryquery", "\n", "abcdefgh"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q: %s", name, secret, text)
			}
		}
		if !strings.HasPrefix(text, s.asker.host()+" ") {
			t.Errorf("%s does not say who: %s", name, text)
		}
	}
}

// Both refusals are told where they differ: one of them is why.
func TestBothRefusals(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(401)
		if _, _, ok := r.BasicAuth(); ok {
			fmt.Fprint(w, `{"error":"no_basic"}`)
			return
		}
		fmt.Fprint(w, `{"error":"bad_secret"}`)
	})
	_, err := e.source(t, nil).Authorization(t.Context(), time.Now().Add(time.Second))
	if err == nil || !strings.Contains(err.Error(), `401 Unauthorized: "no_basic"; asked with the secret in `+
		`the body: answered 401 Unauthorized: "bad_secret"`) {
		t.Errorf("%v", err)
	}
}

// Nobody there, an address that the rules refuse, a want of ours.
func TestNotHeard(t *testing.T) {
	f := func(rawURL string, want string) {
		t.Helper()
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		client, err := attempt.NewHTTPClient(attempt.Options{URL: u, Resolver: inward{}})
		if err != nil {
			t.Fatal(err)
		}
		s := New(Options{URL: u, ClientID: testID, ClientSecret: testSecret, Client: client})
		if _, err := s.Authorization(t.Context(), time.Now().Add(5*time.Second)); err == nil ||
			!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q", rawURL, err, want)
		}
	}
	f("http://127.0.0.1:1/t?secret=1", "cannot connect to 127.0.0.1: 127.0.0.1:1: ")
	f("http://169.254.169.254/t", "address rules refuse 169.254.169.254")
	f("https://auth.example.com/t", "address rules refuse 127.0.0.1")
	want := &failure{"x", &url.Error{Op: "Post", URL: "x", Err: os.NewSyscallError("socket", syscall.EMFILE)}}
	if !errors.Is(want, syscall.EMFILE) {
		t.Error("a want of this machine's is not to be told from the server's fault")
	}
}

// inward resolves every name to this machine.
type inward struct{}

func (inward) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// An attempt that is cut off while it asks teaches nothing, and one that waited asks instead.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 2)
		s := New(Options{URL: &url.URL{Scheme: "http", Host: "auth"}, ClientID: testID,
			ClientSecret: testSecret, Client: &http.Client{Transport: roundTrip(
				func(req *http.Request) (*http.Response, error) {
					asked <- struct{}{}
					if len(asked) == 1 {
						<-req.Context().Done()
						return nil, req.Context().Err()
					}
					w := httptest.NewRecorder()
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprint(w, `{"access_token":"token-2"}`)
					return w.Result(), nil
				})}})
		ctx, cut := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() {
			if value, err := s.Authorization(ctx, time.Now().Add(time.Minute)); err == nil {
				t.Errorf("the one that was cut off got %q", value)
			}
		})
		synctest.Wait()
		both.Go(func() {
			if value, err := s.Authorization(t.Context(), time.Now().Add(time.Minute)); err != nil ||
				value != "Bearer token-2" {
				t.Errorf("the one that waited got %q, %v", value, err)
			}
		})
		synctest.Wait()
		cut()
		both.Wait()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// However it is printed, no secret shows.
func TestPrinted(t *testing.T) {
	e := newEndpoint(t, numbered(""))
	s := e.source(t, nil)
	get(t, s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, s); strings.Contains(text, "hunter2") ||
			strings.Contains(text, "token-1") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// A token that is there costs an attempt nothing but a lock.
func TestFreshIsFree(t *testing.T) {
	s := newEndpoint(t, numbered("")).source(t, nil)
	get(t, s)
	deadline := time.Now().Add(time.Minute)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Authorization(t.Context(), deadline); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations for a token that is there", n)
	}
}
