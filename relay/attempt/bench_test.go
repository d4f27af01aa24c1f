package attempt

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/signature"
	"github.com/hookspool/hookspool/testenv/effort"
)

// benchServer is the cheapest real server at hand: what is measured beside Do is loopback.
func benchServer(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &fasthttp.Server{
		Handler:               func(ctx *fasthttp.RequestCtx) {},
		NoDefaultServerHeader: true, NoDefaultDate: true, MaxRequestBodySize: 4 << 20,
		DisablePreParseMultipartForm: true,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	tb.Cleanup(func() {
		s.Shutdown()
		<-done
	})
	return "http://" + l.Addr().String() + "/hook"
}

// TestDoAllocations: the kept connection costs nothing, nor do the request, the credential and
// being able to abort, as long as the context is the same.
func TestDoAllocations(t *testing.T) {
	if effort.Race {
		t.Skip("allocations are measured without -race")
	}
	o := options(t, benchServer(t))
	o.Keys = []signature.Key{mustKey(t, testSecret)}
	o.Header = []Header{{"Authorization", "Bearer of-a-credential"}}
	c := newTestClient(t, o)
	defer c.Close() // before the server, which waits for its connections
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := func(ctx context.Context, want float64) {
		t.Helper()
		r := *request()
		got := testing.AllocsPerRun(500, func() {
			mine := r // on the stack, as the relay's
			c.Do(ctx, &mine)
		})
		if got > want {
			t.Errorf("%v allocations for an attempt, want at most %v", got, want)
		}
	}
	f(context.Background(), 0)
	f(cancellable, 0)
}

// BenchmarkDo is one attempt on a kept connection. Allocations count the server's as well.
func BenchmarkDo(b *testing.B) {
	f := func(name string, size int, signed, cancellable bool) {
		b.Run(name, func(b *testing.B) {
			o := options(b, benchServer(b))
			if signed {
				o.Keys = []signature.Key{mustKey(b, testSecret)}
			}
			c := newTestClient(b, o)
			defer c.Close() // before the server, which waits for its connections
			ctx := context.Background()
			if cancellable {
				var cancel func()
				ctx, cancel = context.WithCancel(ctx)
				defer cancel()
			}
			r := request()
			r.Payload = bytes.Repeat([]byte("x"), size)
			b.ReportAllocs()
			for b.Loop() {
				if got := c.Do(ctx, r); got.Kind != Success {
					b.Fatal(got.Error)
				}
			}
		})
	}
	f("1KiB", 1<<10, false, false)
	f("1KiB-cancellable", 1<<10, false, true)
	f("1KiB-cancellable-signed", 1<<10, true, true)
	f("64KiB-cancellable-signed", 64<<10, true, true)
}

// BenchmarkYardstick is fasthttp's own client doing the same as BenchmarkDo/1KiB.
func BenchmarkYardstick(b *testing.B) {
	address := benchServer(b)
	c := &fasthttp.Client{ReadBufferSize: readerBytes, MaxResponseBodySize: bodyBytesMax}
	defer c.CloseIdleConnections()
	payload := bytes.Repeat([]byte("x"), 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		req.SetRequestURI(address)
		req.Header.SetMethod("POST")
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-attempt"} {
			req.Header.Set(name, "1614265330")
		}
		req.SetBodyRaw(payload)
		if err := c.DoTimeout(req, resp, testTimeout); err != nil || resp.StatusCode() != 200 {
			b.Fatal(err)
		}
		fasthttp.ReleaseRequest(req)
		fasthttp.ReleaseResponse(resp)
	}
}

// BenchmarkDoParallel is what a target with concurrency 8 sees.
func BenchmarkDoParallel(b *testing.B) {
	o := options(b, benchServer(b))
	o.Keys, o.Concurrency = []signature.Key{mustKey(b, testSecret)}, 8
	c := newTestClient(b, o)
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.SetParallelism(4) // times the processors
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := request()
		r.Payload = bytes.Repeat([]byte("x"), 1<<10)
		for pb.Next() {
			if got := c.Do(ctx, r); got.Kind != Success {
				b.Error(got.Error)
				return
			}
		}
	})
}
