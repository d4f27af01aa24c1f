package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The library takes quadratic time and memory for what no honest file has: 300,000 nested inline
// tables of 1 MiB end in the kernel's OOM killer. So the scanner looks first, and refuses them. Our
// deepest key is target.NAME.oauth2.params.NAME, and its longest part the name of a header.
const (
	depthMax        = 8
	nameBytesMax    = 512
	scannedTooDeep  = "is nested too deep: no key has more than 5 parts"
	scannedTooLarge = "is longer than any key may be"
)

// place is where something begins: line and column from 1, the column in characters.
type place struct{ line, column int }

// places is a tree of where every key and list item of a file begins.
type places struct {
	at    place
	below map[string]*places
	// value is where the key's value begins, and raw the value as it is written, if it is a string.
	value place
	raw   string
}

// inside is the place of the offset in the string that is the value at a path.
func (p *places) inside(path keyPath, offset int) place {
	for _, name := range path {
		next, ok := p.below[name]
		if !ok {
			return p.at
		}
		p = next
	}
	if p.raw == "" {
		return p.at
	}
	before := p.raw[:rawOffset(p.raw, offset)]
	at := p.value
	if n := strings.Count(before, "\n"); n > 0 {
		at.line += n
		at.column = 1
		before = before[strings.LastIndexByte(before, '\n')+1:]
	}
	at.column += utf8.RuneCountInString(before)
	return at
}

// rawOffset turns an offset in a string into that in what is written for it, quotes and escapes
// included.
func rawOffset(raw string, offset int) int {
	at, escapes := 1, raw[0] == '"'
	if len(raw) >= 6 && raw[1] == raw[0] && raw[2] == raw[0] {
		at = 3
		at += len(raw[at:]) - len(strings.TrimPrefix(strings.TrimPrefix(raw[at:], "\r"), "\n"))
	}
	for offset > 0 && at < len(raw) {
		long, means := 1, 1
		if escapes && raw[at] == '\\' {
			long, means = escape(raw[at:])
		}
		at, offset = at+long, offset-means
	}
	return min(at, len(raw))
}

// escape is how long the escape at the start of a text is, and how long what it stands for.
func escape(raw string) (long, means int) {
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	switch c := raw[min(1, len(raw)-1)]; c {
	case ' ', '\t', '\r', '\n': // a backslash at the end of a line swallows the space after it
		return len(raw) - len(strings.TrimLeft(raw[1:], " \t\r\n")), 0
	case 'x', 'u', 'U':
		long = min(2+digits[c], len(raw))
		n, _ := strconv.ParseUint(raw[2:long], 16, 32)
		return long, utf8.RuneLen(rune(n))
	}
	return 2, 1
}

// find returns the place of the path, or of its nearest ancestor that stands in the file: a key
// that is missing is reported at its table.
func (p *places) find(path keyPath) place {
	for _, name := range path {
		next, ok := p.below[name]
		if !ok {
			break
		}
		p = next
	}
	return p.at
}

// scanPlaces finds the places in a text that toml.Decode accepts; on any other text it says
// something useless. The fault is that of a text which the library should not be given.
func scanPlaces(text string) (*places, *Fault) {
	root := &places{at: place{1, 1}}
	s := &scanner{text: text, line: 1}
	table, path := root, keyPath{}
	for s.skipBlank(); s.more(); s.skipBlank() {
		if s.text[s.pos] == '[' {
			s.skipAny("[")
			table, path = s.keys(root, nil)
			s.skipAny("] \t")
			continue
		}
		s.keyValue(table, path)
	}
	return root, s.fault
}

// scanner walks over a text. counted and line say how far lines have been counted, and lineStart
// where the last of them began, so that positions cost time once over the whole text.
type scanner struct {
	text                     string
	pos                      int
	counted, line, lineStart int
	fault                    *Fault
}

func (s *scanner) more() bool { return s.pos < len(s.text) }

// place returns the place of an offset; offsets must be asked for in ascending order.
func (s *scanner) place(offset int) place {
	for ; s.counted < offset; s.counted++ {
		if s.text[s.counted] == '\n' {
			s.line++
			s.lineStart = s.counted + 1
		}
	}
	column := utf8.RuneCountInString(s.text[s.lineStart:max(s.lineStart, offset)]) + 1
	return place{s.line, column}
}

// record notes that a name below the parent begins at the offset, unless it was seen before: [a]
// after [a.b] adds to a table, and its first mention is where a reader looks.
func (s *scanner) record(parent *places, path keyPath, offset int) *places {
	name := path[len(path)-1]
	if child, ok := parent.below[name]; ok {
		return child
	}
	child := &places{at: s.place(offset)}
	if parent.below == nil {
		parent.below = map[string]*places{}
	}
	parent.below[name] = child
	return child
}

// refuse ends the scan with a fault at the offset.
func (s *scanner) refuse(offset int, message string) {
	at := s.place(offset)
	s.fault = &Fault{at.line, at.column, "", message, "is this the right file?"}
	s.pos = len(s.text)
}

// keyValue reads "a.b = value" below the table.
func (s *scanner) keyValue(table *places, path keyPath) {
	start := s.pos
	key, path := s.keys(table, path)
	s.skipAny("= \t")
	if s.more() && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
		key.value = s.place(s.pos)
		from := s.pos
		s.value(key, path)
		key.raw = s.text[from:s.pos]
		return
	}
	s.value(key, path)
	if s.pos == start {
		s.pos++ // not TOML, but it must end
	}
}

// keys reads a dotted key and records every part of it below the table.
func (s *scanner) keys(table *places, path keyPath) (*places, keyPath) {
	for {
		s.skipAny(" \t")
		start := s.pos
		name := s.name()
		switch {
		case len(name) > nameBytesMax:
			s.refuse(start, scannedTooLarge)
		case len(path) >= depthMax:
			s.refuse(start, scannedTooDeep)
		default:
			path = path.key(name)
			table = s.record(table, path, start)
		}
		s.skipAny(" \t")
		if !s.more() || s.text[s.pos] != '.' {
			return table, path
		}
		s.pos++
	}
}

// name reads one part of a key, bare or quoted.
func (s *scanner) name() string {
	if !s.more() {
		return ""
	}
	switch start := s.pos; s.text[s.pos] {
	case '\'':
		s.quoted()
		return strings.Trim(s.text[start:s.pos], "'")
	case '"':
		s.quoted()
		return unescape(s.text[start:s.pos])
	default:
		for s.more() && isBare(rune(s.text[s.pos])) {
			s.pos++
		}
		return s.text[start:s.pos]
	}
}

// value reads a value of any kind; items of lists and keys of inline tables are recorded.
func (s *scanner) value(key *places, path keyPath) {
	switch {
	case !s.more():
	case s.text[s.pos] == '"' || s.text[s.pos] == '\'':
		s.quoted()
	case s.text[s.pos] == '[':
		s.list(key, path)
	case s.text[s.pos] == '{':
		s.pos++
		for s.insideUntil('}') {
			s.keyValue(key, path)
		}
	default: // numbers, booleans, dates: nothing in them ends a line or a list
		for s.more() && strings.IndexByte(",]}#\r\n", s.text[s.pos]) < 0 {
			s.pos++
		}
	}
}

func (s *scanner) list(key *places, path keyPath) {
	s.pos++
	for i := 0; s.insideUntil(']'); i++ {
		start := s.pos
		if len(path) >= depthMax {
			s.refuse(start, scannedTooDeep)
			return
		}
		item := path.item(i)
		s.value(s.record(key, item, start), item)
		if s.pos == start {
			s.pos++ // not TOML, but it must end
		}
	}
}

// insideUntil goes to the next item of a list or inline table; at its end it steps over the
// closing character and returns false.
func (s *scanner) insideUntil(closing byte) bool {
	for s.skipBlank(); s.more() && s.text[s.pos] == ','; s.skipBlank() {
		s.pos++
	}
	if s.more() && s.text[s.pos] == closing {
		s.pos++
		return false
	}
	return s.more()
}

// quoted steps over a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.pos : s.pos+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.pos:], long) {
		s.pos += len(long)
		s.closeString(quote, long)
		// Up to two quotes may stand directly before the closing three.
		for n := 0; n < 2 && s.more() && s.text[s.pos:s.pos+1] == quote; n++ {
			s.pos++
		}
		return
	}
	s.pos++
	s.closeString(quote, quote)
}

// closeString steps past the next closing that is not escaped; in '…' nothing is. A newline ends
// a string of one quote: it is not TOML, and must not swallow the rest of the file.
func (s *scanner) closeString(quote, closing string) {
	for s.more() && (quote != closing || s.text[s.pos] != '\n') {
		if strings.HasPrefix(s.text[s.pos:], closing) {
			s.pos += len(closing)
			return
		}
		if quote == `"` && s.text[s.pos] == '\\' {
			s.pos++
		}
		s.pos++
	}
	s.pos = min(s.pos, len(s.text))
}

// skipBlank steps over white space, newlines and comments.
func (s *scanner) skipBlank() {
	for {
		s.skipAny(" \t\r\n")
		if !s.more() || s.text[s.pos] != '#' {
			return
		}
		end := strings.IndexByte(s.text[s.pos:], '\n')
		if end < 0 {
			end = len(s.text) - s.pos
		}
		s.pos += end
	}
}

func (s *scanner) skipAny(chars string) {
	for s.more() && strings.IndexByte(chars, s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// unescape reads a basic string with its quotes. Go's escapes are TOML's but for \e, which is
// missing, and \x, which is a byte there and a character here. A name that it cannot read is found
// at its table.
func unescape(quoted string) string {
	goEscapes := strings.NewReplacer(`\\`, `\\`, `\e`, `\u001b`, `\x`, `\u00`)
	name, err := strconv.Unquote(goEscapes.Replace(quoted))
	if err != nil {
		return ""
	}
	return name
}
