package receiver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/signature"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// fixture is a receiver that serves on port 0 until the test ends.
type fixture struct {
	t   *testing.T
	r   *Receiver
	url string
	out *screen
}

// screen is an output that may be read while it is written.
type screen struct {
	mu     sync.Mutex // guards what follows
	text   bytes.Buffer
	writes int
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func start(t *testing.T, options Options) *fixture {
	t.Helper()
	out := &screen{}
	if options.Out == nil {
		options.Out = out
	}
	f := serve(t, New(options))
	f.out = out
	return f
}

func serve(t *testing.T, r *Receiver) *fixture {
	t.Helper()
	f := &fixture{t: t, r: r}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + ln.Addr().String() + "/"
	served := make(chan error, 1) // The one result of the one goroutine below.
	go func() { served <- f.r.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := f.r.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %s", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %s", err)
		}
	})
	return f
}

// post sends one event and returns the answer with its body read.
func (f *fixture) post(body string, headers ...string) (*http.Response, string) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(answer)
}

func (f *fixture) wantStatus(want int, headers ...string) {
	f.t.Helper()
	if resp, _ := f.post("{}", headers...); resp.StatusCode != want {
		f.t.Errorf("answered %d, want %d", resp.StatusCode, want)
	}
}

func (f *fixture) wantCounters(want Counters) {
	f.t.Helper()
	if got := f.r.Counters(); got != want {
		f.t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestRequest(t *testing.T) {
	got := make(chan Request, 1) // One request at a time.
	f := start(t, Options{OnRequest: func(r Request) { got <- r }})
	before := time.Now()
	resp, answer := f.post("\x00raw\xff", "webhook-id", "evt_1", "webhook-event-type", "message",
		"webhook-session", "active", "webhook-attempt", "7", "webhook-replay", "true",
		"X-Many", "a", "X-Many", "b", "Content-Type", "application/octet-stream")
	if resp.StatusCode != 200 || answer != "received\n" {
		t.Errorf("answered %d %q", resp.StatusCode, answer)
	}
	r := <-got
	if r.ID != "evt_1" || r.Type != "message" || r.Session != "active" || r.Attempt != 7 ||
		!r.Replay || r.Sample || r.Duplicate || r.Method != "POST" || r.Path != "/" ||
		r.Status != 200 || r.Verified != Unchecked {
		t.Errorf("got %+v", r)
	}
	if string(r.Body) != "\x00raw\xff" {
		t.Errorf("body %q", r.Body)
	}
	if r.Header["x-many"] != "a, b" || r.Header["content-type"] != "application/octet-stream" {
		t.Errorf("headers %q", r.Header)
	}
	if r.At.Before(before) || r.At.After(time.Now()) {
		t.Errorf("came at %s", r.At)
	}

	// A sample, and a request that says nothing about itself.
	f.post("", "webhook-sample", "true", "webhook-attempt", "x")
	if r = <-got; !r.Sample || r.Attempt != NoAttempt || len(r.Body) != 0 {
		t.Errorf("got %+v", r)
	}

	// A multipart body is not taken apart: its bytes are what was signed.
	body := "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n trailing"
	f.post(body, "Content-Type", "multipart/form-data; boundary=b")
	if r = <-got; string(r.Body) != body {
		t.Errorf("body %q", r.Body)
	}
	f.wantCounters(Counters{Received: 3, Answered200: 3})
}

func TestStatus(t *testing.T) {
	f := start(t, Options{RetryAfter: 1500 * time.Millisecond})
	check := func(status int, retryAfter string) {
		t.Helper()
		resp, _ := f.post("{}")
		if resp.StatusCode != status || resp.Header.Get("Retry-After") != retryAfter {
			t.Errorf("answered %d, Retry-After %q", resp.StatusCode, resp.Header["Retry-After"])
		}
	}
	check(200, "")
	f.r.SetStatus(503)
	check(503, "2")
	f.r.SetStatus(204)
	check(204, "")
	f.r.SetStatus(301)
	check(301, "2")
	f.r.SetStatus(200)
	check(200, "")
	f.r.SetFail(1)
	check(503, "2")
	f.r.SetFail(0)
	check(200, "")
	f.wantCounters(Counters{Received: 7, Answered200: 3})
}

func TestFail(t *testing.T) {
	const requests = 400
	run := func(seed uint64, share float64) string {
		t.Helper()
		f := start(t, Options{Fail: share, FailStatus: 500, Seed: seed, Out: io.Discard})
		var fates strings.Builder
		for range requests {
			resp, _ := f.post("{}")
			fates.WriteString(map[int]string{200: ".", 500: "x"}[resp.StatusCode])
		}
		return fates.String()
	}
	f := func(share float64, least, most int) {
		t.Helper()
		fates := run(1, share)
		if n := strings.Count(fates, "x"); n < least || n > most || len(fates) != requests {
			t.Errorf("share %g: %d of %d failed: %s", share, n, len(fates), fates)
		}
	}
	f(0, 0, 0)
	f(1, requests, requests)
	f(0.3, 80, 160)
	// The same seed fails the same requests; another seed, or none, others.
	seven, again, none := run(7, 0.5), run(7, 0.5), run(0, 0.5)
	if seven != again {
		t.Errorf("the same seed gave two patterns")
	}
	if seven == run(8, 0.5) || none == run(0, 0.5) {
		t.Errorf("two seeds gave the same pattern")
	}
}

func TestSignature(t *testing.T) {
	key, err := signature.ParseKey(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Request, 1) // One request at a time.
	f := start(t, Options{
		Keys: []signature.Key{key}, OnRequest: func(r Request) { got <- r },
	})
	sign := func(age time.Duration, body string) []string {
		at := time.Now().Add(-age).Unix()
		signed := signature.AppendAll(nil, []signature.Key{key}, "evt_1", at, []byte(body))
		return []string{
			"webhook-id", "evt_1", "webhook-timestamp", strconv.FormatInt(at, 10),
			"webhook-signature", string(signed),
		}
	}
	check := func(status int, want, word string, headers ...string) {
		t.Helper()
		resp, answer := f.post("{}", headers...)
		r := <-got
		if resp.StatusCode != status || r.Status != status || signatureOf(&r) != word ||
			!strings.Contains(r.Verified, want) {
			t.Errorf("answered %d, verified %q, shown %q", r.Status, r.Verified, signatureOf(&r))
		}
		if status == 401 && answer != r.Verified+"\n" {
			t.Errorf("answer %q does not say why", answer)
		}
	}
	check(200, Valid, "valid", sign(0, "{}")...)
	// Signed for another body, too long ago, from the future.
	check(401, "no matching signature", "invalid", sign(0, "[]")...)
	check(401, "timestamp outside tolerance", "invalid", sign(6*time.Minute, "{}")...)
	check(401, "timestamp outside tolerance", "invalid", sign(-6*time.Minute, "{}")...)
	// Not signed at all, and a header that is none.
	check(401, "cannot", "absent")
	check(401, "cannot", "invalid", "webhook-signature", "?", "webhook-id", "evt_1")
	// Whoever cannot be believed is told so even while everything fails.
	f.r.SetFail(1)
	check(401, "no matching signature", "invalid", sign(0, "[]")...)
	check(503, Valid, "valid", sign(0, "{}")...)
	f.wantCounters(Counters{Received: 8, Answered200: 1, Duplicates: 1})
}

func TestDuplicates(t *testing.T) {
	f := start(t, Options{})
	// A retry of what was refused is no duplicate.
	f.r.SetStatus(503)
	f.wantStatus(503, "webhook-id", "evt_1")
	f.wantStatus(503, "webhook-id", "evt_1", "webhook-attempt", "1")
	f.r.SetStatus(200)
	f.wantStatus(200, "webhook-id", "evt_1", "webhook-attempt", "2")
	f.wantCounters(Counters{Received: 3, Answered200: 1})
	// After the 200 every further one is, whatever it is answered.
	f.wantStatus(200, "webhook-id", "evt_1", "webhook-attempt", "3")
	f.r.SetStatus(500)
	f.wantStatus(500, "webhook-id", "evt_1", "webhook-attempt", "4")
	f.wantCounters(Counters{Received: 5, Answered200: 2, Duplicates: 2})
	// Another id, and none, are not.
	f.wantStatus(500, "webhook-id", "evt_2")
	f.wantStatus(500)
	f.wantStatus(500)
	f.wantCounters(Counters{Received: 8, Answered200: 2, Duplicates: 2})
}

// Of many requests with one id at once, all but one are duplicates.
func TestDuplicatesAtOnce(t *testing.T) {
	const requests = 50
	f := start(t, Options{})
	var all sync.WaitGroup
	for range requests {
		all.Go(func() { f.wantStatus(200, "webhook-id", "evt_1") })
	}
	all.Wait()
	f.wantCounters(Counters{
		Received: requests, Answered200: requests, Duplicates: requests - 1,
	})
	if n := strings.Count(f.out.String(), "duplicate"); n != requests-1 {
		t.Errorf("%d duplicates shown", n)
	}
}

func TestIDSet(t *testing.T) {
	s := newIDSet(3)
	f := func(id string, want bool) {
		t.Helper()
		if s.has(id) != want || s.add(id) != want || !s.has(id) {
			t.Errorf("%s: want %t", id, want)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		f(id, false)
		f(id, true)
	}
	// The fourth pushes out the first, and so on around the ring.
	for i := range 10 {
		f(fmt.Sprint(i), false)
		f(fmt.Sprint(i), true)
	}
	f("a", false)
	f("9", true)
	if len(s.hashes) != 3 || len(s.order) != 3 {
		t.Errorf("remembers %d hashes, %d in order", len(s.hashes), len(s.order))
	}
}

func TestMaxBody(t *testing.T) {
	f := start(t, Options{MaxBody: 10})
	if resp, _ := f.post("0123456789"); resp.StatusCode != 200 {
		t.Errorf("answered %d to 10 bytes", resp.StatusCode)
	}
	// The server may hang up before the whole body was read, so only its answer is asked for.
	if got := f.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"); got != 413 {
		t.Errorf("answered %d to 11 bytes", got)
	}
	if got := f.raw("what is this?\x1b[2J\r\n\r\n"); got != 400 {
		t.Errorf("answered %d to nonsense", got)
	}
	f.wantCounters(Counters{Received: 1, Answered200: 1})
	for _, want := range []string{"→ 413  not a request: ", "→ 400  not a request: "} {
		if !strings.Contains(f.out.String(), want) {
			t.Errorf("%q lacks %q", f.out, want)
		}
	}
	if strings.Contains(f.out.String(), "\x1b") {
		t.Errorf("%q has escapes", f.out)
	}
}

// raw writes bytes of its own and returns the status of the answer.
func (f *fixture) raw(request string) int {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(f.url, "http:"), "/"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Shutdown answers at once what would wait for an hour.
func TestLatency(t *testing.T) {
	arrived := make(chan struct{})
	r := New(Options{Latency: time.Hour})
	r.now = func() time.Time { close(arrived); return time.Now() }
	f := serve(t, r)
	answered := make(chan int, 1) // The one result of the one goroutine below.
	go func() {
		resp, _ := f.post("{}")
		answered <- resp.StatusCode
	}()
	<-arrived
	select {
	case status := <-answered:
		t.Fatalf("answered %d at once", status)
	default:
	}
	if err := f.r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("answered %d", status)
	}

	quick := start(t, Options{Latency: 20 * time.Millisecond})
	began := time.Now()
	quick.wantStatus(200)
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("answered after %s", took)
	}
}

func TestShutdown(t *testing.T) {
	// Before Serve: the listener is closed and nothing is served. Twice: the same.
	r := New(Options{})
	for range 2 {
		if err := r.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(ln); err != nil {
		t.Fatal(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}

	// At the same time as Serve: whoever comes first, Serve returns.
	for range 20 {
		r := New(Options{})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1) // The one result of the one goroutine below.
		go func() { served <- r.Serve(ln) }()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}

	// While a request hangs in OnRequest: bounded by the context.
	hang := make(chan struct{})
	arrived := make(chan struct{})
	f := start(t, Options{OnRequest: func(Request) { close(arrived); <-hang }})
	answered := make(chan struct{})
	go func() { defer close(answered); f.wantStatus(200) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.r.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	close(hang)
	<-answered
}
