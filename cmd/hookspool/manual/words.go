package manual

import (
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/util"
)

// The styles of a terminal.
const (
	styleStrong = "\x1b[1m"
	styleEm     = "\x1b[3m"
	styleLink   = "\x1b[4m"
	styleCode   = "\x1b[36m"
	styleFaint  = "\x1b[2m"
	styleEnd    = "\x1b[0m"
)

// word is what is not broken over lines, and whether a line ends after it.
type word struct {
	text  string // with its styles
	width int
	ends  bool
}

// speller makes words of the inline part of a tree.
type speller struct {
	source []byte
	styled bool
	styles []string // those that are open
	words  []word
	glued  bool // the next text goes on with the last word
}

// spell makes words of what is below a node.
func spell(n ast.Node, source []byte, styled bool, styles ...string) []word {
	s := &speller{source: source, styled: styled, styles: styles}
	s.children(n)
	return s.words
}

func (s *speller) children(n ast.Node) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		s.node(c)
	}
}

func (s *speller) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.Text:
		s.text(string(util.UnescapePunctuations(n.Segment.Value(s.source))))
		if n.HardLineBreak() && len(s.words) > 0 {
			s.words[len(s.words)-1].ends = true
		}
		if n.SoftLineBreak() || n.HardLineBreak() {
			s.glued = false
		}
	case *ast.CodeSpan:
		s.code(plain(n, s.source))
	case *ast.Emphasis:
		style := styleEm
		if n.Level > 1 {
			style = styleStrong
		}
		s.within(style, func() { s.children(n) })
	case *ast.Link:
		s.within(styleLink, func() { s.children(n) })
		s.way(leads(string(n.Destination)), plain(n, s.source))
	case *ast.AutoLink:
		s.within(styleLink, func() { s.text(string(n.URL(s.source))) })
	default:
		s.children(n)
	}
}

func (s *speller) within(style string, f func()) {
	open := s.styles
	s.styles = append(slices.Clone(open), style)
	f()
	s.styles = open
}

// code shows a code span: by its style, or in the backticks that it was written in.
func (s *speller) code(text string) {
	if !s.styled {
		s.text("`" + text + "`")
		return
	}
	s.within(styleCode, func() { s.text(text) })
}

// way says where a link leads, unless its text does.
func (s *speller) way(to link, text string) {
	switch {
	case to.page != "" && text != "hookspool help "+to.page:
		s.text(" (help " + to.page + ")")
	case to.url != "" && text != to.url:
		s.text(" <" + to.url + ">")
	case to.file != "" && !strings.Contains(text, strings.TrimSuffix(to.file, "/")):
		s.text(" (" + to.file + ")")
	}
}

// text adds words. A text that does not begin with a space goes on with the last word.
func (s *speller) text(text string) {
	for i, part := range strings.Split(text, " ") {
		if i > 0 {
			s.glued = false
		}
		if part == "" {
			continue
		}
		w := word{text: part, width: uniseg.StringWidth(part)}
		if s.styled && len(s.styles) > 0 {
			w.text = strings.Join(s.styles, "") + part + styleEnd
		}
		if last := len(s.words) - 1; s.glued && last >= 0 {
			s.words[last].text += w.text
			s.words[last].width += w.width
		} else {
			s.words = append(s.words, w)
		}
		s.glued = true
	}
}

// wrap sets words into lines of so many columns. A word that is longer has a line of its own, and
// is broken only where it must be, in cells of tables.
func wrap(words []word, columns int) []string {
	var lines []string
	var line strings.Builder
	width := 0
	end := func() {
		lines = append(lines, line.String())
		line.Reset()
		width = 0
	}
	for _, w := range words {
		if width > 0 && width+1+w.width > columns {
			end()
		}
		if width > 0 {
			line.WriteByte(' ')
			width++
		}
		line.WriteString(w.text)
		width += w.width
		if w.ends {
			end()
		}
	}
	if width > 0 || len(lines) == 0 {
		end()
	}
	return lines
}

// widest is the longest word, and all of them on one line.
func widest(words []word) (longest, whole int) {
	for i, w := range words {
		longest = max(longest, w.width)
		whole += w.width
		if i > 0 {
			whole++
		}
	}
	return longest, whole
}
