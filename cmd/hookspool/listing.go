package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"time"
)

// page is one answer of a listing: some elements, and where the next ones are.
type page[T any] struct {
	elements []T
	next     string // empty: this was the last
}

// listing is how one list of the API is read and shown.
type listing[T any] struct {
	verb  string
	noun  string // of one element
	fetch func(ctx context.Context, limit int, after string) (page[T], error)
	table *table
	row   func(t *table, element *T, now time.Time)
	whole func(page[T]) any // the answer of the API
}

// list shows a listing, bounded or, with --all, page by page. The first Ctrl-C ends it and says how
// to go on.
func list[T any](parent context.Context, c *cli, f *filter, l *listing[T]) error {
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	show, end := c.counter("looking")
	defer end()
	if f.all {
		return listAll(ctx, c, f, l, show, end)
	}
	p := page[T]{next: f.after}
	for len(p.elements) < f.limit {
		more, err := l.fetch(ctx, min(f.limit-len(p.elements), pageMax), p.next)
		if err != nil {
			return listingBroke(ctx, c, c.again(f, l.verb, p.next), err)
		}
		p.elements, p.next = append(p.elements, more.elements...), more.next
		if p.next == "" {
			break
		}
		show(len(p.elements))
	}
	end()
	if c.json {
		return c.printJSON(l.whole(p))
	}
	if len(p.elements) == 0 {
		c.say("there is no such %s", l.noun)
		return nil
	}
	printPage(c, l, p.elements)
	if p.next != "" {
		c.say("there may be more; go on with: %s", c.again(f, l.verb, p.next))
	}
	return nil
}

// listAll shows pages as they come, so that neither side holds more than one.
func listAll[T any](ctx context.Context, c *cli, f *filter, l *listing[T], show func(int),
	end func()) error {
	shown, after := 0, f.after
	for {
		p, err := l.fetch(ctx, pageMax, after)
		if err != nil {
			return listingBroke(ctx, c, c.again(f, l.verb, after), err)
		}
		if len(p.elements) > 0 {
			end()
			if err := printAll(c, l, p.elements); err != nil {
				return err
			}
		}
		shown += len(p.elements)
		if after = p.next; after == "" {
			break
		}
		show(shown)
	}
	end()
	if shown == 0 && !c.json {
		c.say("there is no such %s", l.noun)
	}
	return nil
}

func printAll[T any](c *cli, l *listing[T], elements []T) error {
	if !c.json {
		printPage(c, l, elements)
		return nil
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	for i := range elements {
		if err := encoder.Encode(&elements[i]); err != nil {
			return silent() // whoever reads has heard enough
		}
	}
	return nil
}

func printPage[T any](c *cli, l *listing[T], elements []T) {
	now := time.Now()
	for i := range elements {
		l.row(l.table, &elements[i], now)
	}
	c.printTable(l.table)
}

// listingBroke adds to a failure in the middle how to go on.
func listingBroke(ctx context.Context, c *cli, again string, err error) error {
	if ctx.Err() != nil {
		return fail("go on with: "+again, "stopped")
	}
	return c.explain(err)
}

// counter shows on a terminal how far a long search or change is; end takes the line away, and what
// is shown after that writes it again.
func (c *cli) counter(what string) (show func(int), end func()) {
	if !isTerminal(c.errOut) {
		return func(int) {}, func() {}
	}
	drawn, last := false, time.Time{}
	show = func(n int) {
		if time.Since(last) < 100*time.Millisecond {
			return
		}
		drawn, last = true, time.Now()
		c.status(what + " … " + strconv.Itoa(n))
	}
	return show, func() {
		if drawn {
			c.status("")
			drawn = false
		}
	}
}

// status overwrites the last line of the terminal.
func (c *cli) status(line string) {
	_, _ = c.errOut.Write([]byte("\r\x1b[K" + line))
}
