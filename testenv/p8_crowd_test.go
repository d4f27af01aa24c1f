package testenv

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// streamsMax is how many streams the relay has at once.
const streamsMax = 16

// TestP8Crowd asserts that probes and metrics answer whatever else holds connections of the admin
// listener: all streams, an export that is not read, scrapes that are not read, and far more silent
// and slow ones than there may be. What was under way before them goes on.
func TestP8Crowd(t *testing.T) {
	effort.OnlyLong(t, "hundreds of connections")
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	body := []byte(`{"text":"` + strings.Repeat("x", 400<<10) + `"}`)
	for i := range 40 { // more than a socket takes from somebody who does not read
		j.Send(Post{ID: fmt.Sprint("large-", i), Body: body})
	}
	j.Ledger.AwaitDelivered()
	say := func(text string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", j.AdminAddress())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(2 * Patience))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
	call := func(method, path string) *http.Response {
		t.Helper()
		_, in := say(method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s %s: %v, %v", method, path, resp, err)
		}
		return resp
	}
	var streams []*http.Response
	for range streamsMax {
		streams = append(streams, call("GET", "/v1/stream"))
	}
	export := call("POST", "/v1/spool/export?all=true")
	for range 60 {
		say("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		say("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
		say("POST /v1/reload HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 99\r\n\r\n")
	}
	for range 1100 {
		say("")
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
		call("GET", path)
	}
	for _, args := range [][]string{{"healthcheck", "--live"}, {"healthcheck"}, {"targets"}} {
		if out := j.CLI(args...); out.Code != 0 {
			t.Errorf("%v left with %d: %s", args, out.Code, out.Stderr)
		}
	}
	j.Send(Post{ID: "after-the-crowd", Body: []byte(`{}`)})
	for i, stream := range streams {
		lines := bufio.NewScanner(stream.Body)
		for lines.Scan() && !strings.Contains(lines.Text(), "after-the-crowd") {
		}
		if !strings.Contains(lines.Text(), "after-the-crowd") {
			t.Errorf("stream %d ended: %v", i, lines.Err())
		}
	}
	if n, err := io.Copy(io.Discard, export.Body); err != nil || n < 40*int64(len(body)) {
		t.Errorf("the export ended after %d bytes: %v", n, err)
	}
}

// TestP8StreamOrigin asserts that a page of another origin gets no stream and takes none of their
// places, neither by a fetch nor by a link or a frame.
func TestP8StreamOrigin(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	open := func(headers ...string) int {
		t.Helper()
		conn, err := net.Dial("tcp", j.AdminAddress())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() }) // a stream that is let in stays
		_ = conn.SetDeadline(time.Now().Add(Patience))
		_, err = io.WriteString(conn, "GET /v1/stream HTTP/1.1\r\nHost: "+j.AdminAddress()+"\r\n"+
			strings.Join(append(headers, "\r\n"), "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	for range streamsMax {
		for _, headers := range [][]string{{"Origin: http://evil.example"}, {"Origin: null"},
			{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, {"Sec-Fetch-Site: same-site"},
			{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}} {
			if got := open(headers...); got != 403 {
				t.Errorf("%q: answered %d", headers, got)
			}
		}
	}
	for i := range streamsMax {
		if got := open("Origin: http://"+j.AdminAddress(), "Sec-Fetch-Site: same-origin"); got != 200 {
			t.Errorf("stream %d of our own page is answered %d", i, got)
		}
	}
}
