package framing

import (
	"strings"
	"testing"
)

// BenchmarkGuard follows a POST of 1 KiB as a busy sender's client writes it.
func BenchmarkGuard(b *testing.B) {
	request := []byte("POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:8470\r\nUser-Agent: app/1.0\r\n" +
		"Content-Type: application/json\r\nContent-Length: 1024\r\nwebhook-id: evt-0123456789\r\n" +
		"Accept-Encoding: gzip\r\n\r\n" + strings.Repeat("x", 1024))
	var g Guard
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := g.pass(request); n != len(request) || err != nil {
			b.Fatal(n, err)
		}
	}
}
