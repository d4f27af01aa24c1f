package attempt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
)

// A response head is parsed here and not by fasthttp.ResponseHeader (v1.74.0), which was
// tried and which
//
//   - waits for more after a head whose lines end in LF alone (so a complete 200 would be a
//     timeout), where RFC 9112 §2.2 lets us read it and net/http does;
//   - takes "Connection: Close" and "keep-alive, close" for keep-alive;
//   - refuses the whole answer for two equal Content-Length, or a Transfer-Encoding other
//     than the one word chunked, although the status is as clear as it can be;
//   - stores every field, of which we want three, and quotes the answer in its errors, which
//     may echo our Authorization.
//
// Ours decides by RFC 9112 what each head means for the connection, and never quotes it.

const (
	// headBytesMax bounds one response head, and is the size of the reader. nginx as a proxy
	// takes 4 or 8 KiB (proxy_buffer_size), fasthttp's client 4 KiB.
	headBytesMax = 16 << 10
	// interimMax bounds the 1xx heads before the final one. We asked for none, and a proxy or
	// two may add one each.
	interimMax = 8
	// statusLineMin is the length of a status line without a reason.
	statusLineMin = len("HTTP/1.1 200")
)

// Faults of a response head. None quotes what came.
var (
	errNotHTTP  = errors.New("the answer is not HTTP/1")
	errTLSPort  = errors.New("the answer is not HTTP/1: the port speaks TLS, use https")
	errStatus   = errors.New("the status line is malformed")
	errField    = errors.New("a header line is malformed")
	errLength   = errors.New("the Content-Length is malformed or contradicts another")
	errHeadSize = fmt.Errorf("the head exceeds %d KiB", headBytesMax>>10)
	errInterims = fmt.Errorf("more than %d interim answers", interimMax)
	errSwitched = errors.New("the target switched protocols, which nobody asked for")
)

// head is what a response head says, as far as we care.
type head struct {
	status  int
	minor   byte  // of HTTP/1.x
	length  int64 // of Content-Length, math.MaxInt64 at the most; -1: none
	chunked bool  // chunked is the last transfer coding
	coded   bool  // there is a Transfer-Encoding
	close   bool  // the connection must not be used again
	keep    bool  // Connection: keep-alive
}

// readHead reads the final head from br; line gets the status line when it is not nil. The
// interim ones before it are passed over (RFC 9110 §15.2). With an error comes the last
// interim one, if there was one.
func readHead(br *bufio.Reader, line *[]byte) (head, error) {
	var last head
	for range interimMax + 1 {
		raw, err := peekHead(br)
		if err != nil {
			return last, err
		}
		h, err := parseHead(raw)
		if err != nil {
			return last, err
		}
		if h.status >= 200 && line != nil {
			*line = append(*line, cutLine(raw)...)
		}
		br.Discard(len(raw))
		switch {
		case h.status == 101:
			return h, errSwitched
		case h.status >= 200:
			return h, nil
		}
		last = h
	}
	return last, errInterims
}

// peekHead waits for one complete head and returns it with its last empty line, valid until
// br is read. It fails as soon as the beginning cannot become one, so that a stranger's
// greeting is not waited out.
func peekHead(br *bufio.Reader) ([]byte, error) {
	seen := 0
	for {
		raw, _ := br.Peek(br.Buffered())
		if err := checkStart(raw); err != nil {
			return nil, err
		}
		if end := findEnd(raw, seen); end > 0 {
			return raw[:end], nil
		}
		// The empty line may be cut anywhere, so look at the last three bytes again.
		seen = max(0, len(raw)-3)
		if _, err := br.Peek(len(raw) + 1); err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errHeadSize
			}
			return nil, err
		}
	}
}

// checkStart refuses what does not begin like HTTP/1.
func checkStart(raw []byte) error {
	const start = "HTTP/1."
	n := min(len(raw), len(start))
	if string(raw[:n]) == start[:n] {
		return nil
	}
	if raw[0] == 0x15 { // the record type of a TLS alert
		return errTLSPort
	}
	return errNotHTTP
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

// parseHead reads a complete head.
func parseHead(raw []byte) (head, error) {
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

// parseStatusLine reads "HTTP/1." digit SP three digits, and the reason if there is one.
func (h *head) parseStatusLine(line []byte) bool {
	if len(line) < statusLineMin || hasControl(line) {
		return false
	}
	h.minor = line[7]
	if !isDigit(h.minor) || line[8] != ' ' || len(line) > statusLineMin && line[12] != ' ' {
		return false
	}
	for _, d := range line[9:12] {
		if !isDigit(d) {
			return false
		}
		h.status = h.status*10 + int(d-'0')
	}
	return h.status >= 100
}

// field takes note of the three fields that frame the body.
func (h *head) field(name, value []byte) error {
	switch {
	case equalFold(name, "content-length"):
		return h.contentLength(value)
	case equalFold(name, "transfer-encoding"):
		// The last coding of the last field counts, and nothing but one clean chunked keeps
		// the connection.
		h.close = h.close || h.coded || !equalFold(value, "chunked")
		h.coded = true
		last := value[bytes.LastIndexByte(value, ',')+1:]
		h.chunked = equalFold(trim(last), "chunked")
	case equalFold(name, "connection"):
		for len(value) > 0 {
			var option []byte
			option, value, _ = bytes.Cut(value, []byte{','})
			option = trim(option)
			h.close = h.close || equalFold(option, "close")
			h.keep = h.keep || equalFold(option, "keep-alive")
		}
	}
	return nil
}

// contentLength reads one value or a list of equal ones (RFC 9110 §8.6). Anything else makes
// an answer that a client must discard (RFC 9112 §6.3 rule 5), whatever its status.
func (h *head) contentLength(value []byte) error {
	for {
		item, rest, more := bytes.Cut(value, []byte{','})
		n, ok := parseLength(trim(item))
		if !ok || h.length >= 0 && h.length != n {
			return errLength
		}
		h.length = n
		if !more {
			return nil
		}
		value = rest
	}
}

// parseLength reads decimal digits; what exceeds an int64 is as good as endless.
func parseLength(digits []byte) (int64, bool) {
	var n int64
	for _, d := range digits {
		if !isDigit(d) {
			return 0, false
		}
		n = min(n, (math.MaxInt64-9)/10)*10 + int64(d-'0')
	}
	return n, len(digits) > 0
}

// decideClose settles whether the connection can be used again (RFC 9112 §9.3), and is strict
// where a doubt about the framing could give the next request the wrong answer: both length
// and coding (§6.3 rule 3), a coding in HTTP/1.0 (§6.1), a body that ends with the connection.
func (h *head) decideClose() {
	switch {
	case h.minor == '0' && !h.keep,
		h.coded && (h.length >= 0 || h.minor == '0' || !h.chunked),
		!h.coded && h.length < 0 && !h.bodiless():
		h.close = true
	}
}

// bodiless reports a status that never has a body (RFC 9112 §6.3 rule 1).
func (h *head) bodiless() bool {
	return h.status < 200 || h.status == 204 || h.status == 304
}

// isFraming reports the fields that field reads.
func isFraming(name []byte) bool {
	return equalFold(name, "content-length") || equalFold(name, "transfer-encoding") ||
		equalFold(name, "connection")
}
