package accept

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// One connection more than are allowed is answered at once, in the contract's words, and closed; when
// one of the others ends there is room again.
func TestConnectionsMax(t *testing.T) {
	f := newFixture()
	address := f.listen(t)
	dial := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		conn := dial(t, address)
		return conn, bufio.NewReader(conn)
	}
	probe := func(conn net.Conn, in *bufio.Reader) int {
		t.Helper()
		io.WriteString(conn, "HEAD /v1/events HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(in, &http.Request{Method: "HEAD"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	f.connections.Add(connectionsMax - 1) // as many as if they were there
	last, lastIn := dial()
	if got := probe(last, lastIn); got != 200 {
		t.Fatalf("the last connection allowed is answered %d", got)
	}
	_, in := dial()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	var p problem
	err = json.NewDecoder(resp.Body).Decode(&p)
	if err != nil || resp.StatusCode != 503 || p.Code != CodeOverloaded ||
		resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("one more is answered %d %+v %v, %v", resp.StatusCode, p, resp.Header, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("it is not closed: %v", err)
	}
	last.Close()
	for end := time.Now().Add(testPatience); f.connections.Load() >= connectionsMax; {
		if time.Now().After(end) {
			t.Fatal("a connection that ended is counted")
		}
		time.Sleep(time.Millisecond)
	}
	if got := probe(dial()); got != 200 {
		t.Errorf("when there is room again the answer is %d", got)
	}
	f.connections.Add(1 - connectionsMax)
}
