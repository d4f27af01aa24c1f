package manual

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"

	"github.com/hookspool/hookspool/relay/sample"
)

const readmeLinesMax = 200

// document is a Markdown file of the repository.
type document struct {
	path   string // from the root
	source []byte
	tree   ast.Node
}

// documents are the README and every page.
func documents(t *testing.T) []document {
	t.Helper()
	paths := []string{"README.md"}
	for _, p := range Pages() {
		paths = append(paths, "cmd/hookspool/manual/"+p.Name+pageExt)
	}
	var all []document
	for _, path := range paths {
		source, err := os.ReadFile(filepath.Join(filepath.FromSlash(rootPrefix), path))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document{path, source, parse(source)})
	}
	return all
}

// walk calls f for every node of a tree.
func walk(tree ast.Node, f func(ast.Node)) {
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			f(n)
		}
		return ast.WalkContinue, nil
	})
}

// anchors are the ids of a document's headings.
func anchors(d *document) []string {
	var ids []string
	walk(d.tree, func(n ast.Node) {
		if h, is := n.(*ast.Heading); is {
			id, _ := h.AttributeString("id")
			ids = append(ids, string(id.([]byte)))
		}
	})
	return ids
}

// TestLinks follows every link of the README and the manual: files and anchors must be there. What is
// elsewhere is looked at for its form only, because no test leaves this machine.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := documents(t)
	byPath := map[string]*document{}
	for i := range all {
		byPath[all[i].path] = &all[i]
	}
	links := 0
	for i := range all {
		d := &all[i]
		walk(d.tree, func(n ast.Node) {
			l, is := n.(*ast.Link)
			if !is {
				return
			}
			links++
			to := string(l.Destination)
			if strings.Contains(to, "://") {
				if u, err := url.Parse(to); err != nil || u.Scheme != "https" || u.Host == "" {
					t.Errorf("%s: %q is no https link", d.path, to)
				}
				return
			}
			path, fragment, _ := strings.Cut(to, "#")
			target := d.path
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(d.path), path))
			}
			if _, err := os.Stat(filepath.Join(filepath.FromSlash(rootPrefix), target)); err != nil {
				t.Errorf("%s: the link %q leads nowhere: %v", d.path, to, err)
				return
			}
			if fragment == "" {
				return
			}
			if other := byPath[target]; other == nil || !slices.Contains(anchors(other), fragment) {
				t.Errorf("%s: %q has no such heading", d.path, to)
			}
		})
	}
	if links < 60 {
		t.Errorf("there are %d links; this test looks in the wrong place", links)
	}
}

// TestPages asserts that a page is what all four readers can show: it begins with its title, has no
// raw HTML, no picture, no heading that comes twice, and every other page can be reached from the
// README.
func TestPages(t *testing.T) {
	t.Parallel()
	all := documents(t)
	readme := string(all[0].source)
	if n := strings.Count(readme, "\n"); n > readmeLinesMax {
		t.Errorf("README.md has %d lines; %d at most", n, readmeLinesMax)
	}
	for i, p := range Pages() {
		d := &all[i+1]
		first, is := d.tree.FirstChild().(*ast.Heading)
		if !is || first.Level != 1 || plain(first, d.source) != p.Title {
			t.Errorf("%s does not begin with its title %q", d.path, p.Title)
		}
		if !strings.Contains(readme, "("+d.path+")") {
			t.Errorf("README.md does not lead to %s", d.path)
		}
	}
	for i := range all {
		d := &all[i]
		walk(d.tree, func(n ast.Node) {
			switch n := n.(type) {
			case *ast.HTMLBlock, *ast.RawHTML, *ast.Image:
				t.Errorf("%s has %s, which a terminal cannot show", d.path, n.Kind())
			case *ast.FencedCodeBlock:
				if n.Info == nil && d.path != "README.md" {
					t.Errorf("%s has a block of no language", d.path)
				}
			}
		})
		ids := anchors(d)
		slices.Sort(ids)
		if d.path == "README.md" || len(slices.Compact(slices.Clone(ids))) == len(ids) {
			continue
		}
		t.Errorf("%s has a heading twice: %q", d.path, ids)
	}
}

// TestWords keeps words out that no native speaker would use so (HOUSE §7).
func TestWords(t *testing.T) {
	t.Parallel()
	signs := regexp.MustCompile(`(?i)\banew\b|\bat the most\b|\bthe begin\b|\bbehind (it|this|that)\b|` +
		`\bmend(s|ed)?\b`)
	for _, d := range documents(t) {
		for i, line := range strings.Split(string(d.source), "\n") {
			if found := signs.FindString(line); found != "" {
				t.Errorf("%s:%d has %q", d.path, i+1, found)
			}
		}
	}
}

// TestHTML asserts that a page is safe to serve under the console's policy and that its links stay
// in the manual.
func TestHTML(t *testing.T) {
	t.Parallel()
	refused := regexp.MustCompile(`(?i)<script|<style|<img|\sstyle=|\son[a-z]+=|raw HTML omitted|` +
		`href="[^"]*(?:\.md|\.\./)`)
	for _, p := range append(Pages(), Page{Title: "Manual"}) {
		title, body, ok := HTML(p.Name)
		if !ok || title != p.Title {
			t.Errorf("page %q: title %q, %v", p.Name, title, ok)
		}
		if found := refused.FindString(string(body)); found != "" {
			t.Errorf("page %q has %q", p.Name, found)
		}
	}
	if _, _, ok := HTML("nosuch"); ok {
		t.Error("there is a page nosuch")
	}
}

// TestCatalogue asserts that the fields which the catalogue names are in the samples of the types
// that it names them of.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	_, source, _ := Find("sessions")
	rows := 0
	walk(parse(source), func(n ast.Node) {
		table, is := n.(*east.Table)
		if !is {
			return
		}
		last := table.FirstChild().LastChild()
		if plain(last, source) != "fields that tell" {
			return
		}
		for row := table.FirstChild().NextSibling(); row != nil; row = row.NextSibling() {
			var types, fields []string
			walk(row.FirstChild(), func(n ast.Node) {
				if n.Kind() == ast.KindCodeSpan {
					types = append(types, plain(n, source))
				}
			})
			walk(row.LastChild(), func(n ast.Node) {
				if n.Kind() == ast.KindCodeSpan {
					fields = append(fields, plain(n, source))
				}
			})
			rows++
			for _, typ := range types {
				payload, ok := sample.Payload(typ)
				for _, field := range fields {
					if !ok || !strings.Contains(string(payload), `"`+field+`"`) {
						t.Errorf("the sample of %s has no field %s", typ, field)
					}
				}
			}
		}
	})
	if rows < 10 {
		t.Errorf("there are %d rows of fields; this test looks in the wrong place", rows)
	}
}

// TestTerminalFits lays every page out for several widths: no line but one of code is longer, and
// without styles nothing is left of them.
func TestTerminalFits(t *testing.T) {
	t.Parallel()
	for _, p := range Pages() {
		_, source, _ := Find(p.Name)
		for _, columns := range []int{20, 40, 60, 80, 100, 0} {
			for _, styled := range []bool{true, false} {
				text := Terminal(source, columns, styled)
				if !styled && strings.Contains(text, "\x1b") {
					t.Fatalf("page %s has styles", p.Name)
				}
				for line := range strings.Lines(text) {
					line = strings.TrimRight(line, "\n")
					most := columns
					if columns == 0 {
						most = columnsMax
					}
					// One word cannot be broken, and code is left as it is.
					if shownWidth(line) > most && !strings.HasPrefix(line, codeIndent) &&
						strings.Contains(strings.TrimSpace(line), " ") && columns >= 60 {
						t.Errorf("page %s at %d columns: %q", p.Name, columns, line)
					}
				}
			}
		}
	}
}

// TestTerminal lays out one of each thing.
func TestTerminal(t *testing.T) {
	t.Parallel()
	f := func(columns int, styled bool, in, want string) {
		t.Helper()
		if got := Terminal([]byte(in), columns, styled); got != want {
			t.Errorf("%q at %d columns became\n%q, want\n%q", in, columns, got, want)
		}
	}
	// Headings, emphasis and code keep a sign of what they are.
	f(40, false, "# A `b`\n\nc *d* **e**\n", "A `b`\n=====\n\nc d e\n")
	f(40, false, "## A\n\nb\n", "A\n-\n\nb\n")
	f(40, true, "# A\n\n*b* **c** `d`\n", "\x1b[1mA\x1b[0m\n\n\x1b[3mb\x1b[0m \x1b[1mc\x1b[0m "+
		"\x1b[36md\x1b[0m\n")
	// Words are set into lines; one that is too long has its own.
	f(20, false, "one two three four five\n", "one two three four\nfive\n")
	f(20, false, "a https://example.com/0123456789 b\n", "a\nhttps://example.com/0123456789\nb\n")
	// A width is that of the screen, not of bytes.
	f(20, false, "ääääääääää 日本語日本\n", "ääääääääää\n日本語日本\n")
	// Links say where they lead, if they do not already.
	f(60, false, "See [Retrying](retrying.md#x).\n", "See Retrying (help retrying).\n")
	f(60, false, "See [here](#x), [that](https://example.com).\n",
		"See here, that <https://example.com>.\n")
	f(60, false, "[`deploy/x`](../../../deploy/x) [it](../../../LICENSE)\n",
		"`deploy/x` it (LICENSE)\n")
	// Lists.
	f(20, false, "- one two three four\n- five\n", "• one two three four\n• five\n")
	f(20, false, "9. nine ten eleven twelve\n", "9. nine ten eleven\n   twelve\n")
	f(20, false, "1. a\n2. b\n\n   c\n", "1. a\n\n2. b\n\n   c\n")
	// Code is never broken; what a program answers is fainter than what was typed.
	f(20, false, "```sh\nhookspool help --no-pager faults\n```\n",
		"    hookspool help --no-pager faults\n")
	f(20, true, "```console\n$ a \\\n  b\nc\n```\n", "    $ a \\\n      b\n    \x1b[2mc\x1b[0m\n")
	// Tables: columns, cells of several lines, no head, and a stack where columns are too narrow.
	f(40, false, "| a | b |\n|---|---|\n| 1 | two |\n", "a  b\n──────\n1  two\n")
	f(24, false, "| a | b |\n|---|---|\n| 1 | one two three four five six |\n| 2 | x |\n",
		"a  b\n────────────────────────\n1  one two three four\n   five six\n\n2  x\n")
	f(40, false, "| | |\n|---|---|\n| 1 | two |\n", "1  two\n")
	f(24, false, "| name | what it is |\n|---|---|\n| 0123456789abcdef | one two three four |\n",
		"0123456789abcdef\n  what it is: one two\n    three four\n")
	f(40, false, "> quoted\n", "  quoted\n")
	f(20, false, "---\n", strings.Repeat("─", 20)+"\n")
}
