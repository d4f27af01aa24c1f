package framing

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// through is what a server would read of text, and the fault that ended it; io.EOF is none.
func through(from io.Reader) (string, error) {
	var g Guard
	var out bytes.Buffer
	b := make([]byte, 64)
	for {
		n, err := g.Read(from, b)
		out.Write(b[:n])
		if errors.Is(err, io.EOF) {
			err = nil
			return out.String(), err
		}
		if err != nil {
			return out.String(), err
		}
	}
}

const (
	line  = "POST /v1/events HTTP/1.1\r\n"
	coded = line + "Transfer-Encoding: chunked\r\n\r\n"
	next  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
)

// What is legal passes, whatever the pieces in which it comes, and the next request as well.
func TestPass(t *testing.T) {
	f := func(text string) {
		t.Helper()
		text += next + next
		for name, from := range map[string]io.Reader{
			"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
			"halves": iotest.HalfReader(strings.NewReader(text)),
		} {
			if got, err := through(from); got != text || err != nil {
				t.Errorf("%s: %q: got %q, %v", name, text, got, err)
			}
		}
	}
	f("")
	f("\r\n\r\n")
	f(line + "\r\n")
	f(line + "Content-Length: 0\r\n\r\n")
	// Bytes of a body are nobody's lines.
	f(line + "content-length:\t0012 \r\n\r\n{\n\n\r\n\r\n \n: \n")
	f("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n\n")
	f("GET / HTTP/1.7\r\n\r\n")
	f(coded + "2\r\n\n\n\r\n0\r\n\r\n")
	f(coded + "00A\r\n0123456789\r\na;x\r\n0123456789\r\n0\r\nT: v\r\nU:\r\n\r\n")
	f(coded + "1;a=b;c=\"d\\\";\te\" ; f\r\nx\r\n0;z\r\n\r\n")
	f(strings.Replace(coded, "Transfer-Encoding: chunked", "tRANSFER-eNCODING:  CHUNKED ", 1) +
		"0\r\n\r\n")
	f(coded + "1;" + strings.Repeat("x", lineBytesMax-4) + "\r\nx\r\n0\r\n\r\n")
	f("M-SEARCH * HTTP/1.1\r\n!#$%&'*+-.^_`|~09azAZ: \x80\xff\r\n\r\n")
}

// A fault stops the line that has it, and comes although nothing follows that line.
func TestFault(t *testing.T) {
	f := func(before, at string) {
		t.Helper()
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader,
		} {
			never := iotest.ErrReader(errors.New("it waits for more"))
			from := wrap(io.MultiReader(strings.NewReader(next+before+at), never))
			got, err := through(from)
			var fault *Error
			if !errors.As(err, &fault) || fault.Version {
				t.Errorf("%s: %q: got %v", name, at, err)
			}
			if !strings.HasPrefix(got, next+before) ||
				len(at) > 1 && len(got) >= len(next+before+at) {
				t.Errorf("%s: %q: passed %q", name, at, got)
			}
		}
	}
	f("", "POST /v1/events HTTP/1.1\n")
	f("", "\n")
	f("", "\x16")
	f("", "{")
	f(line, "Host: a\n")
	f(line+"Host: a\r\n", "\n")
	f(line, " folded: a\r\n")
	f(line+"Host: a\r\n", "\tb\r\n")
	f(line, "ce-a b: v\r\n")
	f(line, "Content-Length : 2\r\n")
	f(line, "no colon\r\n")
	f(line, ": v\r\n")
	f(line, "a\x00b: v\r\n")
	f(line, "\xc3\xa4: v\r\n")
	for _, length := range []string{"", "+2", "-2", "0x2", "2, 2", "2 2", "2a",
		"99999999999999999999"} {
		f(line, "Content-Length: "+length+"\r\n")
	}
	f(line+"Content-Length: 2\r\n", "Content-Length: 2\r\n")
	for _, coding := range []string{"", "identity", "gzip, chunked", "\"chunked\"", "chunked;q=1",
		"xchunked", "\vchunked"} {
		f(line, "Transfer-Encoding: "+coding+"\r\n")
	}
	f(line+"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n")
	f(line+"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "\r\n")
	f(line+"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "\r\n")
	f("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "\r\n")
	for _, size := range []string{"5;\r\n", "5 ;\r\n", "5; \r\n", "5 \r\n", "5;=b\r\n", "5;a=\r\n",
		"5;a=\"b\r\n", "5;a b\r\n", "5;a=\"b\x01\"\r\n", "5 6\r\n", "5\n", "5;a\n", "zz", "-", "+",
		"0x5\r\n", "\r\n", "100000000000000000\r\n"} {
		f(coded, size)
	}
	f(coded+"2\r\n{}", "x")
	f(coded+"2\r\n{}", "\n")
	f(coded+"2\r\n{}", "\rx\n")
	f(coded+"0\r\n", "a b: v\r\n")
	f(coded+"0\r\n", "\n")
	// A server may take such a line; what follows it is guarded all the same.
	long := strings.Repeat("x", 4*lineBytesMax)
	f(coded, "5;"+long+"\r\n")
	f(coded, strings.Repeat("0", lineBytesMax)+"5\r\n")
	f(coded+"0\r\n", "T: "+long+"\r\n")
}

// Another major version is told apart.
func TestVersion(t *testing.T) {
	f := func(text string) {
		t.Helper()
		var fault *Error
		if _, err := through(strings.NewReader(next + text)); !errors.As(err, &fault) ||
			!fault.Version {
			t.Errorf("%q: got %v", text, err)
		}
	}
	f("GET / HTTP/9.9\r\n\r\n")
	f("GET / HTTP/0.9\r\n\r\n")
	f("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

// A head has a bound, however many lines it has. Nothing after it is given out: a server with a
// higher bound would read it unguarded.
func TestHeadBound(t *testing.T) {
	head := func(bytes, lines int) string {
		text := line
		for range lines - 1 {
			text += "X: " + strings.Repeat("x", (bytes-len(line))/lines-5) + "\r\n"
		}
		return text + "X: " + strings.Repeat("x", bytes-len(text)-7) + "\r\n\r\n"
	}
	for _, lines := range []int{1, 2, 300} {
		whole := head(HeadBytesMax, lines)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader,
		} {
			text := whole + next + whole + next
			if got, err := through(wrap(strings.NewReader(text))); got != text || err != nil {
				t.Errorf("%d lines, %s: passed %d of %d bytes, %v", lines, name, len(got), len(text), err)
			}
			for _, more := range []int{1, 2, 3, HeadBytesMax} {
				text := next + head(HeadBytesMax+more, lines) + next
				got, err := through(wrap(strings.NewReader(text)))
				var fault *Error
				if !errors.As(err, &fault) || !fault.Large || len(got) > len(next)+HeadBytesMax {
					t.Errorf("%d lines, %s, %d too many: passed %d bytes, %v", lines, name, more,
						len(got), err)
				}
			}
		}
	}
}

// FuzzGuard asserts that a guard gives out the bytes as they came, the same whatever the pieces, up
// to the same fault.
func FuzzGuard(f *testing.F) {
	for _, text := range []string{line + "Content-Length: 3\r\n\r\na\nb" + next, coded +
		"2;a=\"b\"\r\n{}\r\n0\r\nT: v\r\n\r\n" + next, "\r\nGET / HTTP/2.0\r\n", line + "a b: v\r\n",
		line + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", coded + "ffffffffffffff\r\nxx",
		line + "X: " + strings.Repeat("x", 2*lineBytesMax) + "\r\na b: c\r\n",
		coded + "2;" + strings.Repeat("x", 2*lineBytesMax) + "\r\n{}\r\n0\r\n\r\n",
	} {
		f.Add([]byte(text), uint8(7))
	}
	f.Fuzz(func(t *testing.T, raw []byte, size uint8) {
		whole, fault := through(bytes.NewReader(raw))
		if !strings.HasPrefix(string(raw), whole) || fault == nil && whole != string(raw) {
			t.Fatalf("%q became %q, %v", raw, whole, fault)
		}
		pieces := make([]io.Reader, 0, len(raw)/(int(size)+1)+1)
		for rest := raw; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			pieces, rest = append(pieces, bytes.NewReader(rest[:n])), rest[n:]
		}
		parts, partFault := through(io.MultiReader(pieces...))
		if (fault == nil) != (partFault == nil) || fault != nil && fault.Error() != partFault.Error() {
			t.Fatalf("%q: %v whole, %v in pieces of %d", raw, fault, partFault, int(size)+1)
		}
		if fault == nil && parts != whole {
			t.Fatalf("%q: %q in pieces", raw, parts)
		}
	})
}

// The masks of isTokenByte hold what the standard lists.
func TestTokenByte(t *testing.T) {
	const tchars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		if want := strings.IndexByte(tchars, byte(c)) >= 0; isTokenByte(byte(c)) != want {
			t.Errorf("%q: got %v", byte(c), !want)
		}
	}
}
