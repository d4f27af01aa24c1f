package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
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
	check("[404]", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner))
	if n := f.laneNamed("crm").spool.Counts().Pending; n != 0 {
		t.Errorf("%d events were taken out of bodies", n)
	}
}
