package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// exchange sends a text to the events listener and returns the statuses of all answers up to the
// end of the connection.
func exchange(f *fixture, text string) []int {
	f.t.Helper()
	events, _ := f.Addresses()
	conn, err := net.Dial("tcp", events[0])
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	var statuses []int
	for in := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, res.StatusCode)
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// What a refused request declares as its body is never taken for the next request, whether the
// connection is used again or not.
func TestRefusedBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.target("crm", "http://127.0.0.1:1/")
	f.start()
	inner := "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	check := func(want, framing, body string) {
		t.Helper()
		got := exchange(f, "POST /nope HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n"+body)
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v; want %s", framing, got, want)
		}
	}
	check("[404 200]", fmt.Sprint("Content-Length: ", len(inner)),
		inner+"GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	check("[404]", "Content-Length: 10000000", inner)
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	check("[404]", "Transfer-Encoding: chunked", chunks)
	// The same of senders that do not wait for the 100 Continue that they expect.
	const expect = "Expect: 100-continue\r\n"
	check("[404]", fmt.Sprint(expect, "Content-Length: ", len(inner)), inner)
	check("[404]", expect+"Content-Length: 10000000", inner)
	check("[404]", expect+"Transfer-Encoding: chunked", chunks)
	if n := f.laneNamed("crm").spool.Counts().Pending; n != 0 {
		t.Errorf("%d events were taken out of bodies", n)
	}
}

// A sender that waits for 100 Continue hears of a refusal that the head decides at once, and the
// connection ends with it; else it is told to go on.
func TestExpect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Server.EventToken = "sesame"
	f.cfg.Server.MaxBodySize = 1000
	f.start()
	check := func(want, line string, lines ...string) {
		t.Helper()
		text := line + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		for _, l := range lines {
			text += l + "\r\n"
		}
		if got := exchange(f, text+"\r\n"); fmt.Sprint(got) != want {
			t.Errorf("%s %q: got %v; want %s", line, lines, got, want)
		}
	}
	const post, token, length = "POST /v1/events", "Authorization: Bearer sesame", "Content-Length: 9"
	const chunked = "Transfer-Encoding: chunked"
	check("[404]", "POST /nope", token, length)
	check("[404]", "POST /nope", token, chunked)
	check("[401]", post, length)
	check("[401]", post, chunked)
	check("[405]", "PUT /v1/events", token, length)
	check("[413]", post, token, "Content-Length: 1001")
	check("[415]", post, token, length, "Content-Encoding: gzip")
	check("[415]", post, token, length, "Content-Type: application/cloudevents+avro")
	check("[400]", "POST /v1/events/%ff", token, length)
	check("[400]", post, token, length, "ce-specversion: 1.0")
	check("[400]", post, token, length, "webhook-id: a.b")
	check("[400]", post, token, length, chunked)
	// Nothing is wrong: the body is asked for, as far as it has not come.
	check("[100 200]", post, token, length, "Connection: close", "", "{\"a\":\"b\"}")
	if n := f.metrics.acceptedCount(); n != 1 {
		t.Errorf("%d events were accepted; want 1", n)
	}
}

// The smallest spool that the config takes without a warning holds an event of the largest size.
func TestSmallestSpool(t *testing.T) {
	t.Parallel()
	for _, body := range []int64{1, 256 << 10, 1_000_000} {
		f := newFixture(t)
		f.cfg.Server.MaxBodySize = body
		f.cfg.Spool.MaxSize = max(1<<20, 4*body)
		f.target("crm", "http://127.0.0.1:1/")
		f.start()
		if code, got := f.post("/v1/events", strings.Repeat("x", int(body))); code != 200 {
			t.Errorf("%d bytes into %d: %d %v", body, f.cfg.Spool.MaxSize, code, got)
		}
		f.stop()
	}
}
