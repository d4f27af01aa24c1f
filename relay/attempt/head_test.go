package attempt

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseHead(t *testing.T) {
	f := func(raw string, want head) {
		t.Helper()
		br := bufio.NewReaderSize(strings.NewReader(raw+"rest"), readerBytes)
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
		br := bufio.NewReaderSize(strings.NewReader(string(raw)), readerBytes)
		h, err := readHead(br, nil)
		checkWhole(t, raw, h, err)
		checkPieces(t, raw, h, err)
		if err != nil {
			checkQuotesNothing(t, err)
			return
		}
		if h.status < 200 || h.status > 999 || h.status == 101 {
			t.Fatalf("final status %d", h.status)
		}
		left := br.Buffered()
		b := body{br: br, pc: &conn{}, keep: snippetBytesMax, waiting: true}
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
		io.EOF, errNotHTTP, errTLSPort, errHTTP2, errStatus, errField, errLength, errInterims,
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

// checkWhole compares what the reader of lines made of the heads in raw with what a parser makes
// that has each of them in one piece. That one knows nothing of a head without an end, and of one
// that does not begin like HTTP/1.
func checkWhole(t *testing.T, raw []byte, got head, gotErr error) {
	t.Helper()
	for {
		end := findEnd(raw, 0)
		if end == 0 || checkStart(raw) != nil || end > readerBytes {
			return
		}
		want, err := parseWhole(raw[:end])
		switch {
		case err != nil:
			if gotErr != err && gotErr != errInterims {
				t.Fatalf("line by line: %v; whole: %v", gotErr, err)
			}
			return
		case want.status == 101:
			if gotErr != errSwitched && gotErr != errInterims {
				t.Fatalf("line by line: %+v, %v; whole: 101", got, gotErr)
			}
			return
		case want.status >= 200:
			if gotErr != errInterims && (gotErr != nil || got != want) {
				t.Fatalf("line by line: %+v, %v; whole: %+v", got, gotErr, want)
			}
			return
		}
		raw = raw[end:]
	}
}

// checkPieces reads raw again through a reader that holds only some of a line. The status is the
// same; a longer line may cost the connection, and hide that it was malformed, but never the other
// way round.
func checkPieces(t *testing.T, raw []byte, want head, wantErr error) {
	t.Helper()
	for _, size := range []int{16, 32, 100} {
		br := bufio.NewReaderSize(strings.NewReader(string(raw)), size)
		h, err := readHead(br, nil)
		switch {
		case longestLine(raw) < size:
			if h != want || err != wantErr && !(isStranger(err) && isStranger(wantErr)) {
				t.Fatalf("%d bytes at once: %+v, %v; want %+v, %v", size, h, err, want, wantErr)
			}
		case err == nil && wantErr == nil:
			if h.status != want.status || want.close && !h.close {
				t.Fatalf("%d bytes at once: %+v; want %+v", size, h, want)
			}
			if !h.close && h != want {
				t.Fatalf("%d bytes at once keeps the connection: %+v; want %+v", size, h, want)
			}
		case err != nil:
			checkQuotesNothing(t, err)
		}
	}
}

// isStranger reports an error about a first byte. How much came at once decides which.
func isStranger(err error) bool {
	return err == errNotHTTP || err == errTLSPort || err == errHTTP2
}

// longestLine is the length of the longest line, its end included.
func longestLine(raw []byte) int {
	most := 0
	for line := range bytes.Lines(raw) {
		most = max(most, len(line))
	}
	return most
}

// findEnd returns the length of the head in raw, its empty line included, or 0. The search
// begins at from. Lines end in CR LF, or LF alone (RFC 9112 §2.2).
func findEnd(raw []byte, from int) int {
	for {
		i := bytes.IndexByte(raw[from:], '\n')
		if i < 0 {
			return 0
		}
		from += i + 1
		switch rest := raw[from:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return from + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return from + 2
		}
	}
}

// cutLine returns the first line of raw without its end.
func cutLine(raw []byte) []byte {
	line, _, _ := bytes.Cut(raw, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// parseWhole reads a complete head in one piece.
func parseWhole(raw []byte) (head, error) {
	h := head{length: -1}
	line := cutLine(raw)
	if !h.parseStatusLine(line) {
		return head{}, errStatus
	}
	var name []byte
	for {
		raw = raw[bytes.IndexByte(raw, '\n')+1:]
		line = cutLine(raw)
		if len(line) == 0 {
			break
		}
		if hasControl(line) {
			return head{}, errField
		}
		if line[0] == ' ' || line[0] == '\t' {
			// An obsolete fold (RFC 9112 §5.2) goes on with a value we have judged already.
			if len(name) == 0 {
				return head{}, errField
			}
			h.close = h.close || isFraming(name)
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return head{}, errField
		}
		name = trim(line[:colon])
		if !isToken(name) {
			return head{}, errField
		}
		if err := h.field(name, trim(line[colon+1:])); err != nil {
			return head{}, err
		}
	}
	h.decideClose()
	return h, nil
}
