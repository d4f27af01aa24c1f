package attempt

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/signature"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func mustKey(t testing.TB, secret string) signature.Key {
	t.Helper()
	k, err := signature.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rawRequest returns what one attempt writes, byte for byte.
func rawRequest(t *testing.T, o Options, r *Request) string {
	t.Helper()
	raw := make(chan string, 1)
	server := newReceiver(t, func(nc net.Conn) {
		var got bytes.Buffer
		// Everything is here once a request can be read whole; the tee keeps it.
		each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
			raw <- got.String()
			io.WriteString(nc, answer200)
			return false
		})(teeConn{nc, &got})
	})
	o.URL.Host = strings.Replace(o.URL.Host, "PORT", portOf(server), 1)
	wantKind(t, checked(t, newTestClient(t, o).Do(context.Background(), r)), Success, "")
	return strings.ReplaceAll(<-raw, ":"+portOf(server), ":PORT")
}

// teeConn keeps a copy of what is read.
type teeConn struct {
	net.Conn
	copy *bytes.Buffer
}

func (c teeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.copy.Write(p[:n])
	return n, err
}

// withPort is options for a URL whose port is not known yet.
func withPort(t *testing.T, rawURL string) Options {
	o := options(t, strings.Replace(rawURL, ":PORT", "", 1))
	o.URL.Host += ":PORT"
	return o
}

func TestWire(t *testing.T) {
	f := func(o Options, r *Request, want string) {
		t.Helper()
		got := rawRequest(t, o, r)
		if want = strings.ReplaceAll(want, "\n", "\r\n"); got != want {
			t.Errorf("on the wire:\n%s\nwant:\n%s", got, want)
		}
	}
	// the least
	o := withPort(t, "http://127.0.0.1:PORT")
	o.UserAgent = ""
	f(o, &Request{ID: "evt_1", Type: "t", At: time.Unix(7, 999)}, `POST / HTTP/1.1
Host: 127.0.0.1:PORT
Content-Length: 0
webhook-id: evt_1
webhook-timestamp: 7
webhook-attempt: 0
webhook-event-type: t

`)
	// everything
	o = withPort(t, "http://us%40er:p%3Aw@127.0.0.1:PORT/a%2Fb//c/../d?x=1&y=%20#frag")
	o.Keys = []signature.Key{mustKey(t, testSecret)}
	o.Header = []Header{{"X-Api-Key", "k"}, {"Accept", "*/*"}, {"tracestate", "configured"}}
	f(o, &Request{
		ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Type: "größe", ContentType: "text/plain",
		Session: "active", Payload: []byte(`{"test": 2432232314}`), Attempt: 144,
		Replay: true, Sample: true, At: time.Unix(1614265330, 0),
		Header: []Header{{"traceparent", "00-ab"}, {"TraceState", "event"}, {"ce-id", "7"}},
	}, `POST /a%2Fb//c/../d?x=1&y=%20 HTTP/1.1
Host: 127.0.0.1:PORT
User-Agent: hookspool/test
Authorization: Basic dXNAZXI6cDp3
X-Api-Key: k
Accept: */*
tracestate: configured
Content-Type: text/plain
Content-Length: 20
webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
webhook-timestamp: 1614265330
webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
webhook-attempt: 144
webhook-event-type: größe
webhook-session: active
webhook-replay: true
webhook-sample: true
traceparent: 00-ab
ce-id: 7

{"test": 2432232314}`)
	// configured headers win over ours and over user-info, in any case
	o = withPort(t, "http://user:pass@127.0.0.1:PORT?q= é")
	o.Header = []Header{
		{"authorization", "Bearer x"}, {"HOST", "other"}, {"user-agent", "ua"},
		{"content-type", "a/b"},
	}
	f(o, &Request{ID: "i", Type: "t", ContentType: "c/d", At: time.Unix(-1, 0)},
		`POST /?q=%20%C3%A9 HTTP/1.1
authorization: Bearer x
HOST: other
user-agent: ua
content-type: a/b
Content-Length: 0
webhook-id: i
webhook-timestamp: -1
webhook-attempt: 0
webhook-event-type: t

`)
}

// What arrives is what was given, whatever it is and however large, at a real server.
func TestBodies(t *testing.T) {
	random := make([]byte, 100_000)
	rand.Read(random)
	multipart := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"
	bodies, headers := make(chan []byte, 1), make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
		headers <- r.Header
	}))
	defer server.Close()
	o := options(t, server.URL)
	o.Keys = []signature.Key{mustKey(t, testSecret)}
	c := newTestClient(t, o)
	f := func(contentType string, payload []byte) {
		t.Helper()
		r := request()
		r.ContentType, r.Payload = contentType, payload
		wantKind(t, checked(t, c.Do(context.Background(), r)), Success, "")
		got, header := <-bodies, <-headers
		if !bytes.Equal(got, payload) || header.Get("Content-Type") != contentType {
			t.Errorf("%d bytes of %q came as %d bytes of %q", len(payload), contentType, len(got),
				header.Get("Content-Type"))
		}
		err := signature.Verify(o.Keys, header.Get("webhook-id"), header.Get("webhook-timestamp"),
			header.Get("webhook-signature"), got, r.At, time.Minute)
		if err != nil {
			t.Error(err)
		}
	}
	f("", nil)
	f("application/json", []byte("{}"))
	f("application/octet-stream", []byte("\x00\x00\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
	f("multipart/form-data; boundary=b", []byte(multipart))
	f("text/plain", random[:oneWriteMax])
	f("text/plain", random[:oneWriteMax+1])
	f("application/octet-stream", random)
	f("application/octet-stream", bytes.Repeat(random, 11)[:1<<20])
}

// Values that would break out of their line are never written.
func TestHeaderInjection(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	c := newTestClient(t, options(t, r.url()))
	f := func(change func(r *Request, evil string)) {
		t.Helper()
		for _, evil := range []string{"\r", "\n", "\x00", "\x7f", "a\r\nX-Evil: 1", "\x1b[2J"} {
			req := request()
			change(req, evil)
			got := checked(t, c.Do(context.Background(), req))
			wantKind(t, got, Withheld, "cannot send request: the ")
			if got.Want != WantNone {
				t.Errorf("what can never be sent is to pass: %+v", got)
			}
			if preview := c.Preview(req); !bytes.HasPrefix(preview, []byte("cannot send")) {
				t.Errorf("preview of what cannot be sent: %q", preview)
			}
		}
	}
	f(func(r *Request, evil string) { r.ID = evil })
	f(func(r *Request, evil string) { r.Type = "t" + evil })
	f(func(r *Request, evil string) { r.ContentType = evil })
	f(func(r *Request, evil string) { r.Session = evil })
	f(func(r *Request, evil string) { r.Header = []Header{{"ce-a", evil}} })
	f(func(r *Request, evil string) { r.Header = []Header{{"ce-a" + evil, "v"}} })
	for _, name := range []string{
		"", "a b", "a:", "é", "Content-Length", "transfer-encoding", "HOST", "Authorization",
		"webhook-id", "Webhook-Signature", "Connection",
	} {
		f(func(r *Request, _ string) { r.Header = []Header{{name, "v"}} })
	}
	if n := r.conns.Load(); n != 0 {
		t.Errorf("%d connections made for what cannot be sent", n)
	}
}

func TestNewClientRefuses(t *testing.T) {
	f := func(change func(o *Options), want string) {
		t.Helper()
		o := options(t, "https://user:hunter2hunter2@crm.example.com/?token=hunter3hunter3")
		change(&o)
		_, err := NewClient(o)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), `cannot make client of target "crm": cannot `) {
			t.Errorf("error %v, want %q", err, want)
			return
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("error shows a secret: %v", err)
		}
	}
	f(func(o *Options) { o.URL = nil }, "no URL")
	f(func(o *Options) { o.URL.Scheme = "ftp" }, "http or https")
	f(func(o *Options) { o.URL.Host = "" }, "without a host")
	f(func(o *Options) { o.URL.Host = ":443" }, "without a host")
	f(func(o *Options) { *o.URL = url.URL{Scheme: "http", Opaque: "x"} }, "without a host")
	f(func(o *Options) { o.URL.Host = "bücher.example" }, "ASCII")
	f(func(o *Options) { o.URL.Host = "a\r\nb" }, "ASCII")
	f(func(o *Options) { o.URL.Host = "a:0" }, "1 to 65535")
	f(func(o *Options) { o.URL.Host = "a:65536" }, "1 to 65535")
	f(func(o *Options) { o.Timeout = 0 }, "timeout")
	f(func(o *Options) { o.Timeout = -1 }, "timeout")
	f(func(o *Options) { o.UserAgent = "a\nb" }, "User-Agent")
	f(func(o *Options) { o.Keys = []signature.Key{{}} }, "no key")
	f(func(o *Options) {
		o.Keys = []signature.Key{mustKey(t, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")}
	}, "whpk_<redacted>")
	for _, h := range []Header{
		{"", "v"}, {"a b", "v"}, {"a\r\n", "v"}, {"a", "hunter2\r\nb: c"}, {"a", "\x00"},
		{"Content-Length", "7"}, {"Transfer-encoding", "chunked"}, {"connection", "close"},
		{"expect", "100-continue"}, {"Webhook-Id", "x"}, {"WEBHOOK-SIGNATURE", "x"},
	} {
		f(func(o *Options) { o.Header = []Header{h} }, "cannot send header")
	}
}

func TestHostField(t *testing.T) {
	f := func(rawURL, want string) {
		t.Helper()
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostField(u); got != want {
			t.Errorf("Host of %s is %q, want %q", rawURL, got, want)
		}
	}
	f("http://Crm.Example.com/", "Crm.Example.com")
	f("http://crm:/", "crm")
	f("https://crm:443/", "crm:443")
	f("http://[::1]/", "[::1]")
	f("http://[fe80::1%25eth0]:81/", "[fe80::1]:81")
}

func TestPreview(t *testing.T) {
	o := options(t, "http://user:hunter2hunter2@crm/hook?token=hunter3hunter3")
	o.Keys = []signature.Key{mustKey(t, testSecret)}
	o.Header = []Header{{"X-Api-Key", "hunter4hunter4"}}
	r := request()
	r.ID, r.Payload = "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`)
	got := string(newTestClient(t, o).Preview(r))
	if strings.Contains(got, "hunter") || strings.Contains(got, "user:") {
		t.Errorf("preview shows a secret:\n%s", got)
	}
	for _, want := range []string{
		"POST /hook?<redacted> HTTP/1.1\r\nHost: crm\r\n", "\r\nAuthorization: <redacted>\r\n",
		"\r\nX-Api-Key: <redacted>\r\n",
		"\r\nwebhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n",
		"\r\n\r\n{\"test\": 2432232314}",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("preview without %q:\n%s", want, got)
		}
	}
	o = options(t, "https://crm/hook")
	for version, want := range map[string]string{"": "HTTP/1.1", "1.1": "HTTP/1.1", "2": "HTTP/2",
		"auto": "HTTP/2 or HTTP/1.1"} {
		o.HTTP = version
		got, _, _ := strings.Cut(string(newTestClient(t, o).Preview(r)), "\r\n")
		if got != "POST /hook "+want {
			t.Errorf("%q: %s", version, got)
		}
	}
}

// Whatever strings come in, either nothing is sent or net/http reads exactly our headers.
func FuzzHeaderWire(f *testing.F) {
	f.Add("evt_1", "message", "application/json", "active", "traceparent", "00-ab", []byte("{}"))
	f.Add("a\r\nX-Evil: 1", "t\n", "\x00", "s\r", "ce-a\r\n", "v\r\n\r\nGET / HTTP/1.1", []byte(""))
	f.Add("", "é\u2028", "multipart/form-data; boundary=\"a\"", " s ", "Host", "\t v", []byte("\r\n"))
	f.Add("i", "t", "c", "s", "webhook-id", "other", []byte("x"))
	f.Add("i", "t", "c", "s", "Transfer-Encoding", "chunked", []byte("0\r\n\r\n"))
	f.Add("i", "\xff\xfe", "c", "s", "ce-b", "\x7f", []byte("x"))
	o := options(f, "http://crm/hook")
	o.Keys = []signature.Key{mustKey(f, testSecret)}
	o.Header = []Header{{"X-Api-Key", "k"}}
	c := newTestClient(f, o)
	f.Fuzz(func(t *testing.T, id, typ, contentType, session, name, value string, body []byte) {
		r := &Request{ID: id, Type: typ, ContentType: contentType, Session: session, Payload: body,
			At: time.Unix(1, 0), Header: []Header{{name, value}}}
		head, err := c.writer.appendHead(c.writer.begin(nil, ""), r)
		if err != nil || equalFold(name, "pragma") {
			return // Do writes nothing then (TestHeaderInjection); net/http turns Pragma around
		}
		wire := &wireConn{r: bytes.NewReader(append(head, body...))}
		checkWire(t, wire, r)
	})
}

// wireConn is a connection on which one request has arrived.
type wireConn struct {
	net.Conn
	r *bytes.Reader
}

func (c *wireConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// checkWire reads one request like a server and compares it with what was meant.
func checkWire(t *testing.T, wire *wireConn, r *Request) {
	t.Helper()
	count := 0
	each(func(_ net.Conn, req *http.Request, body []byte) bool {
		count++
		want := map[string]string{
			http.CanonicalHeaderKey(r.Header[0].Name): r.Header[0].Value,
			"User-Agent": "hookspool/test", "X-Api-Key": "k",
			"Content-Length": req.Header.Get("Content-Length"),
			"Webhook-Id":     r.ID, "Webhook-Timestamp": "1",
			"Webhook-Signature": req.Header.Get("webhook-signature"),
			"Webhook-Attempt":   "0", "Webhook-Event-Type": r.Type,
		}
		if r.ContentType != "" {
			want["Content-Type"] = r.ContentType
		}
		if r.Session != "" {
			want["Webhook-Session"] = r.Session
		}
		for name, values := range req.Header {
			value, ok := want[name]
			if !ok || len(values) != 1 || values[0] != strings.Trim(value, " \t") {
				t.Errorf("header %q: %q, want %q", name, values, value)
			}
			delete(want, name)
		}
		delete(want, "Content-Length") // kept in req.ContentLength
		if len(want) != 0 {
			t.Errorf("headers lost: %v", slices.Collect(maps.Keys(want)))
		}
		if req.Method != "POST" || req.RequestURI != "/hook" || req.Host != "crm" ||
			req.ContentLength != int64(len(r.Payload)) || !bytes.Equal(body, r.Payload) {
			t.Errorf("request %v", req)
		}
		return true
	})(wire)
	if count != 1 || wire.r.Len() != 0 {
		t.Errorf("%d requests, %d bytes left, want one and none", count, wire.r.Len())
	}
}
