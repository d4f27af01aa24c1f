package attempt

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Bodies that never end change nothing, and cost a success next to nothing.
func TestEndlessBodies(t *testing.T) {
	t.Parallel()
	f := func(head, piece string, pause time.Duration) {
		t.Helper()
		r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
			_, err := io.WriteString(nc, head)
			for err == nil {
				_, err = io.WriteString(nc, piece)
				time.Sleep(pause)
			}
			return false
		}))
		soon(t, head, func() time.Duration {
			start := time.Now()
			got := attemptAt(t, options(t, r.url()))
			took := time.Since(start)
			wantKind(t, got, Success, "")
			if got.Snippet != nil {
				t.Errorf("%q: snippet %q", head, got.Snippet)
			}
			return took
		})
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	filler := strings.Repeat("x", 1000)
	const drip = 5 * time.Millisecond
	f(ok+"\r\n", filler, 0)
	f(ok+"Content-Length: 3000000000\r\n\r\n", filler, 0)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n", "3e8\r\n"+filler+"\r\n", 0)
	f(ok+"Content-Length: 1000\r\n\r\n", "x", drip)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", drip)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n", "1;"+filler, 0)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "T: v\r\n", drip)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "T: v\r\n", 0)
	f(ok+"Content-Length: 5\r\n\r\n", "", drip)
}

// soon wants something done before a failure's wait for its body would be up. A busy machine may
// delay it, a fault delays it every time.
func soon(t *testing.T, what string, do func() time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; {
		took := do()
		if took < drainMax {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%q: took %v", what, took)
			return
		}
	}
}

// The snippet of a failure: its first KiB without the coding, and bounded in time.
func TestSnippet(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		r := newReceiver(t, says(answer, true))
		got := attemptAt(t, options(t, r.url()))
		wantKind(t, got, Status, "answered 503 Service Unavailable")
		if string(got.Snippet) != want {
			t.Errorf("%.60q: snippet %q, want %q", answer, got.Snippet, want)
		}
	}
	const failed = "HTTP/1.1 503 Nope\r\n"
	long := strings.Repeat("0123456789", 10_000)
	f(failed+"Content-Length: 4\r\n\r\nbusy", "busy")
	f(failed+"Content-Length: 4\r\nConnection: close\r\n\r\nbusy", "busy")
	f(failed+"Content-Length: 0\r\n\r\n", "")
	f(failed+"\r\nuntil the end\x00\xff", "until the end\x00\xff")
	f(failed+"Content-Length: 1024\r\n\r\n"+long[:1024], long[:1024])
	f(failed+"\r\n"+long[:1024], long[:1024])
	f(failed+"\r\n"+long[:1025], long[:1024]+"…")
	f(failed+"\r\n"+long[:1023]+"€", long[:1023]+"…")
	f(failed+"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"+long[:1024]+
		"\r\n0\r\n\r\n", long[:1024])
	f(failed+"\r\n"+long, long[:1024]+"…")
	f(failed+"Content-Length: 100000\r\n\r\n"+long, long[:1024]+"…")
	f(failed+"Content-Length: 50000\r\n\r\n"+long[:50000], long[:1024]+"…")
	f(failed+"Content-Length: 100\r\n\r\nshort", "short")
	f(failed+"Transfer-Encoding: chunked\r\n\r\n4\r\nbu\r\n\r\n2\r\nsy\r\n0\r\n\r\n", "bu\r\nsy")
	f(failed+"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbusy\r\n0\r\n\r\n", "busy")
	f(failed+"Transfer-Encoding: chunked\r\n\r\n186a0\r\n"+long+"\r\n0\r\n\r\n", long[:1024]+"…")
	f(failed+"Transfer-Encoding: chunked\r\n\r\n2\r\nok??", "ok")
	f(failed+"Transfer-Encoding: gzip\r\n\r\nraw", "raw")
}

// A failure whose body does not come is out after a second.
func TestSnippetWaitsNotLong(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		io.WriteString(nc, "HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nhalf")
		untilClosed(nc)
		return false
	}))
	start := time.Now()
	got := attemptAt(t, options(t, r.url()))
	took := time.Since(start)
	if string(got.Snippet) != "half" || took < drainMax || took > testTimeout/2 {
		t.Errorf("took %v, outcome %+v", took, got)
	}
	if took-got.Duration < drainMax {
		t.Errorf("the body counts in the duration: %v of %v", got.Duration, took)
	}
	// and never later than the timeout
	o := options(t, r.url())
	o.Timeout = 500 * time.Millisecond
	soon(t, "a timeout shorter than that", func() time.Duration {
		start := time.Now()
		if got := attemptAt(t, o); got.Kind != Status && got.Kind != Timeout {
			t.Errorf("outcome %+v", got)
		}
		return time.Since(start)
	})
}

// A sample shows what came even for a success; an echo does not give secrets away.
func TestSample(t *testing.T) {
	r := newReceiver(t, each(func(nc net.Conn, req *http.Request, _ []byte) bool {
		var echo strings.Builder
		req.Header.Write(&echo)
		body := echo.String() + req.RequestURI
		io.WriteString(nc, "HTTP/1.1 200 Hello "+req.Header.Get("X-Api-Key")+
			"\r\nConnection: close\r\n\r\n"+body)
		return false
	}))
	o := options(t, strings.Replace(r.url(), "://", "://user:hunter2hunter2@", 1)+
		"?token=hunter3hunter3")
	o.Header = []Header{{"X-Api-Key", "hunter4hunter4"}, {"X-Auth", "Bearer hunter5hunter5"}}
	c := newTestClient(t, o)
	req := request()
	req.Sample = true
	got := checked(t, c.Do(context.Background(), req))
	if got.Kind != Success || got.StatusLine != "HTTP/1.1 200 Hello <redacted>" {
		t.Errorf("outcome %v, status line %q", got.Kind, got.StatusLine)
	}
	text := string(got.Snippet)
	if !strings.Contains(text, "Webhook-Sample: true") || strings.Contains(text, "hunter") ||
		strings.Contains(text, basicAuth(o.URL.User)) {
		t.Errorf("snippet %q", text)
	}
	// the same client without Sample keeps nothing
	got = checked(t, c.Do(context.Background(), request()))
	if got.Snippet != nil || got.StatusLine != "" {
		t.Errorf("outcome %+v", got)
	}
}

func TestRedact(t *testing.T) {
	s := &secrets{config: []string{"hunter2hunter2"}}
	f := func(in, want string) {
		t.Helper()
		if got := string(s.redact([]byte(in), "")); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("nothing here", "nothing here")
	f("a hunter2hunter2, hunter2hunter2!", "a <redacted>, <redacted>!")
	// cut by the end of the snippet
	f("key: hunter2hunter", "key: ")
	f("key: hunt", "key: ")
	f("key: hun", "key: hun")
}
