package attempt

import (
	"bufio"
	"bytes"
	"errors"
	"time"
)

// The body of an answer decides nothing. It is read for two reasons: the connection can be
// used again only from its end on, and a failure's first KiB helps whoever looks for the
// reason. Both are bounded in bytes and time.
const (
	bodyBytesMax    = 64 << 10
	snippetBytesMax = 1 << 10
	// moreMark stands at the end of what was cut.
	moreMark = "…"
	// drainMax is how long a failure, or a sample, waits for the body.
	drainMax = time.Second
	// drainSuccessMax is how long a success does. Most bodies are there with the head; the
	// rest within a round trip, which is what a new connection would cost as well, without
	// TLS. Beyond that the wait would only hold one of the target's slots.
	drainSuccessMax = 250 * time.Millisecond
	// chunkLineMax bounds a line of the chunked coding, extension included.
	chunkLineMax = 256
)

// errBody ends a drain: the body is too long or malformed. It is never shown.
var errBody = errors.New("the body is too long or malformed")

// body drains one answer's body.
type body struct {
	br      *bufio.Reader
	pc      *conn
	until   time.Time // deadline, set on pc when a read must wait
	waiting bool      // it is set
	keep    int       // bytes of the body wanted in snippet
	snippet []byte
	left    int // wire bytes that may still be read
}

// drain reads the body that h announces, as far as it is worth it, and reports whether its
// end was reached with nothing after it: only then can the connection be used again.
func (b *body) drain(h *head) bool {
	if h.cut {
		return false // what comes next is the head's, and no body
	}
	b.left = bodyBytesMax
	reusable := !h.close && (h.coded || h.length <= bodyBytesMax)
	if !reusable {
		// All that is left to gain is the snippet.
		if b.keep == 0 {
			return false
		}
		if !h.chunked {
			b.left = b.keep
		}
	}
	var err error
	switch {
	case h.bodiless():
	case h.chunked:
		err = b.chunks(reusable)
	case h.coded || h.length < 0:
		err = b.skip(bodyBytesMax + 1)
	default:
		err = b.skip(h.length)
	}
	return err == nil && reusable && b.br.Buffered() == 0 && b.pc.settled()
}

// wait makes sure that n bytes can be looked at. The deadline is set once and late, since
// most bodies have come with the head.
func (b *body) wait(n int) error {
	if b.br.Buffered() >= n {
		return nil
	}
	if !b.waiting {
		b.waiting = true
		b.pc.shorten(b.until)
	}
	_, err := b.br.Peek(n)
	return err
}

// skip reads n bytes of content.
func (b *body) skip(n int64) error {
	for n > 0 {
		if b.left == 0 {
			return errBody
		}
		if err := b.wait(1); err != nil {
			return err
		}
		size := int(min(n, int64(b.left), int64(b.br.Buffered())))
		part, _ := b.br.Peek(size)
		b.snippet = append(b.snippet, part[:min(size, b.keep-len(b.snippet))]...)
		b.br.Discard(size)
		b.left -= size
		n -= int64(size)
	}
	return nil
}

// chunks reads the chunked coding (RFC 9112 §7.1) and its trailers. Without toEnd it stops
// when the snippet is full.
func (b *body) chunks(toEnd bool) error {
	for toEnd || len(b.snippet) < b.keep {
		line, err := b.line()
		if err != nil {
			return err
		}
		size, ok := parseChunkSize(line)
		switch {
		case !ok:
			return errBody
		case size == 0:
			return b.trailers()
		}
		if err := b.skip(size); err != nil {
			return err
		}
		if line, err = b.line(); err != nil || len(line) != 0 {
			return errBody
		}
	}
	return errBody
}

// trailers reads up to the empty line. What is no field may belong to another answer.
func (b *body) trailers() error {
	for {
		line, err := b.line()
		if err != nil || len(line) == 0 {
			return err
		}
		name, _, ok := bytes.Cut(line, []byte{':'})
		if !ok || !isToken(name) || hasControl(line) {
			return errBody
		}
	}
}

// line reads a line that ends in CR LF. LF alone is refused here: proxies disagree about it
// (CVE-2025-22871), and a doubt costs no more than the connection.
func (b *body) line() ([]byte, error) {
	limit := min(chunkLineMax, b.left)
	for seen := 0; seen < limit; {
		if err := b.wait(seen + 1); err != nil {
			return nil, err
		}
		raw, _ := b.br.Peek(min(b.br.Buffered(), limit))
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			seen = len(raw)
			continue
		}
		b.br.Discard(end + 1)
		b.left -= end + 1
		line, ok := bytes.CutSuffix(raw[:end], []byte{'\r'})
		if !ok || bytes.IndexByte(line, '\r') >= 0 {
			return nil, errBody
		}
		return line, nil
	}
	return nil, errBody
}

// parseChunkSize reads the hexadecimal size and passes over an extension. Sizes that cannot
// fit in what we read are all the same.
func parseChunkSize(line []byte) (int64, bool) {
	digits, _, _ := bytes.Cut(line, []byte{';'})
	digits = trim(digits)
	var n int64
	for _, c := range digits {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = min(n<<4|int64(c), bodyBytesMax+1)
	}
	return n, len(digits) > 0
}
