package main

import (
	"strings"
	"unicode/utf8"
)

// flexMin is the least that a flexible column shrinks to.
const flexMin = 8

// column is one column of a table.
type column struct {
	name  string
	right bool // numbers
	flex  bool // gives way when the table is wider than the screen
}

// table is text in columns.
type table struct {
	columns []column
	rows    [][]string
}

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(clean(cell), "\n", " ")
	}
	t.rows = append(t.rows, cells)
}

// render fits the table into so many columns of the screen, 0 for any number. paint colours the
// cell of a row after it is aligned; nil: no colours.
func (t *table) render(screen int, paint func(row, column int, text string) string) string {
	widths := t.widths(screen)
	var b strings.Builder
	line := func(row int, cells []string) {
		last := len(cells) - 1
		for i, cell := range cells {
			text := align(truncate(cell, widths[i]), widths[i], t.columns[i].right, i == last)
			if paint != nil && row >= 0 {
				text = paint(row, i, text)
			}
			b.WriteString(text)
			if i < last {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	head := make([]string, len(t.columns))
	for i, c := range t.columns {
		head[i] = c.name
	}
	line(-1, head)
	for row, cells := range t.rows {
		line(row, cells)
	}
	return b.String()
}

// widths are those of the longest cells; when that is too much the flexible columns share what the
// others leave, the widest giving way first.
func (t *table) widths(screen int) []int {
	widths := make([]int, len(t.columns))
	total := 2 * (len(t.columns) - 1)
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.name)
		for _, cells := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
		total += widths[i]
	}
	for ; screen > 0 && total > screen; total-- {
		widest := -1
		for i, c := range t.columns {
			if c.flex && widths[i] > flexMin && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// align fills a cell up; the last one of a line needs no spaces behind it.
func align(text string, width int, right, last bool) string {
	fill := max(width-utf8.RuneCountInString(text), 0)
	switch {
	case right:
		return strings.Repeat(" ", fill) + text
	case last:
		return text
	}
	return text + strings.Repeat(" ", fill)
}
