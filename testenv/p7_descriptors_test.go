package testenv

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// lowLimit starts the binary with a limit of open files.
func lowLimit(files int) []string {
	return []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, files), "sh"}
}

// TestP7FewDescriptors asserts that a burst of connections far beyond the limit of open files costs
// nobody but those who burst: every listener takes connections again afterwards, and the spool,
// which opens a file for each table that it writes, never meets the limit.
func TestP7FewDescriptors(t *testing.T) {
	effort.OnlyLong(t, "hundreds of connections")
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	socket := filepath.Join(j.Dir, "events.sock")
	j.Config.Set("server.listen", []string{"127.0.0.1:0", "unix:" + socket})
	j.Ledger.AllowForeign()
	j.Through = lowLimit(128)
	j.Start()
	if n := j.LogCount("level=WARN", "the limit of open files is 128", " are needed"); n != 1 {
		t.Errorf("the log says %d times that the limit is low, want once", n)
	}
	j.Send(Post{ID: "before"})

	// It is there before the burst. A client of net/http sometimes leaves a connection it could keep.
	sender, err := net.Dial("tcp", j.EventsAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	answers := bufio.NewReader(sender)
	large := bytes.Repeat([]byte("x"), 500<<10)
	feed := func() error {
		post, err := http.NewRequest("POST", j.EventsURL()+"/v1/events", bytes.NewReader(large))
		if err != nil {
			return err
		}
		if err := post.Write(sender); err != nil {
			return err
		}
		res, err := http.ReadResponse(answers, post)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if res.StatusCode != 200 {
			return fmt.Errorf("got %s %s", res.Status, text)
		}
		return err
	}
	if err := feed(); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for _, to := range [][2]string{{"tcp", j.EventsAddress()}, {"unix", socket},
		{"tcp", j.AdminAddress()}} {
		for range 400 {
			conn, err := net.DialTimeout(to[0], to[1], time.Second)
			if err != nil {
				break // the line in front of the listener is full
			}
			conns = append(conns, conn)
		}
	}
	if len(conns) < 400 {
		t.Fatalf("only %d connections were made", len(conns))
	}
	for range 60 { // two memtables: the engine writes tables beside the burst
		if err := feed(); err != nil {
			t.Fatalf("a sender that was there before is refused: %v", err)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}

	Until(t, Patience, "the Unix socket takes events again", func() bool {
		over := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}}
		defer over.CloseIdleConnections()
		res, err := over.Post("http://relay/v1/events", "text/plain", bytes.NewReader([]byte("{}")))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	Until(t, Patience, "events are taken again", func() bool {
		return j.Relay.Post(Post{ID: "after"}).Status == 200
	})
	Until(t, Patience, "the admin listener answers again", func() bool {
		code, _, err := j.client.call("GET", "/readyz")
		return err == nil && code == 200
	})
}
