package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing wrong with the file. No field ever holds a secret.
type Fault struct {
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // in characters, from 1; where the key or the list item begins
	Key     string `json:"key"`    // dotted, with [i] for the i-th item of a list from 0; may be ""
	Message string `json:"message"`
	Hint    string `json:"hint"` // what to do; may be ""
}

// Faults are all things wrong with a file, sorted by position. It is the error of Parse and Load
// when the content is at fault.
type Faults struct {
	Path string  `json:"path"`
	List []Fault `json:"faults"` // never empty
}

// Error returns a line "path:line:column: key: message" for every fault, each followed by its hint,
// if any, on an indented line of its own. It does not end with a newline.
func (f *Faults) Error() string {
	var b strings.Builder
	for i, fault := range f.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: ", f.Path, fault.Line, fault.Column)
		if fault.Key != "" {
			fmt.Fprintf(&b, "%s: ", fault.Key)
		}
		b.WriteString(fault.Message)
		if fault.Hint != "" {
			fmt.Fprintf(&b, "\n  hint: %s", fault.Hint)
		}
	}
	return b.String()
}

// newFaults sorts and keeps the list. The order does not depend on that of a Go map.
func newFaults(path string, list []Fault) *Faults {
	slices.SortFunc(list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
	return &Faults{Path: path, List: list}
}

// problem is a fault without a place. The zero value is none.
type problem struct {
	message, hint string
}

// keyPath is the way to a key: table names, key, and "[i]" for an item of a list.
type keyPath []string

func (p keyPath) key(name string) keyPath { return append(slices.Clip(p), name) }

func (p keyPath) item(i int) keyPath { return p.key(fmt.Sprintf("[%d]", i)) }

// String returns the path dotted. A name that needs quotes in TOML is cut at the first character
// that is no letter of any script, digit, _ or -, and one that looks like a signing secret is not
// shown: what stands where a key belongs may be a header line or a secret in the wrong place.
func (p keyPath) String() string {
	var b strings.Builder
	for i, name := range p {
		if i > 0 && !isItem(name) {
			b.WriteByte('.')
		}
		if isItem(name) {
			b.WriteString(name)
		} else {
			b.WriteString(shownName(name))
		}
	}
	return b.String()
}

func isItem(name string) bool {
	digits := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return digits != "" && len(digits) == len(name)-2 && strings.Trim(digits, "0123456789") == ""
}

func shownName(name string) string {
	if strings.HasPrefix(name, "whs") {
		return "…"
	}
	end := strings.IndexFunc(name, func(r rune) bool {
		return !isBare(r) && (r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.Nd))
	})
	if end < 0 {
		return name
	}
	return name[:end] + "…"
}

// isBare reports whether TOML allows the character in a key without quotes.
func isBare(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '_' || r == '-'
}

// nearest returns the known word that is fewest edits away from word, if it is near enough to be
// meant: one edit, and one more for every four characters.
func nearest(word string, known []string) (string, bool) {
	best, bestEdits := "", 1+len(word)/4
	found := false
	for _, k := range known {
		if max(len(k)-len(word), len(word)-len(k)) > bestEdits {
			continue // the difference alone is too much, and a table for a huge word costs memory
		}
		if n := edits(word, k); n < bestEdits || n == bestEdits && !found {
			best, bestEdits, found = k, n, true
		}
	}
	return best, found
}

// edits counts the insertions, deletions, replacements and swaps of neighbours that make b of a
// (optimal string alignment). Both are key names or event types, so bytes are good enough.
func edits(a, b string) int {
	width := len(b) + 1
	table := make([]int, (len(a)+1)*width)
	for i := 0; i <= len(a); i++ {
		for j := 0; j <= len(b); j++ {
			at := i*width + j
			if i == 0 || j == 0 {
				table[at] = i + j
				continue
			}
			replace := table[at-width-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			table[at] = min(replace, table[at-width]+1, table[at-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[at] = min(table[at], table[at-2*width-2]+1)
			}
		}
	}
	return table[len(table)-1]
}
