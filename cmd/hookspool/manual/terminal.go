package manual

import (
	"strconv"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"
)

const (
	// columnsMax is the longest line that is good to read, columnsMin what a page is laid out for in
	// any case.
	columnsMax = 100
	columnsMin = 20
	codeIndent = "    "
)

// Terminal lays Markdown out for so many columns, 0 for any number. Styled text has ANSI styles;
// without them, markup that means something stays visible: code keeps its backticks, headings are
// underlined.
func Terminal(source []byte, columns int, styled bool) string {
	if columns <= 0 || columns > columnsMax {
		columns = columnsMax
	}
	t := &terminal{source: source, styled: styled}
	t.blocks(parse(source), "", max(columns, columnsMin))
	return t.b.String()
}

// terminal is a page in the making.
type terminal struct {
	source []byte
	styled bool
	b      strings.Builder
}

// blocks lays out the blocks of a node below each other, each line after an indent.
func (t *terminal) blocks(n ast.Node, indent string, columns int) {
	tight := false
	if item, is := n.(*ast.ListItem); is {
		tight = item.Parent().(*ast.List).IsTight
	}
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if c.PreviousSibling() != nil && !tight {
			t.b.WriteByte('\n')
		}
		t.block(c, indent, columns)
	}
}

func (t *terminal) block(n ast.Node, indent string, columns int) {
	room := max(columns-len(indent), columnsMin)
	switch n := n.(type) {
	case *ast.Heading:
		t.heading(n, room)
	case *ast.Paragraph, *ast.TextBlock:
		t.lines(wrap(spell(n, t.source, t.styled), room), indent)
	case *ast.FencedCodeBlock:
		t.code(n, indent)
	case *ast.CodeBlock:
		t.code(n, indent)
	case *ast.List:
		t.list(n, indent, columns)
	case *ast.Blockquote:
		t.blocks(n, indent+"  ", columns)
	case *east.Table:
		t.lines(newGrid(n, t).render(room), indent)
	case *ast.ThematicBreak:
		t.lines([]string{strings.Repeat("─", room)}, indent)
	default:
		// Raw HTML and whatever else a page should not have; a test finds it.
		t.blocks(n, indent, columns)
	}
}

func (t *terminal) lines(lines []string, indent string) {
	for _, line := range lines {
		if line != "" {
			t.b.WriteString(indent)
		}
		t.b.WriteString(line)
		t.b.WriteByte('\n')
	}
}

// heading is bold, or underlined where nothing is.
func (t *terminal) heading(n *ast.Heading, room int) {
	if t.styled {
		t.lines(wrap(spell(n, t.source, true, styleStrong), room), "")
		return
	}
	lines := wrap(spell(n, t.source, false), room)
	t.lines(lines, "")
	under := map[int]string{1: "=", 2: "-"}[n.Level]
	if under != "" {
		width := uniseg.StringWidth(lines[len(lines)-1])
		t.lines([]string{strings.Repeat(under, width)}, "")
	}
}

// code shows a block as it is: it is to be copied. What was typed stands out from its answer.
func (t *terminal) code(n ast.Node, indent string) {
	answers := false
	if f, is := n.(*ast.FencedCodeBlock); is {
		answers = string(f.Language(t.source)) == "console"
	}
	more := false
	for i := range n.Lines().Len() {
		segment := n.Lines().At(i)
		line := strings.TrimRight(string(segment.Value(t.source)), "\n")
		typed := !answers || strings.HasPrefix(line, "$ ") || more
		more = answers && typed && strings.HasSuffix(line, `\`)
		if t.styled && !typed && line != "" {
			line = styleFaint + line + styleEnd
		}
		t.lines([]string{line}, indent+codeIndent)
	}
}

func (t *terminal) list(n *ast.List, indent string, columns int) {
	number := n.Start
	for item := n.FirstChild(); item != nil; item = item.NextSibling() {
		if item.PreviousSibling() != nil && !n.IsTight {
			t.b.WriteByte('\n')
		}
		mark := "• "
		if n.IsOrdered() {
			mark = strconv.Itoa(number) + ". "
			number++
		}
		below := &terminal{source: t.source, styled: t.styled}
		deeper := indent + strings.Repeat(" ", uniseg.StringWidth(mark))
		below.blocks(item, deeper, columns)
		t.b.WriteString(indent + mark + strings.TrimPrefix(below.b.String(), deeper))
	}
}
