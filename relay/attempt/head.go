package attempt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
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
	// headBytesMax bounds one response head. 16 KiB is what most clients read, but the status line
	// is there long before, and what somebody's proxy adds to it (cookies, policies) must not make
	// a failure of an answer that says 200.
	headBytesMax = 256 << 10
	// readerBytes is the size of the reader. A head is read through it line by line and never
	// held, so that an attempt costs no more memory for a long one.
	readerBytes = 16 << 10
	// interimBytesMax bounds the 1xx heads before the final one, all of them together. Their number
	// is not bounded: a receiver that works long says 102 as often as it likes, and a failure made
	// of that would be retried although it was answered 200.
	interimBytesMax = headBytesMax
	// statusLineMin is the length of a status line without a reason.
	statusLineMin = len("HTTP/1.1 200")
)

// Faults of a response head. None quotes what came.
var (
	errNotHTTP  = errors.New("the answer is not HTTP/1")
	errTLSPort  = errors.New("the answer is not HTTP/1: the port speaks TLS, use https")
	errHTTP2    = errors.New("the answer is HTTP/2, and `http` is \"1.1\"")
	errStatus   = errors.New("the status line is malformed")
	errField    = errors.New("a header line is malformed")
	errLength   = errors.New("the Content-Length is malformed or contradicts another")
	errInterims = fmt.Errorf("the interim answers exceed %d KiB", interimBytesMax>>10)
	errSwitched = errors.New("the target switched protocols, which nobody asked for")
)

// head is what a response head says, as far as we care.
type head struct {
	status  int
	minor   byte  // of HTTP/1.x
	length  int64 // of Content-Length, math.MaxInt64 at most; -1: none
	chunked bool  // chunked is the last transfer coding
	coded   bool  // there is a Transfer-Encoding
	close   bool  // the connection must not be used again
	keep    bool  // Connection: keep-alive
	heard   heard // of a proxy
	cut     bool  // it exceeds headBytesMax, and its rest is still to be read
	// retryAfter is the first field of that name, if the status is one with which it counts.
	retryAfter string
}

// readHead reads the final head from br; text gets what is kept of it (transport.go) when it is not
// nil. The interim ones before it are passed over (RFC 9110 §15.2). The head that comes with an
// error has a status if a status line came at all.
func readHead(br *bufio.Reader, text *[]byte) (head, error) {
	var last head
	for left := interimBytesMax; left > 0; {
		s := headReader{br: br, left: headBytesMax, text: text}
		err := s.read()
		h := s.head
		switch {
		case err != nil && h.status == 0:
			return last, err
		case err != nil:
			return h, err
		case h.status == 101:
			return h, errSwitched
		case h.status >= 200:
			return h, nil
		case h.cut:
			return h, errInterims
		}
		left -= headBytesMax - s.left
		last = h
	}
	return last, errInterims
}

// headReader reads one head, line by line.
type headReader struct {
	br   *bufio.Reader
	head head
	left int // bytes of the head that may still be read
	// field is set once a field line came, framing if the last one was one of those that field
	// reads: a fold goes on with it.
	field, framing bool
	text           *[]byte // what is kept of the head; nil: nothing is
}

// errCut ends the reading of a head that exceeds its bound. It is never shown.
var errCut = errors.New("the head is too long")

// read reads the head, its empty line included. A head that is cut is none that failed: what it
// says is known from its first line.
func (s *headReader) read() error {
	last, err := false, s.statusLine()
	for {
		switch {
		case err == errCut:
			s.head.close, s.head.cut = true, true
			return nil
		case err != nil:
			return err
		case last:
			s.head.decideClose()
			return nil
		}
		last, err = s.next()
	}
}

// next reads the next line after the first; last is the empty one.
func (s *headReader) next() (last bool, err error) {
	raw, whole, err := s.peekLine()
	if err != nil {
		return false, err
	}
	if !whole {
		return false, s.longField(raw)
	}
	text := cutEnd(raw)
	if last = len(text) == 0; !last {
		err = s.fieldLine(text)
	}
	s.take(len(raw))
	return last, err
}

// statusLine reads the first line.
func (s *headReader) statusLine() error {
	if err := s.awaitStart(); err != nil {
		return err
	}
	raw, whole, err := s.peekLine()
	if err != nil {
		return err
	}
	h := head{length: -1}
	text := cutEnd(raw)
	if !h.parseStatusLine(text) {
		return errStatus
	}
	if s.text != nil {
		*s.text = (*s.text)[:0]
		s.keepLine(text)
	}
	s.head = h
	if whole {
		s.take(len(raw))
		return nil
	}
	// The reason goes on beyond the reader. A line that does not end is no status line.
	if err = s.skipLine(errStatus); err == errCut {
		err = errStatus
	}
	return err
}

// awaitStart fails as soon as the beginning cannot become a head, so that a stranger's greeting
// is not waited out.
func (s *headReader) awaitStart() error {
	for {
		raw, _ := s.br.Peek(s.br.Buffered())
		if err := checkStart(raw); err != nil {
			return err
		}
		if len(raw) >= len(headStart) {
			return nil
		}
		if _, err := s.br.Peek(len(raw) + 1); err != nil {
			return err
		}
	}
}

// peekLine waits for a line and returns it with its end; it is valid until the next read. A line
// that does not fit into the reader is not whole, and what is returned is its beginning. errCut:
// the head has no bytes left for it.
func (s *headReader) peekLine() (raw []byte, whole bool, err error) {
	for seen := 0; ; seen = len(raw) {
		raw, _ = s.br.Peek(s.br.Buffered())
		end := bytes.IndexByte(raw[seen:], '\n')
		switch {
		case end >= 0:
			raw, whole = raw[:seen+end+1], true
		case len(raw) < s.br.Size() && len(raw) <= s.left:
			if _, err := s.br.Peek(len(raw) + 1); err != nil {
				return nil, false, err
			}
			continue
		}
		if len(raw) > s.left {
			return nil, false, errCut
		}
		return raw, whole, nil
	}
}

// take passes over n bytes.
func (s *headReader) take(n int) {
	s.br.Discard(n)
	s.left -= n
}

// skipLine passes over the rest of a line that does not fit into the reader; bad is for a control
// character in it.
func (s *headReader) skipLine(bad error) error {
	for {
		raw, whole, err := s.peekLine()
		if err != nil {
			return err
		}
		text := cutEnd(raw)
		if hasControl(text) {
			return bad
		}
		if whole {
			s.take(len(raw))
			return nil
		}
		s.take(len(text)) // a CR at its end waits for what follows
	}
}

// fieldLine reads a whole line without its end.
func (s *headReader) fieldLine(line []byte) error {
	if hasControl(line) {
		return errField
	}
	s.keepLine(line)
	if isFold(line) {
		return s.fold()
	}
	name, value, found := bytes.Cut(line, []byte{':'})
	name = trim(name)
	if !found || !isToken(name) {
		return errField
	}
	s.field, s.framing = true, isFraming(name)
	if s.framing {
		return s.head.field(name, trim(value))
	}
	if h := &s.head; asksForTime(h.status) && h.retryAfter == "" && equalFold(name, "retry-after") &&
		len(value) <= retryAfterBytesMax {
		h.retryAfter = string(trim(value))
	}
	s.head.heard.field(name, value)
	return nil
}

// longField reads a line of which the reader holds only the beginning. It is judged by that: a
// field that would frame the body and is that long leaves a doubt, which costs the connection.
func (s *headReader) longField(raw []byte) error {
	s.keepLine(raw)
	name, _, found := bytes.Cut(raw, []byte{':'})
	switch name = trim(name); {
	case isFold(raw):
		if err := s.fold(); err != nil {
			return err
		}
	case !isToken(name):
		return errField
	default:
		s.field, s.framing = true, found && isFraming(name)
		s.head.close = s.head.close || s.framing
		s.head.coded = s.head.coded || found && equalFold(name, "transfer-encoding")
	}
	return s.skipLine(errField)
}

// isFold reports a line that goes on with the one before (RFC 9112 §5.2).
func isFold(line []byte) bool { return line[0] == ' ' || line[0] == '\t' }

// fold takes a line that goes on with a value we have judged already.
func (s *headReader) fold() error {
	if !s.field {
		return errField
	}
	s.head.close = s.head.close || s.framing
	return nil
}

const headStart = "HTTP/1."

// checkStart refuses what does not begin like HTTP/1, and knows two strangers by name.
func checkStart(raw []byte) error {
	n := min(len(raw), len(headStart))
	switch {
	case string(raw[:n]) == headStart[:n]:
		return nil
	case raw[0] == 0x15: // the record type of a TLS alert
		return errTLSPort
	case isHTTP2(raw):
		return errHTTP2
	}
	return errNotHTTP
}

// isHTTP2 reports the beginning of a frame (RFC 9113 §4.1) that an HTTP/2 server may send first:
// SETTINGS is its part of the preface (§3.4), GOAWAY its answer to a client without one. Both are
// far below 64 KiB.
func isHTTP2(raw []byte) bool {
	const typeSettings, typeGoAway = 0x04, 0x07
	return len(raw) > 3 && raw[0] == 0 && (raw[3] == typeSettings || raw[3] == typeGoAway)
}

// cutEnd returns a line without its end: CR LF, or LF alone (RFC 9112 §2.2). Of a part of a line
// it leaves out a CR at the end, which may belong to one.
func cutEnd(raw []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte{'\n'}), []byte{'\r'})
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

// asksForTime reports a status with which Retry-After is a request to leave the target alone for a
// while (RFC 9110 §10.2.3, RFC 6585 §4). With a redirect it means something else.
func asksForTime(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
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
