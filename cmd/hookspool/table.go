package main

import (
	"math"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
)

const (
	// flexMin is the least that a flexible column shrinks to while there is another way.
	flexMin = 8
	// cellMin is the least of all: a character and "…" tell more than nothing.
	cellMin = 2
	gap     = 2 // spaces between columns
)

// column is one column of a table.
type column struct {
	name  string
	right bool // numbers
	flex  bool // gives way when the table is wider than the screen
	min   int  // a flexible one shrinks to this; 0: flexMin
	// spare is left out when shrinking is not enough, the highest first; 0: it always stays.
	spare int
	// wide is left out of a narrow screen, however short all else is: that is for the others.
	wide bool
	// color chooses one of the ANSI colours for a cell, or ""; nil: none has any.
	color func(cell string) string
}

// wideMin is how many columns a screen has that is not narrow.
const wideMin = 120

// least is what a column shrinks to before others are left out.
func (c *column) least() int {
	switch {
	case !c.flex:
		return math.MaxInt
	case c.min > 0:
		return c.min
	}
	return flexMin
}

// tooWide reports whether it is not for a screen; 0: there is no bound.
func (c *column) tooWide(screen int) bool { return c.wide && screen > 0 && screen < wideMin }

// table is text in columns.
type table struct {
	columns []column
	rows    [][]string
	// natural are the widths of the longest cells so far, so that the pages of one listing stay in
	// line as far as can be known.
	natural []int
	headed  bool // the head of the table was rendered
}

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(clean(cell), "\n", " ")
	}
	t.rows = append(t.rows, cells)
}

// render fits the table into so many columns of the screen, 0 for any number. It takes the rows:
// what is added after that is rendered as the next page, without a head.
func (t *table) render(screen int, colors bool) string {
	widths, shown := t.fit(screen)
	var b strings.Builder
	line := func(cells []string, colors bool) {
		for n, i := range shown {
			c, last := &t.columns[i], n == len(shown)-1
			text := align(truncate(cells[i], widths[i]), widths[i], c.right, last)
			if colors && c.color != nil && c.color(cells[i]) != "" {
				text = c.color(cells[i]) + text + reset
			}
			b.WriteString(text)
			if !last {
				b.WriteString(strings.Repeat(" ", gap))
			}
		}
		b.WriteByte('\n')
	}
	if !t.headed {
		head := make([]string, len(t.columns))
		for i, c := range t.columns {
			head[i] = c.name
		}
		line(head, false)
	}
	for _, cells := range t.rows {
		line(cells, colors)
	}
	t.rows, t.headed = nil, true
	return b.String()
}

// fit chooses the columns that are shown and their widths. The flexible ones give way first, the
// widest before the others; then the spare ones go; then all give way.
func (t *table) fit(screen int) (widths, shown []int) {
	t.measure()
	for i := range t.columns {
		if !t.columns[i].tooWide(screen) {
			shown = append(shown, i)
		}
	}
	for {
		widths = slices.Clone(t.natural)
		if t.shrink(widths, shown, screen, (*column).least) {
			return t.refit(widths, shown, screen)
		}
		spare := -1
		for n, i := range shown {
			if s := t.columns[i].spare; s > 0 && (spare < 0 || s > t.columns[shown[spare]].spare) {
				spare = n
			}
		}
		if spare < 0 {
			break
		}
		shown = slices.Delete(shown, spare, spare+1)
	}
	t.shrink(widths, shown, screen, func(*column) int { return cellMin })
	return widths, shown
}

// refit takes back what went before something larger did, as far as it fits, the last first.
func (t *table) refit(widths, shown []int, screen int) (all, more []int) {
	for spare := 1; len(shown) < len(t.columns) && spare <= len(t.columns); spare++ {
		for i := range t.columns {
			if t.columns[i].spare != spare || slices.Contains(shown, i) ||
				t.columns[i].tooWide(screen) {
				continue
			}
			more := slices.Sorted(slices.Values(append(slices.Clone(shown), i)))
			again := slices.Clone(t.natural)
			if t.shrink(again, more, screen, (*column).least) {
				widths, shown = again, more
			}
		}
	}
	return widths, shown
}

// measure brings the natural widths up to date.
func (t *table) measure() {
	if t.natural == nil {
		t.natural = make([]int, len(t.columns))
	}
	for i, c := range t.columns {
		t.natural[i] = max(t.natural[i], uniseg.StringWidth(c.name))
		for _, cells := range t.rows {
			t.natural[i] = max(t.natural[i], uniseg.StringWidth(cells[i]))
		}
	}
}

// shrink takes width from the widest columns until the line fits, and reports whether it does.
// least is what it leaves to a column.
func (t *table) shrink(widths, shown []int, screen int, least func(*column) int) bool {
	total := gap * (len(shown) - 1)
	for _, i := range shown {
		total += widths[i]
	}
	for ; screen > 0 && total > screen; total-- {
		widest := -1
		for _, i := range shown {
			if widths[i] > least(&t.columns[i]) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	return true
}

// align fills a cell up; the last one of a line needs no spaces after it.
func align(text string, width int, right, last bool) string {
	fill := max(width-uniseg.StringWidth(text), 0)
	switch {
	case right:
		return strings.Repeat(" ", fill) + text
	case last:
		return text
	}
	return text + strings.Repeat(" ", fill)
}
