package accept

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/framing"

	"github.com/hookspool/hookspool/relay/config"
)

// wire is a connection on which bytes have come, and nothing more will.
type wire struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error)       { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error)      { return w.out.Write(b) }
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// taken is a request that was not refused, as somebody reads it.
type taken struct {
	method, uri string
	body        []byte
}

// readRelay reads requests the way the events listener does, up to the first refusal.
func readRelay(t *testing.T, raw []byte) []taken {
	t.Helper()
	f := newFixture(func(c *config.Config) { c.Server.MaxBodySize = 32 << 10 })
	var all []taken
	f.http.Handler = func(ctx *fasthttp.RequestCtx) {
		_, take, refusal := readHead(&ctx.Request.Header, ctx.URI().PathOriginal(), f.rules.Config)
		if refusal != nil || !take {
			leaveBody(ctx)
			if refusal == nil {
				all = append(all, taken{string(ctx.Method()), string(ctx.RequestURI()), nil})
			} else {
				ctx.SetConnectionClose() // what follows a refusal is not compared
			}
			return
		}
		b, refusal := f.readBody(ctx, f.bodyBytesMax(&ctx.Request.Header))
		defer f.releaseBody(b)
		if refusal != nil {
			closePolitely(ctx)
			return
		}
		all = append(all, taken{string(ctx.Method()), string(ctx.RequestURI()), bytes.Clone(b.buf)})
	}
	f.connections.Add(1)
	conn := &lingerConn{Guarded: framing.Guarded{Conn: &wire{in: bytes.NewReader(raw)}},
		open: &f.connections}
	_ = f.http.ServeConn(conn) // how it ends is the client's affair
	if held := f.bytes.Load(); held != 0 {
		t.Fatalf("%d bytes of the budget are not given back", held)
	}
	return all
}

// readStandard reads them with net/http, up to the first that it refuses.
func readStandard(raw []byte) []taken {
	var all []taken
	for in := bufio.NewReader(bytes.NewReader(raw)); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return all
		}
		all = append(all, taken{req.Method, req.RequestURI, body})
	}
}

// FuzzFraming compares with net/http where requests begin and end: whatever both accept has the same
// method, target and body. A difference is a way to smuggle a request past a proxy in front.
func FuzzFraming(f *testing.F) {
	const line = "POST /v1/events HTTP/1.1\r\nHost: a\r\n"
	const next = "POST /v1/events/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
	for _, rest := range []string{
		"Content-Length: 2\r\n\r\n{}", "Content-Length: 002\r\n\r\n{}", "Content-Length: 0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nT: v\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: identity\r\n\r\n", "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
		"Content-Length: 2\r\nX: a\n\nTransfer-Encoding: chunked\r\n\r\n{}",
		"Content-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), "Expect: 100-continue\r\n" +
			"Content-Length: 2\r\n\r\n{}", "Content-Length: 99999\r\n\r\n", "\r\n", "Connection: close\r\n" +
			"Content-Length: 2\r\n\r\n{}", "Content-Length: 2\r\nTrailer: x\r\n\r\n{}",
	} {
		f.Add([]byte(line + rest + next))
	}
	f.Add([]byte("GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n" + next))
	f.Add([]byte("GET /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" + next))
	f.Add([]byte("HEAD /v1/events HTTP/1.0\r\n\r\n" + next))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, theirs := readRelay(t, raw), readStandard(raw)
		for i := range min(len(ours), len(theirs)) {
			a, b := ours[i], theirs[i]
			if a.body == nil { // a probe's body is not kept
				b.body = nil
			}
			if a.method != b.method || !bytes.Equal(a.body, b.body) {
				t.Fatalf("request %d is %s with %q here, %s with %q to net/http", i, a.method, a.body,
					b.method, b.body)
			}
		}
	})
}
