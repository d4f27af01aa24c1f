package failures

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lineMax bounds a line, in bytes.
const lineMax = 120

// FirstLine is the first line of an answer that says something; of a page of HTML its title.
func FirstLine(answer string) string {
	answer = strings.ToValidUTF8(answer, "\uFFFD")
	if strings.HasPrefix(strings.TrimSpace(answer), "<") {
		// ASCII alone is put into lower case, so that the places stay.
		lower := strings.Map(func(r rune) rune {
			if r < utf8.RuneSelf {
				return unicode.ToLower(r)
			}
			return r
		}, answer)
		if _, rest, ok := strings.Cut(lower, "<title>"); ok {
			from := len(lower) - len(rest)
			title, _, _ := strings.Cut(rest, "<")
			if title := oneLine(answer[from : from+len(title)]); title != "" {
				return title
			}
		}
	}
	for line := range strings.Lines(answer) {
		if line = oneLine(line); line != "" {
			return line
		}
	}
	return ""
}

// oneLine puts a text on one line of bounded length.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= lineMax {
		return text
	}
	end := lineMax - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// An id is at least so long and has at least so many digits.
const (
	idBytesMin  = 8
	idDigitsMin = 4
)

// alike is a text with "…" for each id in it.
func alike(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := strings.IndexFunc(text, func(r rune) bool { return !ofID(r) })
		if n < 0 {
			n = len(text)
		}
		if isID(text[:n]) {
			b.WriteString("…")
		} else {
			b.WriteString(text[:n])
		}
		_, size := utf8.DecodeRuneInString(text[n:])
		b.WriteString(text[n : n+size])
		text = text[n+size:]
	}
	return b.String()
}

// Literal is the longest part of an error that all of a group have, to look for them by; empty:
// there is none.
func Literal(text string) (longest string) {
	for part := range strings.SplitSeq(alike(text), "…") {
		if part = strings.TrimSpace(part); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

func ofID(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		strings.ContainsRune("-_.:", r)
}

func isID(run string) bool {
	digits := 0
	for _, r := range run {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return len(run) >= idBytesMin && digits >= idDigitsMin
}
