package receiver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	bodyLinesMax   = 40  // of one body in the table
	bodyColumnsMax = 200 // of one of its lines
	bodyDepthMax   = 64  // of nested JSON that is still indented: deeper, it is mostly spaces
	bodyIndent     = "    "
)

// The ANSI colours of the table.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"
)

// printer shows requests. What a sender wrote is shown with its control characters escaped, since
// a terminal would obey them.
type printer struct {
	json, color, body bool

	mu    sync.Mutex // guards what follows, and makes one Write of each request
	out   io.Writer
	began bool // the table's head was written
}

func newPrinter(options Options) *printer {
	return &printer{
		json:  options.JSON,
		color: options.Color,
		body:  options.ShowBody,
		out:   options.Out,
	}
}

func (p *printer) print(req *Request) {
	if p.json {
		p.write(p.object(req))
		return
	}
	line := []byte(p.row(req))
	if p.body {
		line = appendBody(line, req.Body)
	}
	p.write(line)
}

// printRefusal shows what came and was no request.
func (p *printer) printRefusal(at time.Time, status int, err error) {
	if p.json {
		p.write(marshal(map[string]any{"time": at, "status": status, "error": err.Error()}))
		return
	}
	p.write(fmt.Appendf(nil, "%s  %s\n", p.paint(dim, clock(at)),
		p.paint(red, fmt.Sprintf("→ %d  not a request: %s", status, clean(err.Error())))))
}

func (p *printer) write(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began && !p.json {
		p.began = true
		head := columns(cells{
			at: "TIME", attempt: "#", typ: "EVENT TYPE", size: "SIZE",
			session: "SESSION", signature: "SIGNATURE",
		}) + "ANSWER  ID"
		line = append([]byte(p.paint(dim, head)+"\n"), line...)
	}
	// A screen that is gone is no reason to stop answering, and there is nobody left to tell.
	_, _ = p.out.Write(line)
}

// row is the line of one request in the table.
func (p *printer) row(req *Request) string {
	attempt := "-"
	if req.Attempt != NoAttempt {
		attempt = strconv.Itoa(req.Attempt)
	}
	line := columns(cells{
		at: clock(req.At), attempt: attempt, typ: orDash(req.Type),
		size: size(len(req.Body)), session: orDash(req.Session), signature: signatureOf(req),
	})
	color := red
	if succeeds(req.Status) {
		color = green
	}
	line += p.paint(color, fmt.Sprintf("→ %d", req.Status)) + "   " + clean(orDash(req.ID))
	for _, mark := range marks(req) {
		line += "  " + p.paint(yellow, clean(mark))
	}
	return line + "\n"
}

// cells are the columns of one line of the table, but for the answer, which is painted, and the id.
// An id must stay whole to be copied, and may have any length: it comes after the columns.
type cells struct {
	at, attempt, typ, size, session, signature string
}

// columns aligns the cells of one line.
func columns(c cells) string {
	return fmt.Sprintf("%-12s  %3s  %-25s  %8s  %-8s  %-9s  ",
		c.at, c.attempt, clean(c.typ), c.size, clean(c.session), c.signature)
}

// marks is what is special about a request, in words.
func marks(req *Request) []string {
	var all []string
	if req.Duplicate {
		all = append(all, "duplicate")
	}
	if req.Replay {
		all = append(all, "replay")
	}
	if req.Sample {
		all = append(all, "sample")
	}
	if req.Method != "POST" || req.Path != "/" {
		all = append(all, req.Method+" "+req.Path)
	}
	if req.refused() {
		all = append(all, req.Verified)
	}
	return all
}

// signatureOf is one word on the signature of a request.
func signatureOf(req *Request) string {
	_, signed := req.Header["webhook-signature"]
	switch {
	case !signed:
		return "absent"
	case req.Verified == Unchecked:
		return "unchecked"
	case req.Verified == Valid:
		return "valid"
	}
	return "invalid"
}

// object is the line of one request in JSON. Headers are left out: they may hold secrets.
func (p *printer) object(req *Request) []byte {
	line := struct {
		Time           time.Time `json:"time"`
		Method         string    `json:"method"`
		Path           string    `json:"path"`
		ID             string    `json:"id"`
		Type           string    `json:"type"`
		Session        string    `json:"session,omitzero"`
		Attempt        *int      `json:"attempt,omitzero"`
		Replay         bool      `json:"replay,omitzero"`
		Sample         bool      `json:"sample,omitzero"`
		Bytes          int       `json:"bytes"`
		Signature      string    `json:"signature"`
		SignatureError string    `json:"signature_error,omitzero"`
		Status         int       `json:"status"`
		Duplicate      bool      `json:"duplicate"`
		Body           any       `json:"body,omitzero"`
	}{
		Time: req.At, Method: req.Method, Path: req.Path, ID: req.ID, Type: req.Type,
		Session: req.Session, Replay: req.Replay, Sample: req.Sample, Bytes: len(req.Body),
		Signature: signatureOf(req), Status: req.Status, Duplicate: req.Duplicate,
	}
	if req.Attempt != NoAttempt {
		line.Attempt = &req.Attempt
	}
	if req.refused() {
		line.SignatureError = req.Verified
	}
	switch {
	case p.body && json.Valid(req.Body):
		line.Body = json.RawMessage(req.Body)
	case p.body:
		line.Body = string(req.Body)
	}
	return marshal(line)
}

// marshal encodes one line of JSON and escapes, beyond what JSON asks for, whatever a terminal
// would obey. Such a character can only be inside a string, where \u means the same.
func marshal(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot encode a line: %s", err))
	}
	line := make([]byte, 0, len(encoded)+1)
	for _, r := range string(encoded) {
		switch {
		case strconv.IsPrint(r):
			line = utf8.AppendRune(line, r)
		case r <= 0xFFFF:
			line = fmt.Appendf(line, `\u%04x`, r)
		default:
			r -= 0x10000
			line = fmt.Appendf(line, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		}
	}
	return append(line, '\n')
}

// appendBody adds a body under its row: indented when it is JSON, cut when it is long.
func appendBody(line, body []byte) []byte {
	if len(body) == 0 {
		return line
	}
	text := body
	var pretty bytes.Buffer
	if depth(body) <= bodyDepthMax && json.Indent(&pretty, body, "", "  ") == nil {
		text = pretty.Bytes()
	}
	lines := 0
	for part := range bytes.Lines(text) {
		if lines == bodyLinesMax {
			left := bytes.Count(text, []byte("\n")) + 1 - lines
			return fmt.Appendf(line, "%s… about %d more lines\n", bodyIndent, left)
		}
		lines++
		part = bytes.TrimRight(part, "\r\n")
		cut := ""
		if end := bodyColumnsMax; len(part) > end {
			for end > 0 && !utf8.RuneStart(part[end]) {
				end--
			}
			part, cut = part[:end], "…"
		}
		line = fmt.Appendf(line, "%s%s%s\n", bodyIndent, clean(string(part)), cut)
	}
	return line
}

// depth is how deep the brackets of a JSON text nest at most, those inside strings left out.
func depth(body []byte) int {
	deepest, open, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}

// clean makes a text safe for a terminal: what is not printable becomes an escape like \x1b.
func clean(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 &&
		utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1, r < utf8.RuneSelf && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

func (p *printer) paint(color, s string) string {
	if !p.color {
		return s
	}
	return color + s + reset
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func size(bytes int) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%dB", bytes)
	case bytes < 1<<20:
		return fmt.Sprintf("%.1fKiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%.1fMiB", float64(bytes)/(1<<20))
}
