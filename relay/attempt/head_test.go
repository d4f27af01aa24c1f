package attempt

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseHead(t *testing.T) {
	f := func(raw string, want head) {
		t.Helper()
		br := bufio.NewReaderSize(strings.NewReader(raw+"rest"), headBytesMax)
		got, err := readHead(br, nil)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", raw, got, err, want)
		}
		if rest, _ := io.ReadAll(br); string(rest) != "rest" {
			t.Errorf("%q: left %q", raw, rest)
		}
		// the same, byte by byte
		br.Reset(iotest.OneByteReader(strings.NewReader(raw)))
		if got, err := readHead(br, nil); err != nil || got != want {
			t.Errorf("%q byte by byte: %+v, %v", raw, got, err)
		}
	}
	f("HTTP/1.1 200\r\n\r\n", head{status: 200, minor: '1', length: -1, close: true})
	f("HTTP/1.1 200 \r\nContent-Length: \t 07 \r\n\r\n", head{status: 200, minor: '1', length: 7})
	f("HTTP/1.1 200 OK\nCONTENT-LENGTH:7\n\r\n", head{status: 200, minor: '1', length: 7})
	f("HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n", head{status: 200, minor: '1', length: 7})
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		head{status: 200, minor: '1', length: 9223372036854775799})
	f("HTTP/1.1 204 X\r\nContent-Length: 7\r\n\r\n", head{status: 204, minor: '1', length: 7})
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: \tchunked \r\n\r\n",
		head{status: 200, minor: '1', length: -1, coded: true, chunked: true})
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip ,CHUNKED\r\n\r\n",
		head{status: 200, minor: '1', length: -1, coded: true, chunked: true, close: true})
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
		head{status: 200, minor: '1', length: -1, coded: true, close: true})
	f("HTTP/1.0 200 OK\r\nConnection: x , Keep-Alive\r\nContent-Length: 0\r\n\r\n",
		head{status: 200, minor: '0', keep: true})
	f("HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
		head{status: 404, minor: '1'})
}

// net/http is the oracle: a status we believe is the status that it reads, or it refuses; we
// never keep a connection that it would close; and no error quotes what came.
func FuzzReadHead(f *testing.F) {
	for _, seed := range []string{
		answer200, "HTTP/1.1 200\r\n\r\n", "HTTP/1.0 500 X\nConnection: keep-alive, close\n\n",
		"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
		"secret garbage", "\x15\x03\x01", "HTTP/1.1 99", "HTTP/1.1 101 S\r\n\r\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		br := bufio.NewReaderSize(strings.NewReader(string(raw)), headBytesMax)
		h, err := readHead(br, nil)
		if err != nil {
			checkQuotesNothing(t, err)
			return
		}
		if h.status < 200 || h.status > 999 || h.status == 101 {
			t.Fatalf("final status %d", h.status)
		}
		left := br.Buffered()
		b := body{br: br, pc: &conn{Conn: &wireConn{}}, keep: snippetBytesMax, waiting: true}
		reusable := b.drain(&h)
		if len(b.snippet) > snippetBytesMax || left-br.Buffered() > bodyBytesMax {
			t.Fatalf("snippet %d bytes, read %d bytes", len(b.snippet), left-br.Buffered())
		}
		checkOracle(t, raw, h, reusable)
	})
}

// checkQuotesNothing fails unless err is one of our fixed texts.
func checkQuotesNothing(t *testing.T, err error) {
	t.Helper()
	for _, fixed := range []error{
		io.EOF, errNotHTTP, errTLSPort, errStatus, errField, errLength, errHeadSize, errInterims,
		errSwitched,
	} {
		if err == fixed {
			return
		}
	}
	t.Fatalf("an error of no known text: %v", err)
}

// checkOracle lets net/http read the same.
func checkOracle(t *testing.T, raw []byte, h head, reusable bool) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(string(raw)))
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: "POST"})
		if err != nil {
			return // net/http is stricter, for example with values of fields we do not read
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode < 200 {
			continue
		}
		if resp.StatusCode != h.status {
			t.Fatalf("status %d, net/http reads %d", h.status, resp.StatusCode)
		}
		if reusable && (err != nil || resp.Close || br.Buffered() > 0) {
			t.Fatalf("we would use the connection again: %+v", h)
		}
		return
	}
}
