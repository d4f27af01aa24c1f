package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// listener reads one stream.
type listener struct {
	*http.Response
	lines *bufio.Scanner
}

func (f *fixture) listen() *listener {
	f.Helper()
	res, err := http.Get(f.base + "/v1/stream")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { res.Body.Close() })
	return &listener{res, bufio.NewScanner(res.Body)}
}

// next is the next message of a stream: its event, or ":" for a comment, and its data.
func (l *listener) next(t *testing.T) (event, data string) {
	t.Helper()
	for l.lines.Scan() {
		line := l.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "":
			if line == "" && event != "" {
				return event, data
			}
			event = ":"
		case "event":
			event = value
		case "data":
			data = value
		default:
			t.Fatalf("a line is %q", line)
		}
	}
	t.Fatalf("the stream ended: %v", l.lines.Err())
	return "", ""
}

func TestStream(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.listen()
	if got := l.Header.Get("Content-Type"); l.StatusCode != 200 ||
		got != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %q", l.StatusCode, got)
	}
	var got []string
	for range 5 {
		event, data := l.next(t)
		got = append(got, event)
		if event != ":" && !json.Valid([]byte(data)) {
			t.Errorf("%s: %q", event, data)
		}
		if event == "attempt" {
			var a StreamedAttempt
			if err := json.Unmarshal([]byte(data), &a); err != nil {
				t.Fatal(err)
			}
			got = append(got, a.ID, map[uint64]string{7: "7", 0: "0"}[a.Dropped])
		}
	}
	want := ": status targets attempt evt_1 7 attempt evt_2 0"
	if text := strings.Join(got, " "); text != want {
		t.Errorf("%q, want %q", text, want)
	}
	began := time.Now()
	if event, _ := l.next(t); event != "status" {
		t.Errorf("then comes %q", event)
	}
	if event, _ := l.next(t); event != "targets" {
		t.Errorf("then comes %q", event)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a second took %s", took)
	}
}

// A stream ends when its token is not the token any more.
func TestStreamEndsWithItsToken(t *testing.T) {
	f := newFixture(t)
	var token atomic.Pointer[string]
	first, second := "first", "second"
	token.Store(&first)
	f.server.options.Token = func() string { return *token.Load() }
	open := func(with string) *listener {
		req, err := http.NewRequest("GET", f.base+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+with)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return &listener{res, bufio.NewScanner(res.Body)}
	}
	l := open(first)
	l.next(t)
	token.Store(&second)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, l.Body)
	}()
	select {
	case <-ended:
	case <-time.After(testPatience):
		t.Fatal("the stream goes on")
	}
	if again := open(first); again.StatusCode != 401 {
		t.Errorf("answered %d", again.StatusCode)
	}
	open(second).next(t)
}

// A HEAD request starts no stream.
func TestStreamHead(t *testing.T) {
	f := newFixture(t)
	for range streamsMax + 1 {
		if a := f.ask("HEAD", "/v1/stream"); a.StatusCode != 200 || a.body != "" {
			t.Fatalf("%d %q", a.StatusCode, a.body)
		}
	}
}

// Streams are bounded, end at once when the relay stops, and give their place back when the caller
// leaves.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var open []*listener
	for range streamsMax {
		l := f.listen()
		l.next(t)
		open = append(open, l)
	}
	a := f.ask("GET", "/v1/stream")
	f.problem(a, 503, codeOverloaded)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// Who comes when one has just left waits until that is noticed.
	open[0].Body.Close()
	f.listen().next(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range open[1:] {
		_, _ = io.Copy(io.Discard, l.Body) // it ends, perhaps in the middle
	}
}

// A caller that does not read holds up neither the others nor a relay that stops.
func TestStreamUnread(t *testing.T) {
	f := newFixture(t)
	f.backend.name = strings.Repeat("x", 4<<20) // more than sockets hold
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); err != nil {
		t.Fatal(err)
	}
	l := f.listen()
	l.lines.Buffer(nil, 16<<20)
	for range 4 {
		l.next(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
