package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/framing"
)

// said is one answer as a caller hears it: its status, and of a refusal the code and the detail.
// What holds of every answer is checked: the headers, the length, that a refusal is a problem, and
// that nobody is sent elsewhere.
func said(a *http.Response) (string, error) {
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return "", fmt.Errorf("%d breaks off: %w", a.StatusCode, err)
	}
	if a.StatusCode == http.StatusContinue {
		return "100", nil
	}
	h := a.Header
	if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" ||
		h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" ||
		h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") == "" ||
		h.Get("Date") == "" || h.Get("Server") != "" || h.Get("Location") != "" {
		return "", fmt.Errorf("%d has the headers %v", a.StatusCode, h)
	}
	if a.StatusCode < 400 || a.Request.Method == http.MethodHead {
		return fmt.Sprint(a.StatusCode), nil
	}
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Status != a.StatusCode || p.Code == "" ||
		h.Get("Content-Type") != problemJSON || a.ContentLength != int64(len(body)) {
		return "", fmt.Errorf("%d is no problem: %q", a.StatusCode, body)
	}
	return fmt.Sprint(p.Status, " ", p.Code, ": ", p.Detail), nil
}

// converse writes raw, ends its side, and returns all that is said.
func (f *fixture) converse(raw string) []string {
	f.Helper()
	c := f.open("")
	go func() {
		_, _ = io.WriteString(c, raw) // the other side may be done before all is written
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	method, _, _ := strings.Cut(raw, " ")
	var all []string
	for in := bufio.NewReader(c); ; method = http.MethodGet {
		a, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
				f.Errorf("%.60q: the connection stays", raw)
			}
			return all
		}
		text, err := said(a)
		if err != nil {
			f.Errorf("%.60q: %v", raw, err)
		}
		all = append(all, text)
	}
}

const (
	here = "Host: 127.0.0.1\r\n"
	// after shows whether a connection goes on.
	after = "GET /livez HTTP/1.1\r\n" + here + "\r\n"
)

// says wants these answers to raw; one that ends in "…" may go on. A last one of "200" is for what
// follows raw on the connection, and so is nothing where none is wanted.
func (f *fixture) says(raw string, want ...string) {
	f.Helper()
	got := f.converse(raw + after)
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		begin, open := strings.CutSuffix(want[i], "…")
		same = same && (got[i] == want[i] || open && strings.HasPrefix(got[i], begin))
	}
	if !same {
		f.Errorf("%.80q is answered %q, want %q", raw, got, want)
	}
}

// Every path is taken as it is written: nothing is cleaned, decoded or redirected before it is
// compared, and the library's mux says nothing of its own.
func TestWirePaths(t *testing.T) {
	f := newFixture(t)
	const missing, unread = "404 not_found: there is nothing at …", "400 malformed: the request cannot …"
	get := func(target string, want ...string) {
		t.Helper()
		f.says("GET "+target+" HTTP/1.1\r\n"+here+"\r\n", want...)
	}
	for _, target := range []string{"//", "//livez", "//v1/status", "/v1//status", "/v1/../livez",
		"/../livez", "/./livez", "/livez/", "/v1/status/", "/v1", "/v1/", "/v1/targets/crm/",
		"/v1/targets/..", "/v1/events/.", "/v1/targets/../status", "/v1/targets//attempts",
		"/v1%2Fstatus", "/%761/status", "/v1/target%73", "/%2e%2e/livez", "/%6Civez", "/console%2Ejs",
		"/index.html", "/v1/status#x", "//evil.example/livez", "*", "/\xff"} {
		get(target, missing, "200")
	}
	for _, target := range []string{"livez", "/v1/events/%zz", "/v1/events/%", "/v1/events/a b",
		"/v1/events/a\x01b", "?x", "", " /livez"} {
		get(target, unread)
	}
	get("/", "200", "200")
	get("/?x=1;%zz", "200", "200")
	get("http://127.0.0.1", "200", "200")
	get("http://127.0.0.1:1/livez", "200", "200")
	get("http://evil.example/livez", "421 misdirected: …", "200")
	get("/healthz?x=%zz&verbose", "200", "200")
	get("/v1/status?", "200", "200")
	get("/v1/status?&&", "200", "200")
	get("/v1/status?=x", `400 malformed: "" is not a parameter of this call`, "200")
	get("/v1/status?y;x=1", `400 malformed: "y;x" is not a parameter of this call`, "200")
	for path, want := range map[string]string{"%2e%2e": "..", "a%2Fb": "a/b", "a%252Fb": "a%2Fb",
		"a+b": "a+b", "a;b": "a;b", "%00": "\x00", "a%0d%0ab": "a\r\nb", "\xc3\xa9": "é",
		"a:b@c,d=e&f$!*'()": "a:b@c,d=e&f$!*'()", "[x]{y}|^`\"<>": "[x]{y}|^`\"<>", "a\\b": "a\\b",
		"%2F": "/", "\xc3\xa9%2F{": "é/{"} {
		f.backend.asked = nil
		get("/v1/events/"+path, "200", "200")
		if got := strings.Join(f.backend.asked, "|"); got != "event "+want {
			t.Errorf("%q asks for %q", path, got)
		}
	}
	for query, want := range map[string]string{"a;b": "a;b", "50%": "50%", "%zz": "%zz",
		"a+b%20c": "a b c", "a&type=b": "a", "\xc3\xa9": "é", "\"<>": "\"<>"} {
		get("/v1/deliveries?type="+query, "200", "200")
		if f.backend.query.Type != want {
			t.Errorf("%q asks for the type %q", query, f.backend.query.Type)
		}
	}
}

// A request is of a method, a version and a host that are known, or it is refused in our words.
func TestWireRequestLines(t *testing.T) {
	f := newFixture(t)
	const unread, only = "400 malformed: the request cannot …", " is not allowed here; GET or HEAD is"
	line := func(line string, want ...string) {
		t.Helper()
		f.says(line+"\r\n"+here+"\r\n", want...)
	}
	for _, method := range []string{"OPTIONS", "TRACE", "CONNECT", "DELETE", "get", "FOO"} {
		line(method+" /livez HTTP/1.1", "405 method_not_allowed: "+method+only, "200")
	}
	line("PUT /v1/reload HTTP/1.1", "405 method_not_allowed: PUT is not allowed here; POST is", "200")
	line("OPTIONS * HTTP/1.1", `404 not_found: there is nothing at "*"`, "200")
	line("CONNECT 127.0.0.1:80 HTTP/1.1", `404 not_found: there is nothing at "127.0.0.1:80"`, "200")
	for _, target := range []string{"/", "/livez", "/v1/status", "/metrics", "/v1/stream",
		"/openapi.json"} {
		line("HEAD "+target+" HTTP/1.1", "200", "200")
	}
	line("HEAD /nothing HTTP/1.1", "404", "200")
	line("HEAD /v1/reload HTTP/1.1", "405", "200")
	line("GET /livez HTTP/1.0", "200")
	line("GET /livez HTTP/1.7", "200", "200")
	for _, version := range []string{"HTTP/2.0", "HTTP/0.9", "HTTP/9.9"} {
		line("GET /livez "+version, "505 malformed: the request is "+version+"; …")
	}
	f.says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 malformed: …")
	for _, bad := range []string{"GET /livez", "GET /livez http/1.1", "GET /livez HTTP/1.1x", "GET",
		"GET ", "G@T /livez HTTP/1.1", "G\x00T /livez HTTP/1.1", "GET /livez  HTTP/1.1", "garbage"} {
		line(bad, unread)
	}
	f.says("\x16\x03\x01", "400 malformed: the request is TLS; …")
	f.says("{", "400 malformed: the request does not begin with a method")
	f.says("GET /livez HTTP/1.1\r\n\r\n", unread) // no Host
	f.says("GET /livez HTTP/1.0\r\n\r\n", "421 misdirected: …")
	f.says("GET /livez HTTP/1.1\r\nHost:\r\n\r\n", "421 misdirected: …", "200")
	for _, host := range []string{"a b", "127.0.0.1/x", "user@127.0.0.1",
		"127.0.0.1\r\nHost: 127.0.0.1"} {
		f.says("GET /livez HTTP/1.1\r\nHost: "+host+"\r\n\r\n", unread)
	}
	f.says("GET http://127.0.0.1/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", "200", "200")
	f.says("GET http://evil.example/livez HTTP/1.1\r\n"+here+"\r\n", "421 misdirected: …", "200")
	// HTTP/2 is not spoken, nor anything else that a request offers.
	f.says("GET /livez HTTP/1.1\r\n"+here+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"+
		"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200", "200")
	f.says("GET /livez HTTP/1.1\r\n"+here+"Connection: x, Close\r\n\r\n", "200")
	f.says("GET /livez HTTP/1.0\r\n"+here+"Connection: keep-alive\r\n\r\n", "200", "200")
}

// Fields, bodies and expectations.
func TestWireFields(t *testing.T) {
	f := newFixture(t)
	const unread = "400 malformed: the request cannot …"
	field := func(field string, want ...string) {
		t.Helper()
		f.says("GET /livez HTTP/1.1\r\n"+here+field+"\r\n\r\n", want...)
	}
	field("X: a\xffb", "200", "200")
	field("X:", "200", "200")
	field("Range: bytes=0-1\r\nIf-None-Match: *\r\nAccept-Encoding: gzip", "200", "200")
	for _, value := range []string{"a\x00b", "a\rb", "a\x7fb", "a\x1bb"} {
		field("X: "+value, unread)
	}
	field("X: a\r\n b", "400 malformed: a line of the head is folded")
	field("a b: c", "400 malformed: the name of a header …")
	field("X: a\nY: b", "400 malformed: a line does not end in CR LF")
	post := func(path, fields, body string, want ...string) {
		t.Helper()
		f.says("POST "+path+" HTTP/1.1\r\n"+here+fields+"\r\n"+body, want...)
	}
	const reload, te = "/v1/reload", "Transfer-Encoding: chunked\r\n"
	post(reload, "", "", "200", "200")
	post(reload, te, "2\r\n{}\r\n0\r\nX: y\r\n\r\n", "200", "200")
	post(reload, te, "zz\r\n", "400 malformed: the size of a chunk …")
	post(reload, te, "2\r\n{}x\r\n", "400 malformed: a chunk is longer …")
	post("/nothing", te, "zz\r\n", "404 not_found: …")
	post(reload, "Content-Length: 2\r\n"+te, "0\r\n\r\n", "400 malformed: the request has Content…")
	post(reload, "Transfer-Encoding: gzip, chunked\r\n", "", "400 malformed: the request has a …")
	large := strings.Repeat("x", 1<<20)
	sized := fmt.Sprintf("Content-Length: %d\r\n", len(large))
	post(reload, sized, large, "413 too_large: a body has 16384 bytes …", "200")
	post("/nothing", sized, large, "404 not_found: …", "200")
	f.says("GET /livez HTTP/1.1\r\n"+here+sized+"\r\n"+large, "200", "200")
	const endless = "Content-Length: 99999999\r\n"
	post(reload, endless, "", "413 too_large: a body has 16777216 bytes …")
	post("/nothing", endless, "", "404 not_found: …")
	// Nobody is told to send a body that is refused.
	const expect = "Expect: 100-continue\r\nContent-Length: 2\r\n"
	post(reload, expect, "{}", "100", "200", "200")
	post(reload, "Expect: 100-CONTINUE\r\nContent-Length: 2\r\n", "{}", "100", "200", "200")
	post(reload, "Expect: 100-continue\r\n", "", "200", "200")
	post("/nothing", expect, "", "404 not_found: …")
	post(reload, "Expect: 100-continue\r\n"+sized, "", "413 too_large: …")
	post(reload, "Expect: more\r\nContent-Length: 2\r\n", "{}", "417 malformed: of the expectations …")
	f.says("POST /v1/reload HTTP/1.0\r\n"+here+expect+"\r\n{}", "200")
	f.token = "secret"
	post(importPath, expect, "", "401 unauthorized: …")
}

// A refusal that needs no more of a request does not wait for more.
func TestWireRefusesAtOnce(t *testing.T) {
	f := newFixture(t)
	const head = "POST /v1/reload HTTP/1.1\r\n" + here
	for raw, want := range map[string]int{
		head + "Content-Length: 99999999\r\n\r\n":                                413,
		"POST /nothing HTTP/1.1\r\nContent-Length: 99999999\r\n" + here + "\r\n": 404,
		head + "Content-Length: 20000\r\nExpect: 100-continue\r\n\r\n":           413,
		head + "Transfer-Encoding: chunked\r\n\r\nz":                             400,
		head + "a b: c\r\n":           400,
		"{":                           400,
		after + "{":                   400,
		"GET /livez HTTP/2.0\r\n":     505,
		"GET /livez HTTP/1.1\n":       400,
		head + "Expect: more\r\n\r\n": 417,
	} {
		c := f.open(raw)
		c.SetDeadline(time.Now().Add(readTimeout / 2))
		in := bufio.NewReader(c)
		a, err := http.ReadResponse(in, nil)
		if err == nil && strings.HasPrefix(raw, after) {
			_, _ = io.Copy(io.Discard, a.Body)
			a, err = http.ReadResponse(in, nil)
		}
		if err != nil || a.StatusCode != want {
			t.Errorf("%q: %v, %v; want %d", raw, a, err, want)
		}
	}
}

// What is wrong with a request is said although others were answered before it, whatever of it has
// come, and whether the library would have said something or nothing.
func TestWireSecondRequests(t *testing.T) {
	f := newFixture(t)
	f.says(after, "200", "200")
	f.says(after+"{", "200", "400 malformed: the request does not begin with a method")
	f.says(after+"\x16", "200", "400 malformed: the request is TLS; …")
	f.says(after+"\n", "200", "400 malformed: a line does not end in CR LF")
	f.says(after+"G@", "200", "400 malformed: the request cannot be read")
	f.says(after+"GET /livez HTTP/2.0\r\n", "200", "505 malformed: …")
	f.says(after+"GET /livez HTTP/1.1\r\n a: b\r\n", "200", "400 malformed: a line of the …")
	f.says("POST /v1/reload HTTP/1.1\r\n"+here+"\r\n\r\n", "200", "200") // RFC 9112 §2.2
	for _, cut := range []string{"G", "GET", "GET /livez HTTP/1.1\r\n", after[:len(after)-2]} {
		for before, answers := range map[string]int{"": 0, after: 1, after + after: 2} {
			got := f.converse(before + cut)
			if len(got) != answers+1 || got[answers] != "400 malformed: the request cannot be read" {
				t.Errorf("%q after %d answers: %q", cut, answers, got)
			}
		}
	}
	if got := f.converse(""); len(got) > 0 {
		t.Errorf("silence is answered %q", got)
	}
	if got := f.converse(after); len(got) != 1 {
		t.Errorf("silence after an answer is answered %q", got)
	}
	got := f.converse("POST " + importPath + " HTTP/1.1\r\n" + here + "Content-Length: 9\r\n\r\nhalf")
	if len(got) != 1 || got[0] != "400 malformed: the body is cut off" {
		t.Errorf("half a body is answered %q", got)
	}
}

// The bound of a head is exact on the first request of a connection and on the later ones, of which
// the library may have read some already.
func TestWireHeadBound(t *testing.T) {
	f := newFixture(t)
	head := func(bytes int) string {
		const begin = "GET /livez HTTP/1.1\r\n" + here + "X: "
		return begin + strings.Repeat("x", bytes-len(begin)-4) + "\r\n\r\n"
	}
	for _, before := range []string{"", after, after + after} {
		n := strings.Count(before, here)
		c := f.open(before + head(framing.HeadBytesMax) + head(framing.HeadBytesMax+1))
		in := bufio.NewReader(c)
		for i := range n + 2 {
			a, err := http.ReadResponse(in, nil)
			want := 200
			if i == n+1 {
				want = 431
			}
			if err != nil || a.StatusCode != want {
				t.Fatalf("answer %d after %d: %v, %v", i, n, a, err)
			}
			_, _ = io.Copy(io.Discard, a.Body)
		}
	}
}

// timedOut is what a connection reads when its deadline has passed.
type timedOut struct{ net.Conn }

func (timedOut) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Err: context.DeadlineExceeded}
}

// What has begun and does not come to its end is answered when its time is up; a connection on
// which nothing has come was opened in advance, and is closed silently.
func TestWireTimeout(t *testing.T) {
	f := func(came string, served int, want string) {
		t.Helper()
		ours, theirs := net.Pipe()
		heard := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(ours)
			heard <- all
		}()
		w := &wire{}
		w.Conn = theirs
		b := make([]byte, 1<<10)
		if came != "" {
			if _, err := w.guardFrom(came, b); err != nil {
				t.Fatal(err)
			}
		}
		for range served {
			w.handles()
			w.answered()
		}
		w.Conn = timedOut{theirs}
		if _, err := w.Read(b); err == nil {
			t.Fatal("no error")
		}
		w.leave()
		w.leave()
		theirs.Close()
		all := <-heard
		got := ""
		if len(all) > 0 {
			a, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), &http.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err = said(a); err != nil || !a.Close {
				t.Errorf("%q: %v, close %v", came, err, a.Close)
			}
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q after %d answers: %q, want %q", came, served, got, want)
		}
	}
	const slow = "408 timeout: the request did not arrive within 10s"
	f("", 0, "")
	f("G", 0, slow)
	f("GET /livez HTTP/1.1\r\n", 0, slow)
	f(after[:len(after)-1], 0, slow)
	f(after, 1, "")
	f(after+"G", 1, slow)
	f(after+after[:30], 1, slow)
}

// guardFrom lets the wire read text.
func (w *wire) guardFrom(text string, b []byte) (int, error) {
	inner := w.Conn
	defer func() { w.Conn = inner }()
	w.Conn = spoken{inner, strings.NewReader(text)}
	return w.Read(b)
}

// spoken is a connection on which something has come.
type spoken struct {
	net.Conn
	text io.Reader
}

func (s spoken) Read(b []byte) (int, error) { return s.text.Read(b) }

// patientConn wants every write to have the time of a whole answer, of a refusal at the least.
type patientConn struct {
	net.Conn
	until  atomic.Pointer[time.Time]
	hasty  *atomic.Int64
	writes *atomic.Int64
}

func (p *patientConn) SetWriteDeadline(at time.Time) error {
	p.until.Store(&at)
	return p.Conn.SetWriteDeadline(at)
}

func (p *patientConn) Write(b []byte) (int, error) {
	p.writes.Add(1)
	until := p.until.Load()
	if left := time.Duration(0); until != nil {
		left = time.Until(*until)
		if refused := bytes.HasPrefix(b, []byte("HTTP/1.1 400")); left > writeTimeout ||
			left < writeTimeout-2*time.Second && !refused || left < refusalTimeout/2 {
			until = nil
		}
	}
	if until == nil {
		p.hasty.Add(1)
	}
	return p.Conn.Write(b)
}

// patientListener gives connections of that kind.
type patientListener struct {
	net.Listener
	hasty, writes atomic.Int64
}

func (l *patientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: c, hasty: &l.hasty, writes: &l.writes}, nil
}

// Every write has a deadline, and each of a stream one of its own: a long answer may take as long
// as it likes while it goes on, and a caller that does not read is given up.
func TestWireDeadlines(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &patientListener{Listener: inner}
	f := serveOn(t, ln, &http.Client{})
	f.ok(f.ask("GET", "/"), "")
	f.ok(f.ask("GET", "/openapi.json"), "")
	f.ok(f.ask("GET", "/metrics"), "")
	f.problem(f.ask("GET", "/nothing"), 404, codeNotFound)
	f.ok(f.ask("POST", "/v1/spool/export?progress=true"), "")
	f.ok(f.askBody("POST", importPath, "x", "Expect: 100-continue"), "")
	f.says("{", "400 malformed: …")
	f.says(after+"G@", "200", "400 malformed: …")
	stream := f.listen()
	for range 11 { // the first pulse has five, each of three more has two
		stream.next(t)
	}
	if n := ln.writes.Load(); n < 12 || ln.hasty.Load() > 0 {
		t.Errorf("%d of %d writes have another time than an answer", ln.hasty.Load(), n)
	}
}

// The head of a stream leaves before its work has written anything.
func TestStreamBegins(t *testing.T) {
	goOn := make(chan struct{})
	ask, stop, _ := serveCareful(t, &careful{backup: func(_ context.Context, w io.Writer) error {
		<-goOn
		_, err := io.WriteString(w, "whole")
		return err
	}})
	c := ask()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	close(goOn)
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("%v, %v", a, err)
	}
	if body, err := io.ReadAll(a.Body); err != nil || string(body) != "whole" {
		t.Errorf("%q, %v", body, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Connections that have no request at hand do not hold up a relay that stops, and a request that is
// at hand is answered.
func TestShutdownAmongTheSilent(t *testing.T) {
	f := newFixture(t)
	f.backend.wait, f.backend.entered = make(chan struct{}), make(chan struct{}, 1)
	goOn := sync.OnceFunc(func() { close(f.backend.wait) })
	defer goOn()
	for _, text := range []string{"", "GET /li", after, after + "GET"} {
		c := f.open(text)
		if strings.HasPrefix(text, after) {
			if a, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || a.StatusCode != 200 {
				t.Fatal(a, err)
			}
		}
	}
	f.until("all", func(c *crowd) bool {
		begun := 0
		for at := c.waiting.Front(); at != nil; at = at.Next() {
			begun += int(at.Value.(*conn).begun.Load())
		}
		return c.waiting.Len() == 4 && begun == 4
	})
	answered := make(chan int)
	go func() { answered <- f.askBody("POST", "/v1/explain", "{}").StatusCode }()
	<-f.backend.entered
	// The library gives a connection on which nothing has come 5 s.
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- f.server.Shutdown(ctx) }()
	f.until("the silent to go", func(c *crowd) bool { return c.waiting.Len() == 0 })
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the request at hand: %v", err)
	default:
	}
	goOn()
	if status := <-answered; status != 200 {
		t.Errorf("the request at hand is answered %d", status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
