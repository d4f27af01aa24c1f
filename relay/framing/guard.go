// Package framing follows the bytes that an HTTP/1 connection receives and stops them where two
// implementations could disagree about where a request ends (request smuggling, RFC 9112 §11.2).
// Whoever reads through a Guard sees whole requests of one reading, or an *Error before the line
// that has two: the server behind it, whichever it is, needs no look of its own.
//
// What is refused, beside what is no HTTP/1:
//
//	a line of the head that does not end in CR LF, or is folded
//	a field whose name is no token, or has a space before its colon
//	Content-Length that is no number, or twice; Transfer-Encoding that is not just chunked, or twice,
//	or in HTTP/1.0; both of them
//	a chunk whose size line is not what RFC 9112 §7.1 allows; a trailer that is no field
//	a head of more than HeadBytesMax; a line as long between chunks or after them
//
// A refusal comes with the line that causes it, never after a wait for more.
package framing

import (
	"bytes"
	"fmt"
	"io"
)

// HeadBytesMax bounds a head, whatever the server takes, and empty lines before it count.
const HeadBytesMax = 16 << 10

// lineBytesMax bounds a line between chunks and after them.
const lineBytesMax = 16 << 10

// Error says what is wrong with the bytes of a connection. What follows on it is no request.
type Error struct {
	// Version: the request is of another major version than HTTP/1.
	Version bool
	// Large: a head has more than HeadBytesMax.
	Large  bool
	reason string
}

func (e *Error) Error() string { return e.reason }

// state is what the next byte belongs to.
type state uint8

const (
	requestLine state = iota
	field
	content
	chunkSize
	chunkData
	chunkEnd
	trailer
)

// Guard follows one connection. The zero Guard stands before its first request. It is not safe for
// concurrent use.
type Guard struct {
	state state
	left  int64  // of content or chunkData
	line  []byte // the beginning of a line that is not whole yet
	err   error  // sticks
	ended uint64 // requests

	// Of the head at hand.
	head           int // bytes given out
	length         int64
	sized, chunked bool // Content-Length, Transfer-Encoding
	old            bool // HTTP/1.0
}

// Read reads from the connection. What has come before a fault is given out first.
func (g *Guard) Read(from io.Reader, b []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := from.Read(b)
	passed, fault := g.pass(b[:n])
	if fault != nil {
		g.err = fault
		if passed == 0 {
			return 0, fault
		}
		return passed, nil
	}
	return n, err
}

// pass follows b and returns how many bytes of it may be given out. Of a line at fault that is all
// but its end, so that the server has something to refuse.
func (g *Guard) pass(b []byte) (int, error) {
	for at := 0; at < len(b); {
		rest := b[at:]
		switch g.state {
		case content, chunkData:
			n := min(g.left, int64(len(rest)))
			g.left -= n
			at += int(n)
			if g.left == 0 {
				g.bodyPieceEnds()
			}
			continue
		}
		n, err := g.passLine(rest)
		at += n
		if err != nil {
			return at, err
		}
	}
	return len(b), nil
}

// passLine is pass for the line that b begins with, or what has come of it.
func (g *Guard) passLine(b []byte) (int, error) {
	if len(g.line) == 0 {
		if err := g.checkStart(b[0]); err != nil {
			if g.state == requestLine {
				return 1, err // without a byte the server would close without a word
			}
			return 0, err
		}
	}
	line := b
	end := bytes.IndexByte(b, '\n')
	if end >= 0 {
		line = b[:end+1]
	}
	inHead := g.state == requestLine || g.state == field
	switch room := HeadBytesMax - g.head; {
	case inHead && len(line) > room:
		g.head += room
		return room, &Error{Large: true, reason: fmt.Sprintf(
			"the head of the request has more than %d bytes", HeadBytesMax)}
	case inHead:
		g.head += len(line)
	case len(g.line)+len(line) > lineBytesMax:
		return 0, fault("a line between the chunks of the body, or after them, is too long")
	}
	switch {
	case end < 0:
		g.line = append(g.line, line...)
		return len(b), nil
	case len(g.line) > 0:
		g.line = append(g.line, line...)
		line = g.line
	}
	err := g.take(line)
	g.line = g.line[:0]
	if err != nil {
		return end, err
	}
	return end + 1, nil
}

// bodyPieceEnds follows the last byte of a body or of a chunk.
func (g *Guard) bodyPieceEnds() {
	if g.state == content {
		g.begin()
	} else {
		g.state = chunkEnd
	}
}

// begin stands before another request.
func (g *Guard) begin() {
	*g = Guard{line: g.line[:0], ended: g.ended + 1}
}

// Begun is how many requests have been given out, whole or in part.
func (g *Guard) Begun() uint64 {
	if g.state == requestLine && len(g.line) == 0 {
		return g.ended
	}
	return g.ended + 1
}

// checkStart refuses a line by its first byte, where more of it need not be waited for.
func (g *Guard) checkStart(c byte) error {
	switch {
	case g.state == requestLine && c == 0x16: // the record type of a TLS handshake
		return fault("the request is TLS; this listener speaks HTTP without it")
	case g.state == requestLine && !isTokenByte(c) && c != '\r' && c != '\n':
		return fault("the request does not begin with a method")
	case g.state == chunkSize && hexDigit(c) < 0:
		return fault("the size of a chunk is no hexadecimal number")
	case g.state == chunkEnd && c != '\r':
		return fault("a chunk is longer than its size says")
	}
	return nil
}

// take follows one whole line, its end included.
func (g *Guard) take(line []byte) error {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return fault("a line does not end in CR LF")
	}
	switch g.state {
	case requestLine:
		return g.takeRequestLine(text)
	case field:
		return g.takeField(text)
	case chunkSize:
		return g.takeChunkSize(text)
	case chunkEnd:
		if len(text) > 0 {
			return fault("a chunk is longer than its size says")
		}
		g.state = chunkSize
	case trailer:
		if len(text) == 0 {
			g.begin()
			return nil
		}
		_, _, err := splitField(text)
		return err
	}
	return nil
}

// takeRequestLine looks at the version alone; an empty line before a request is ignored (RFC 9112
// §2.2).
func (g *Guard) takeRequestLine(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	g.state = field
	version, ok := bytes.CutPrefix(text[bytes.LastIndexByte(text, ' ')+1:], []byte("HTTP/"))
	if !ok || len(version) != 3 || version[1] != '.' || !isDigit(version[0]) ||
		!isDigit(version[2]) {
		return nil // the server's to refuse
	}
	if version[0] != '1' {
		return &Error{Version: true, reason: "the request is HTTP/" + string(version) +
			"; this listener speaks HTTP/1.1"}
	}
	g.old = version[2] == '0'
	return nil
}

func (g *Guard) takeField(text []byte) error {
	if len(text) == 0 {
		return g.endHead()
	}
	name, value, err := splitField(text)
	switch {
	case err != nil:
		return err
	case bytes.EqualFold(name, []byte("Content-Length")):
		return g.takeLength(value)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if g.chunked || !bytes.EqualFold(value, []byte("chunked")) {
			return fault("the request has a Transfer-Encoding other than chunked")
		}
		g.chunked = true
	}
	return nil
}

// splitField splits a line of head or trailers.
func splitField(text []byte) (name, value []byte, err error) {
	if text[0] == ' ' || text[0] == '\t' {
		return nil, nil, fault("a line of the head is folded")
	}
	name, value, ok := bytes.Cut(text, []byte{':'})
	if !ok || !isToken(name) {
		return nil, nil, fault("the name of a header is no token (RFC 9110 §5.6.2)")
	}
	return name, bytes.Trim(value, " \t"), nil
}

func (g *Guard) takeLength(value []byte) error {
	if g.sized {
		return fault("the request has two Content-Length")
	}
	g.sized = true
	if len(value) == 0 {
		return fault("the Content-Length is no number")
	}
	for _, c := range value {
		if !isDigit(c) || g.length > lengthMax {
			return fault("the Content-Length is no number, or beyond all bounds")
		}
		g.length = g.length*10 + int64(c-'0')
	}
	return nil
}

// lengthMax bounds lengths and sizes so that one digit more cannot overflow.
const lengthMax = 1 << 56

// endHead settles what follows the empty line.
func (g *Guard) endHead() error {
	switch {
	case g.chunked && g.sized:
		return fault("the request has Content-Length and Transfer-Encoding")
	case g.chunked && g.old:
		return fault("the request has a Transfer-Encoding in HTTP/1.0")
	case g.chunked:
		g.state = chunkSize
	case g.length > 0:
		g.state, g.left = content, g.length
	default:
		g.begin()
	}
	return nil
}
