package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// page is one answer of a listing: some elements, and where the next ones are.
type page[T any] struct {
	elements []T
	next     string // empty: this was the last
	looked   admin.Looked
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
			end()
			if len(p.elements) > 0 && !c.json {
				printPage(c, l, p.elements)
			}
			return listingBroke(ctx, c, c.again(f, l.verb, p.next), err)
		}
		p.elements, p.next = append(p.elements, more.elements...), more.next
		addLooked(&p.looked, &more.looked)
		if p.next == "" {
			break
		}
		show(len(p.elements), more.looked)
	}
	end()
	if c.json {
		return c.printJSON(l.whole(p))
	}
	sayWhereErrors(c, &p.looked)
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
func listAll[T any](ctx context.Context, c *cli, f *filter, l *listing[T], show progressFunc,
	end func()) error {
	shown, after := 0, f.after
	var looked admin.Looked
	defer func() { sayWhereErrors(c, &looked) }()
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
		addLooked(&looked, &p.looked)
		if after = p.next; after == "" {
			break
		}
		show(shown, p.looked)
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

// addLooked adds up what pages looked at.
func addLooked(sum, page *admin.Looked) {
	sum.LookedAt, sum.Left = sum.LookedAt+page.LookedAt, page.Left
	sum.WhereErrors += page.WhereErrors
	if sum.WhereError == "" {
		sum.WhereError = page.WhereError
	}
}

// sayWhereErrors tells, once, of a program that failed.
func sayWhereErrors(c *cli, sum *admin.Looked) {
	if sum.WhereErrors > 0 {
		c.say("the program of --where failed on %s, which count as no match; on the first: %s",
			count(sum.WhereErrors, "event"), clean(sum.WhereError))
	}
}

// progressFunc shows how many were found, and how far a page came.
type progressFunc func(found int, page admin.Looked)

// counter shows on a terminal how far a long search or change is; end takes the line away, and what
// is shown after that writes it again.
func (c *cli) counter(what string) (show progressFunc, end func()) {
	if !isTerminal(c.errOut) {
		return func(int, admin.Looked) {}, func() {}
	}
	drawn, last, looked := false, time.Time{}, 0
	show = func(n int, page admin.Looked) {
		looked += page.LookedAt
		if time.Since(last) < 100*time.Millisecond {
			return
		}
		drawn, last = true, time.Now()
		c.status(fmt.Sprintf("%s: looked at %s of ~%s, %s found", what, thousands(looked),
			thousands(looked+page.Left), thousands(n)))
	}
	return show, func() {
		if drawn {
			c.status("")
			drawn = false
		}
	}
}

// thousands groups the digits of a number.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// status overwrites the last line of the terminal.
func (c *cli) status(line string) {
	_, _ = c.errOut.Write([]byte("\r\x1b[K" + line))
}
