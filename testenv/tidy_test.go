package testenv

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hookspool/hookspool/testenv/effort"
)

// The limits of HOUSE §3.
const (
	functionLinesMax = 70
	fileLinesMax     = 500
	lineColumnsMax   = 100
	tabColumns       = 1 // how wide a tab looks is the reader's choice
)

const module = "github.com/hookspool/hookspool"

// source is one Go file of the repository that is not a test.
type source struct {
	path string // relative to the module, with slashes
	dir  string
	text []byte
	file *ast.File
	fset *token.FileSet
}

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// goSites are the only places that may start a goroutine (HOUSE §5); a directory ends in a slash.
var goSites = []string{
	"relay/relay.go", "relay/crew.go", "relay/attempt/dial.go", "relay/admin/", "relay/receiver/",
	"relay/config/file.go",
	"spool/spool.go", "spool/badger/store.go", "spool/jetstream/engine.go", "spool/jetstream/read.go", "testenv/", "cmd/hookspool/",
}

// importRules name what only some directories may import. A rule is the prefix of an import path
// and the prefixes of the paths of files that may have it.
var importRules = []struct {
	imported string
	by       []string
}{
	{"github.com/dgraph-io/badger", []string{"spool/badger/"}},
	{"github.com/valyala/fasthttp", []string{"relay/accept/", "relay/receiver/", "testenv/"}},
	{"github.com/BurntSushi/toml", []string{"relay/config/"}},
	{"golang.org/x/oauth2", []string{"relay/token/"}},
	{"github.com/prometheus/client_golang", []string{"relay/admin/", "relay/metrics.go"}},
	{"go.opentelemetry.io", []string{"relay/trace/otel.go"}},
	{"github.com/nats-io/nats-server", []string{"testenv/nats/"}},
	{"github.com/nats-io/nats.go", []string{"spool/jetstream/", "testenv/"}},
	{module + "/testenv", []string{"testenv/"}},
	{module + "/spool/spooltest", []string{"spool/spooltest/"}},
	{module + "/cmd", []string{"cmd/"}},
}

// importBans name directories that may not import something although they lie in one that may.
var importBans = []struct {
	imported string
	not      []string
}{
	{"github.com/valyala/fasthttp", []string{"relay/admin/", "relay/attempt/"}},
	{module + "/spool/badger", []string{"spool/look/"}},
}

// insiders are the files of testenv that may know what is inside: what has no wire to be measured by.
var insiders = map[string]string{"testenv/bench/spoolrun.go": "spool"}

// TestTidy holds the repository's shipped code to the house style. Every rule is about non-test
// files; the line length holds for all.
func TestTidy(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	sources := readSources(t)
	if len(sources) < 20 {
		t.Fatalf("found %d Go files; this test looks in the wrong place", len(sources))
	}
	for _, s := range sources {
		checkSize(t, s)
		checkImports(t, s)
		checkGoroutines(t, s)
		checkDocs(t, s)
		checkVars(t, s)
		checkWords(t, s)
	}
}

// checkWords keeps words out of comments and messages that nobody says (HOUSE §7).
func checkWords(t *testing.T, s *source) {
	t.Helper()
	signs := regexp.MustCompile(`(?i)\b(ane` + `w|at the mos` + `t|the begi` + `n)\b`)
	for i, line := range strings.Split(string(s.text), "\n") {
		if sign := signs.FindString(line); sign != "" {
			t.Errorf("%s:%d has %q", s.path, i+1, sign)
		}
	}
}

// TestTidyDocuments asserts that what a newcomer looks for is there.
func TestTidyDocuments(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	root := mustRoot(t)
	for _, name := range []string{"README.md", "CHANGELOG.md", "LICENSE", "config.example.toml"} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty", name)
		}
	}
}

// TestTidyCommand asserts that the README's command for all tests needs nothing but Go, and that CI
// runs every package so: without a C compiler, and watched.
func TestTidyCommand(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	root := mustRoot(t)
	readme := readFile(t, filepath.Join(root, "README.md"))
	if !strings.Contains(readme, "\n$ go test ./... ") || strings.Contains(readme, "test -race") {
		t.Error("README.md does not say that go test ./... runs all tests")
	}
	ci := readFile(t, filepath.Join(root, ".ci", "run"))
	for _, line := range []string{
		`units=$(go list ./spool ./spool/jetstream ./... | grep -v '/testenv$' | paste -sd' ')`,
		`CC=/nonexistent suite units "$units" -p "$atOnce"`,
		`CC=/nonexistent suite scenarios ./testenv`,
	} {
		if !strings.Contains(ci, "\n"+line+"\n") {
			t.Errorf(".ci/run does not run %s", line)
		}
	}
}

func mustRoot(t *testing.T) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func readSources(t *testing.T) []*source {
	t.Helper()
	root := mustRoot(t)
	var sources []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		s, err := readSource(root, path)
		if err == nil {
			sources = append(sources, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func readSource(root, path string) (*source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	rel = filepath.ToSlash(rel)
	return &source{path: rel, dir: filepath.ToSlash(filepath.Dir(rel)), text: text, file: file,
		fset: fset}, err
}

// checkSize measures files, lines and functions.
func checkSize(t *testing.T, s *source) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(s.text), "\n"), "\n")
	if len(lines) > fileLinesMax {
		t.Errorf("%s has %d lines; %d at most", s.path, len(lines), fileLinesMax)
	}
	for i, line := range lines {
		columns := utf8.RuneCountInString(line) + strings.Count(line, "\t")*(tabColumns-1)
		if columns > lineColumnsMax {
			t.Errorf("%s:%d has %d columns (tab = %d); %d at most", s.path, i+1, columns,
				tabColumns, lineColumnsMax)
		}
	}
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > functionLinesMax {
				t.Errorf("%s:%d: function %s has %d lines; %d at most", s.path,
					s.line(f.Pos()), f.Name.Name, n, functionLinesMax)
			}
		}
	}
}

// checkImports holds imports to one direction, cmd → relay → spool, and libraries to their places.
func checkImports(t *testing.T, s *source) {
	t.Helper()
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		own, isOwn := strings.CutPrefix(imported, module+"/")
		switch {
		case strings.HasPrefix(s.path, "spool/") && isOwn && !within(own, "spool"),
			strings.HasPrefix(s.path, "relay/") && isOwn && !within(own, "relay", "spool"),
			strings.HasPrefix(s.path, "testenv/") && isOwn && !within(own, "testenv") &&
				own != insiders[s.path]:
			t.Errorf("%s:%d: import of %s goes against cmd → relay → spool", s.path,
				s.line(spec.Pos()), own)
		}
		for _, rule := range importRules {
			if within(imported, rule.imported) && !allowed(s.path, rule.by) {
				t.Errorf("%s:%d: %s may be imported only by %v", s.path, s.line(spec.Pos()),
					imported, rule.by)
			}
		}
		for _, ban := range importBans {
			if within(imported, ban.imported) && allowed(s.path, ban.not) {
				t.Errorf("%s:%d: %s may not be imported in %v", s.path, s.line(spec.Pos()), imported,
					ban.not)
			}
		}
	}
}

// within reports whether an import path is one of some packages or below it.
func within(path string, packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

func allowed(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path, p) })
}

// checkGoroutines keeps go statements, and the Go methods of wait groups, to named places.
func checkGoroutines(t *testing.T, s *source) {
	t.Helper()
	if allowed(s.path, goSites) {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s:%d: a goroutine is started here; only %v may", s.path, s.line(n.Pos()),
				goSites)
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" {
				t.Errorf("%s:%d: a goroutine is started here; only %v may", s.path,
					s.line(n.Pos()), goSites)
			}
		}
		return true
	})
}

// checkDocs wants a comment on every exported name outside of main packages.
func checkDocs(t *testing.T, s *source) {
	t.Helper()
	if s.file.Name.Name == "main" {
		return
	}
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !selfTelling(d) {
				t.Errorf("%s:%d: exported %s has no doc comment", s.path, s.line(d.Pos()),
					d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				checkSpecDoc(t, s, d, spec)
			}
		}
	}
}

// selfTelling are methods whose meaning is their interface's: fmt.Stringer, error, io and sort.
func selfTelling(d *ast.FuncDecl) bool {
	names := []string{"String", "Error", "Unwrap", "Read", "Write", "Close", "Len", "Less", "Swap",
		"MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON", "LogValue", "Format",
		"GoString", "Describe", "Collect"}
	return d.Recv != nil && slices.Contains(names, d.Name.Name)
}

func exportedReceiver(d *ast.FuncDecl) bool {
	return d.Recv == nil || ast.IsExported(receiver(d))
}

func checkSpecDoc(t *testing.T, s *source, d *ast.GenDecl, spec ast.Spec) {
	t.Helper()
	undocumented := func(name *ast.Ident, doc, comment *ast.CommentGroup) {
		if name.IsExported() && d.Doc == nil && doc == nil && comment == nil {
			t.Errorf("%s:%d: exported %s has no doc comment", s.path, s.line(name.Pos()), name.Name)
		}
	}
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		undocumented(spec.Name, spec.Doc, spec.Comment)
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			undocumented(name, spec.Doc, spec.Comment)
		}
	}
}

// packageVars are the package-level variables that may exist beside errors, embedded files and
// assertions (var _ T = …): constants that Go has no constant for, the once of testenv, and the ports of
// a process.
var packageVars = []string{"testenv/binary.go:build", "testenv/binary.go:asked",
	"testenv/nats/binary.go:build", "testenv/nats/binary.go:asked",
	"testenv/port/port.go:own", "spool/record/table.go:kinds",
	"cmd/hookspool/version.go:version"}

// checkVars finds package-level state.
func checkVars(t *testing.T, s *source) {
	t.Helper()
	for _, decl := range s.file.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.VAR || d.Doc != nil && strings.Contains(d.Doc.Text(), "go:embed") {
			continue
		}
		for _, spec := range d.Specs {
			value := spec.(*ast.ValueSpec)
			for i, name := range value.Names {
				if !fixedVar(s, d, value, i) && !allowed(s.path+":"+name.Name, packageVars) {
					t.Errorf("%s:%d: package-level variable %s; state has an owner", s.path,
						s.line(name.Pos()), name.Name)
				}
			}
		}
	}
}

// fixedVar reports whether a variable is an error value, an embedded file, an assertion or a
// variable that the linker sets.
func fixedVar(s *source, d *ast.GenDecl, v *ast.ValueSpec, i int) bool {
	name := v.Names[i].Name
	if name == "_" || strings.HasPrefix(strings.ToLower(name), "err") {
		return true
	}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			at := s.line(c.Pos())
			if strings.HasPrefix(c.Text, "//go:embed") && at < s.line(v.Pos()) &&
				at >= s.line(d.Pos())-3 {
				return true
			}
		}
	}
	return false
}
