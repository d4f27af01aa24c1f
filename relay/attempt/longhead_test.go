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

// The status line decides, however long the head is: in many lines, in one, in its first, final or
// interim. A head of 256 KiB is read to its end; of a longer one only that is left out, and the
// connection goes.
func TestLongHeads(t *testing.T) {
	const most = 256 << 10
	f := func(begin, end string, size int, want Kind, kept bool, words string) {
		t.Helper()
		line := "X-Policy: " + strings.Repeat("x", 1000) + "\r\n"
		var many strings.Builder
		for many.Len()+len(line) < size-len(begin)-len(end)-100 {
			many.WriteString(line)
		}
		rest := size - len(begin) - many.Len() - len(end)
		many.WriteString("X: " + strings.Repeat("x", rest-5) + "\r\n")
		one := "X: " + strings.Repeat("x", size-len(begin)-len(end)-5) + "\r\n"
		for _, filler := range []string{many.String(), one} {
			r := newReceiver(t, says(begin+filler+end, false))
			c := newTestClient(t, options(t, r.url()))
			for range 2 {
				o := checked(t, c.Do(context.Background(), request()))
				wantKind(t, o, want, words)
				if strings.Contains(string(o.Snippet), "xxx") {
					t.Errorf("%.30q…: the head is shown as a body", begin)
				}
			}
			if n := r.conns.Load(); (n == 1) != kept {
				t.Errorf("%.30q… of %d bytes: %d connections", begin, size, n)
			}
		}
	}
	const ok, end = "HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n\r\n"
	f(ok, end, 16<<10, Success, true, "")
	f(ok, end, 16<<10+1, Success, true, "")
	f(ok, end, 100<<10, Success, true, "")
	f(ok, end, most, Success, true, "")
	f(ok, end, most+1, Success, false, "")
	f(ok, end, 2<<20, Success, false, "")
	f("HTTP/1.1 503 Busy\r\n", end, 100<<10, Status, true, "answered 503")
	f("HTTP/1.1 503 Busy\r\n", end, 2<<20, Status, false, "answered 503")
	// what it says is read beyond the reader, too
	f(ok+"Content-Length: 2\r\n", "Content-Length: 3\r\n\r\n", 100<<10, Protocol, false,
		"Content-Length")
	f(ok, "A: b\x00\r\n\r\n", 100<<10, Protocol, false, "header line")
	f(ok, "no colon\r\n\r\n", 100<<10, Protocol, false, "header line")
	// a first line that is long, a field that frames the body and is long, a fold
	f("HTTP/1.1 200 "+strings.Repeat("y", 20<<10)+"\r\n", end, 100<<10, Success, true, "")
	f("HTTP/1.1 200 "+strings.Repeat("y", 20<<10)+"\x01\r\n", end, 100<<10, Protocol, false,
		"status line")
	f(ok+"Connection: "+strings.Repeat("y", 20<<10)+"\r\n", end, 100<<10, Success, false, "")
	f(ok+"Transfer-Encoding: "+strings.Repeat("y", 20<<10)+"\r\n", end, 100<<10, Success, false, "")
	f(ok+"A: b\r\n "+strings.Repeat("y", 20<<10)+"\r\n", end, 100<<10, Success, true, "")
	f(ok+strings.Repeat("N", 20<<10)+": b\r\n", end, 100<<10, Success, true, "")
	f(ok+strings.Repeat("N ", 10<<10)+": b\r\n", end, 100<<10, Protocol, false, "header line")
	// interim ones: read, but not taken for the answer
	f("HTTP/1.1 103 E\r\n", "\r\n"+answer200, 100<<10, Success, true, "")
	f("HTTP/1.1 103 E\r\n", "\r\n"+answer200, most+100, Protocol, false, "interim answers exceed")
}

// A head that does not end is a timeout, although its first line said 200; one that is too long is
// not waited for.
func TestEndlessHead(t *testing.T) {
	t.Parallel()
	f := func(drip bool, want Kind) {
		t.Helper()
		r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
			_, err := io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 4<<10))
			for !drip && err == nil {
				_, err = io.WriteString(nc, strings.Repeat("A: b\r\n", 1<<10))
			}
			untilClosed(nc)
			return false
		}))
		o := options(t, r.url())
		o.Timeout = 300 * time.Millisecond
		if !drip {
			o.Timeout = testTimeout
		}
		wantKind(t, attemptAt(t, o), want, "")
	}
	f(true, Timeout)
	f(false, Success)
	// A status line that does not end is none.
	r := newReceiver(t, says("HTTP/1.1 200 "+strings.Repeat("y", 300<<10)+"\r\n\r\n", true))
	wantKind(t, attemptAt(t, options(t, r.url())), Protocol, "the status line is malformed")
}
