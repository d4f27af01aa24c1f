package manual

import (
	"bytes"
	"html"

	"github.com/yuin/goldmark/ast"
)

// HTML returns a page for the console: its title, and a list of all pages with the page beside it.
// The empty name is the list alone. Nothing in it is loaded from elsewhere, and no attribute is one
// that a strict Content-Security-Policy refuses. False: there is no such page.
func HTML(name string) (title string, body []byte, ok bool) {
	page, source, ok := Find(name)
	if !ok && name != "" {
		return "", nil, false
	}
	var b bytes.Buffer
	b.WriteString("<nav class=\"pages\" aria-label=\"Pages of the manual\">\n<ul>\n")
	for _, p := range Pages() {
		b.WriteString("<li><a href=\"" + p.Name + "\"")
		if p.Name == name {
			b.WriteString(" aria-current=\"page\"")
		}
		b.WriteString(">" + html.EscapeString(p.Title) + "</a></li>\n")
	}
	b.WriteString("</ul>\n</nav>\n<article class=\"manual\">\n")
	if name == "" {
		page.Title = "Manual"
		writeContents(&b)
	} else {
		writePage(&b, source)
	}
	b.WriteString("</article>\n")
	return page.Title, b.Bytes(), true
}

func writeContents(b *bytes.Buffer) {
	b.WriteString("<h1>Manual</h1>\n<dl>\n")
	for _, p := range Pages() {
		b.WriteString("<dt><a href=\"" + p.Name + "\">" + html.EscapeString(p.Title) + "</a></dt>\n<dd>" +
			html.EscapeString(p.Summary) + "</dd>\n")
	}
	b.WriteString("</dl>\n")
}

// writePage renders a page with its links made to work where it is served.
func writePage(b *bytes.Buffer, source []byte) {
	m := markdown()
	tree := parse(source)
	relink(tree)
	var page bytes.Buffer
	if err := m.Renderer().Render(&page, source, tree); err != nil {
		panic("BUG: a page of the manual cannot be rendered: " + err.Error())
	}
	// What may be wider than a phone scrolls by itself: with the arrow keys too, once it has the
	// focus. A tag in the text of a page is escaped by now.
	text := page.Bytes()
	for _, tag := range []string{"<pre", "<table"} {
		text = bytes.ReplaceAll(text, []byte(tag+">"), []byte(tag+` tabindex="0">`))
	}
	// A column without a title has no header.
	b.Write(bytes.ReplaceAll(text, []byte("<th></th>"), []byte("<td></td>")))
}

// relink leads links to other pages to where these are served. A file of the repository is not
// there, so its name stays, and no link.
func relink(tree ast.Node) {
	var dead []*ast.Link
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		l, is := n.(*ast.Link)
		if !is || !entering {
			return ast.WalkContinue, nil
		}
		to := leads(string(l.Destination))
		switch {
		case to.file != "":
			dead = append(dead, l)
		case to.url == "":
			l.Destination = []byte(to.page)
			if to.fragment != "" {
				l.Destination = append(l.Destination, "#"+to.fragment...)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, l := range dead {
		parent := l.Parent()
		for child := l.FirstChild(); child != nil; {
			next := child.NextSibling()
			parent.InsertBefore(parent, l, child)
			child = next
		}
		parent.RemoveChild(parent, l)
	}
}
