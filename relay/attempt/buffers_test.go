package attempt

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestBuffersAreShared asserts that clients with the same Buffers say only what is theirs, and hear
// only what is said to them, whichever of them had the buffers before and however long it was.
func TestBuffersAreShared(t *testing.T) {
	const clients, requests = 8, 50
	buffers := &Buffers{}
	var all sync.WaitGroup
	for i := range clients {
		key := fmt.Sprintf("key-of-%d", i)
		long := strings.Repeat(key, 1+i*300)
		r := newReceiver(t, each(func(nc net.Conn, req *http.Request, body []byte) bool {
			if got := req.Header.Get("X-Api-Key"); got != key || string(body) != long ||
				len(req.Header["X-Api-Key"]) != 1 {
				t.Errorf("%s gets key %q and %d bytes", key, got, len(body))
			}
			_, err := fmt.Fprintf(nc, "HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s", len(key)+9,
				"answer-to"+key)
			return err == nil
		}))
		o := options(t, r.url())
		o.Header, o.Buffers = []Header{{"X-Api-Key", key}}, buffers
		c := newTestClient(t, o)
		all.Go(func() {
			for range requests {
				req := request()
				req.Sample, req.Payload = true, []byte(long)
				got := checked(t, c.Do(context.Background(), req))
				if want := "answer-to<redacted>"; got.Kind != Status || string(got.Snippet) != want ||
					!strings.Contains(string(got.Request), "webhook-id") {
					t.Errorf("%s hears %v %q", key, got.Kind, got.Snippet)
				}
			}
		})
	}
	all.Wait()
}
