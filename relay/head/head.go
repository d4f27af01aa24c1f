// Package head reads the heads of requests and answers as an attempt keeps them for people (package
// attempt makes them: lines without their ends, secrets redacted), and writes the commands that
// make such a request again from a terminal. It is pure.
package head

import "strings"

const (
	// Redacted stands for what is secret.
	Redacted = "<redacted>"
	// mark is at the end of what was cut.
	mark = "…"
)

// Field is one field of a head.
type Field struct{ Name, Value string }

// Head is a head in its parts.
type Head struct {
	// First is the first line: method and URL of a request, status line of an answer.
	First  string
	Fields []Field
	Cut    bool // there was more
}

// Parse reads a head. What is not UTF-8 or a control character is replaced; a line that goes on
// with the one before is put behind it.
func Parse(text []byte) Head {
	lines := strings.Split(strings.Map(printable, strings.ToValidUTF8(string(text), "\uFFFD")), "\n")
	h := Head{First: lines[0]}
	for i, line := range lines {
		if last, ok := strings.CutSuffix(line, mark); ok && i == len(lines)-1 {
			line, h.Cut = last, true
		}
		if i == 0 {
			h.First = line
			continue
		}
		name, value, isField := strings.Cut(line, ":")
		switch goesOn := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); {
		case goesOn && len(h.Fields) > 0:
			h.Fields[len(h.Fields)-1].Value += " " + strings.TrimSpace(line)
		case isField && !goesOn:
			h.Fields = append(h.Fields, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return h
}

// Get is the first value of a field, and whether there is one.
func (h *Head) Get(name string) (string, bool) {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// Request are method and URL of a request.
func (h *Head) Request() (method, url string) {
	method, url, _ = strings.Cut(h.First, " ")
	return method, url
}

func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
		return '\uFFFD'
	}
	return r
}
