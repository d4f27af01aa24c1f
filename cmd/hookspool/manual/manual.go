// Package manual is the manual of hookspool: one Markdown file a page, and what shows them.
//
// The same text is read in four places: in the repository, on a terminal (Terminal), in the console
// (HTML), and as it is, through a pipe. So the files keep to plain Markdown: headings, paragraphs,
// lists, tables, code, emphasis and links. A link to another page names its file. One to a file of
// the repository goes up to the root. Both are made to work, or left out, where the text is shown.
//
// Half of two pages is made of other sources: configuration.md of config.example.toml, commands.md
// of the verbs themselves. Tests hold them to those, and write them with HOOKSPOOL_UPDATE=1.
//
// A block of commands (console, sh) is run by a test, unless its info string says norun: and why.
package manual

import (
	"bytes"
	"embed"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// files holds the pages.
//
//go:embed *.md
var files embed.FS

// Page is one page of the manual. No page has the name of a verb, so that "hookspool help NAME"
// means one thing.
type Page struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Summary string `json:"summary"` // half a sentence, for lists
}

// Pages are all pages, in the order in which a newcomer may want them. This is the only list.
func Pages() []Page {
	return []Page{
		{"sending", "Sending events", "how an app hands events over, and what it is answered"},
		{"receiving", "Receiving deliveries", "what a target gets, and how it says yes"},
		{"filtering", "Choosing what is sent", "which events a target gets, and what of them"},
		{"configuration", "Configuration", "every key with its default and its reason"},
		{"sessions", "Sessions and events", "the 24-hour session, and the catalogue of events"},
		{"retrying", "Retrying", "ticks, jobs, Defective targets, exhausted deliveries"},
		{"finding", "Where is my event?", "how to find an event and why it has not arrived"},
		{"night", "At three in the morning", "ten questions, a command each"},
		{"faults", "When things fail", "each fault: who sees what, and what to do"},
		{"alerts", "Alerts", "what is told, when, by mail and by URL"},
		{"console", "The console", "the web page that shows and steers a relay"},
		{"commands", "Commands", "every verb with its flags and examples"},
		{"api", "Admin API", "the calls of the admin listener"},
		{"metrics", "Metrics, health and log", "what Prometheus and a supervisor can ask"},
		{"tracing", "Tracing", "trace context, and spans for a collector"},
		{"care", "Care of a spool", "verify, backup, restore, move, and damage"},
		{"deploying", "Deploying", "systemd, Compose, Kubernetes, what a relay needs"},
		{"scaling", "Scaling", "when one relay is enough, and several of them"},
		{"benchmarks", "Benchmarks", "what was measured, and how to measure it"},
		{"proving", "Proving it", "the tests behind the promises"},
		{"limits", "Limits we know", "what hookspool cannot do"},
	}
}

// Find returns a page and its Markdown; false: there is none of this name.
func Find(name string) (Page, []byte, bool) {
	for _, p := range Pages() {
		if p.Name != name {
			continue
		}
		source, err := files.ReadFile(name + pageExt)
		if err != nil {
			panic("BUG: a page of the manual is not embedded: " + err.Error())
		}
		return p, source, true
	}
	return Page{}, nil, false
}

// pageExt ends the name of a page's file.
const pageExt = ".md"

// parse reads a page into a tree. Tables are all that it has beyond CommonMark.
func parse(source []byte) ast.Node {
	return markdown().Parser().Parse(text.NewReader(source))
}

func markdown() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.NewTable(
			// The console's policy refuses style attributes.
			extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()))
}

// link is where a link of a page leads.
type link struct {
	page     string // of the manual; empty: not there
	fragment string // the heading, with or without a page
	file     string // of the repository, from its root; empty: none
	url      string // elsewhere
}

// rootPrefix leads from a page's file to the root of the repository.
const rootPrefix = "../../../"

// leads takes the destination of a link apart.
func leads(destination string) link {
	if strings.Contains(destination, "://") {
		return link{url: destination}
	}
	path, fragment, _ := strings.Cut(destination, "#")
	if file, up := strings.CutPrefix(path, rootPrefix); up {
		return link{file: file, fragment: fragment}
	}
	return link{page: strings.TrimSuffix(path, pageExt), fragment: fragment}
}

// plain is the text below a node without its markup.
func plain(n ast.Node, source []byte) string {
	var b bytes.Buffer
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Text:
			if entering {
				b.Write(n.Segment.Value(source))
				if n.SoftLineBreak() || n.HardLineBreak() {
					b.WriteByte(' ')
				}
			}
		case *ast.AutoLink:
			if entering {
				b.Write(n.URL(source))
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}
