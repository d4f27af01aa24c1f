package manual

import (
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	east "github.com/yuin/goldmark/extension/ast"
)

const (
	gridGap = 2 // spaces between columns
	// gridLeast is how narrow a column may become for which its longest word is too long.
	gridLeast = 10
)

// grid is a table of a page: a head, which may be empty, and rows.
type grid struct {
	head [][]word
	rows [][][]word
	// titles and firsts are the head and the first cells in the styles that they have in a stack.
	titles, firsts [][]word
}

func newGrid(n *east.Table, t *terminal) *grid {
	g := &grid{}
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		_, isHead := row.(*east.TableHeader)
		var cells [][]word
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			if isHead {
				cells = append(cells, spell(cell, t.source, t.styled, styleStrong))
				g.titles = append(g.titles, spell(cell, t.source, t.styled, styleFaint))
			} else {
				cells = append(cells, spell(cell, t.source, t.styled))
			}
		}
		if isHead {
			g.head = cells
		} else {
			g.rows = append(g.rows, cells)
			g.firsts = append(g.firsts, spell(row.FirstChild(), t.source, t.styled, styleStrong))
		}
	}
	return g
}

// render lays the table out in columns, or one cell below the other where the columns would be too
// narrow to read.
func (g *grid) render(room int) []string {
	widths, ok := g.fit(room)
	if !ok {
		return g.stack(room)
	}
	headless := true
	for _, cell := range g.head {
		headless = headless && len(cell) == 0
	}
	rows := make([][]string, 0, len(g.rows))
	loose := false
	for _, cells := range g.rows {
		lines := row(cells, widths)
		loose = loose || len(lines) > 1
		rows = append(rows, lines)
	}
	var out []string
	if !headless {
		out = append(out, row(g.head, widths)...)
		total := gridGap * (len(widths) - 1)
		for _, w := range widths {
			total += w
		}
		out = append(out, strings.Repeat("─", total))
	}
	for i, lines := range rows {
		if i > 0 && loose {
			out = append(out, "")
		}
		out = append(out, lines...)
	}
	return out
}

// fit gives each column what its longest word needs, and shares the rest by how much each is short
// of one line a cell. False: not even the words fit.
func (g *grid) fit(room int) (widths []int, ok bool) {
	least, whole := make([]int, len(g.head)), make([]int, len(g.head))
	for _, cells := range append([][][]word{g.head}, g.rows...) {
		for i, cell := range cells {
			l, w := widest(cell)
			least[i], whole[i] = max(least[i], l), max(whole[i], w)
		}
	}
	left, wanted := room-gridGap*(len(g.head)-1), 0
	for i := range least {
		left -= least[i]
		wanted += whole[i] - least[i]
	}
	if left < 0 {
		return nil, false
	}
	for i := range least {
		short := whole[i] - least[i]
		if wanted > left {
			short = short * left / wanted
		}
		// A long text in a narrow column is a tower: better one cell below the other.
		if least[i]+short < min(whole[i], gridLeast) {
			return nil, false
		}
		least[i] += short
	}
	return least, true
}

// row lays the cells of one row beside each other.
func row(cells [][]word, widths []int) []string {
	columns := make([][]string, len(cells))
	height := 1
	for i, cell := range cells {
		if len(cell) > 0 {
			columns[i] = wrap(cell, widths[i])
		}
		height = max(height, len(columns[i]))
	}
	lines := make([]string, height)
	for n := range lines {
		var b strings.Builder
		for i, column := range columns {
			text := ""
			if n < len(column) {
				text = column[n]
			}
			b.WriteString(text)
			if i < len(columns)-1 {
				b.WriteString(strings.Repeat(" ", max(widths[i]-shownWidth(text), 0)+gridGap))
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// shownWidth is the width of a text without its styles.
func shownWidth(text string) int {
	for {
		from := strings.Index(text, "\x1b[")
		if from < 0 {
			return uniseg.StringWidth(text)
		}
		to := strings.IndexByte(text[from:], 'm')
		text = text[:from] + text[from+to+1:]
	}
}

// stack shows each row as a list: the first cell, and below it the others after their titles.
func (g *grid) stack(room int) []string {
	const indent = "  "
	var out []string
	for n, cells := range g.rows {
		if n > 0 {
			out = append(out, "")
		}
		out = append(out, wrap(g.firsts[n], room)...)
		for i, cell := range cells {
			if i == 0 || len(cell) == 0 {
				continue
			}
			words := cell
			if title := slices.Clone(g.titles[i]); len(title) > 0 {
				title[len(title)-1].text += ":"
				title[len(title)-1].width++
				words = append(title, cell...)
			}
			for k, line := range wrap(words, room-2*len(indent)) {
				if k > 0 {
					line = indent + line // a line that goes on
				}
				out = append(out, indent+line)
			}
		}
	}
	return out
}
