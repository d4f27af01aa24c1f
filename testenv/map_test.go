package testenv

import (
	"cmp"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// The limits of HOUSE §2: what a person holds in the head.
const (
	packageFilesMax = 20
	typeMethodsMax  = 40
	// backCallsShare: at most one in so many ways from file to file runs back up.
	backCallsShare = 10
)

// mapExceptions may pass a limit, each with its reason. A number is a bound of its own, which only
// ever goes down.
type mapException struct {
	most   int
	reason string
}

// largePackages may have more files, largeTypes more methods.
func largePackages() map[string]mapException {
	return map[string]mapException{
		"cmd/hookspool": {67, "one file for each verb, and main packages cannot be divided"},
		"relay": {28, "orders that another relay carries out, and following the others, are about " +
			"lanes, ticks and alerts alike; batches are about lanes, workers and jobs"},
		"relay/attempt": {24, "HTTP/1.1 and HTTP/2 stand beside each other, and share what an outcome is"},
		"relay/admin":   {23, "one file for each group of calls"},
		"relay/config":  {21, "one file for each table, and for each kind of value"},
		"spool": {27, "lanes, committer, sweep and recount need each other, and where several " +
			"relays share a spool, that needs all of them"},
	}
}

func largeTypes() map[string]mapException {
	return map[string]mapException{
		"cmd/hookspool.cli":  {145, "each verb is a method of it"},
		"relay.desk":         {44, "each call of the admin API is a method of it"},
		"relay/admin.Server": {52, "each call is a method of it"},
		"spool.Spool":        {124, "see largePackages"},
		"spool.group":        {44, "each record has a method that plans it"},
	}
}

// backPackages may have more ways back up, counted in pairs of files.
func backPackages() map[string]mapException {
	const measured = "as it was when it was first counted; it only goes down"
	return map[string]mapException{
		"relay: calls back up":        {30, "lanes, workers and jobs gather, and a batch is their task"},
		"relay/accept: calls back up": {10, measured},
		"relay/config: calls back up": {8, "what one key allows depends on others"},
		"spool: calls back up":        {33, measured},
		"spool/badger: calls back up": {8, measured},
	}
}

// TestTidyMap holds the rooms of the house to their size: files of a package, methods of a type, and
// calls between files that run back up.
func TestTidyMap(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	packages := make(map[string][]*source)
	for _, s := range readSources(t) {
		if !strings.HasPrefix(s.path, "testenv/") && !strings.HasPrefix(s.path, "spool/spooltest/") {
			packages[s.dir] = append(packages[s.dir], s)
		}
	}
	used := make(map[string]bool)
	within := func(what string, n, most int, list map[string]mapException) {
		t.Helper()
		if e, ok := list[what]; ok {
			used[what] = true
			if n <= most {
				t.Errorf("%s has %d and needs no exception any more", what, n)
			} else if n < e.most {
				t.Errorf("%s has %d; its exception for %d is to come down", what, n, e.most)
			}
			most = e.most
		}
		if n > most {
			t.Errorf("%s has %d; %d at most", what, n, most)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		files := packages[dir]
		within(dir, countFiles(files), packageFilesMax, largePackages())
		for name, n := range countMethods(files) {
			within(dir+"."+name, n, typeMethodsMax, largeTypes())
		}
		back, all := backCalls(files)
		t.Logf("%-28s %2d files, %3d ways between them, %2d back up", dir, countFiles(files), all, back)
		within(dir+": calls back up", back, max(1, all/backCallsShare), backPackages())
	}
	for _, list := range []map[string]mapException{largePackages(), largeTypes(), backPackages()} {
		for what := range list {
			if !used[what] {
				t.Errorf("there is no %s that needs an exception", what)
			}
		}
	}
}

// countFiles counts one file for what several systems or build tags need.
func countFiles(files []*source) int {
	seen := make(map[string]bool)
	for _, s := range files {
		seen[stem(s)] = true
	}
	return len(seen)
}

// stem is a file's name without what says for which system it is.
func stem(s *source) string {
	name := strings.TrimSuffix(s.path, ".go")
	for _, suffix := range []string{"_linux", "_unix", "_other", "_off", "_otel"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// countMethods counts the methods of each type; those of another system's file count once.
func countMethods(files []*source) map[string]int {
	methods := make(map[string]map[string]bool)
	for _, s := range files {
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
				name := receiver(f)
				if methods[name] == nil {
					methods[name] = make(map[string]bool)
				}
				methods[name][f.Name.Name] = true
			}
		}
	}
	n := make(map[string]int)
	for name, m := range methods {
		n[name] = len(m)
	}
	return n
}

func receiver(f *ast.FuncDecl) string {
	typ := f.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// backCalls counts the pairs of files of which one names a function of the other, and those that run
// back up however the files are stacked: each file stands on the floor that makes most of its ways
// lead down. A name that several types have a method of is nobody's.
func backCalls(files []*source) (back, all int) {
	owner := make(map[string]string) // of functions and methods
	for _, s := range files {
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				if before, twice := owner[f.Name.Name]; twice && before != stem(s) {
					owner[f.Name.Name] = ""
				} else {
					owner[f.Name.Name] = stem(s)
				}
			}
		}
	}
	calls := make(map[string]map[string]bool)
	for _, s := range files {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if to := owner[called(call)]; to != "" && to != stem(s) {
				if calls[stem(s)] == nil {
					calls[stem(s)] = make(map[string]bool)
				}
				calls[stem(s)][to] = true
			}
			return true
		})
	}
	floor := make(map[string]int)
	for i, name := range stack(calls) {
		floor[name] = i
	}
	for from, tos := range calls {
		for to := range tos {
			all++
			if floor[to] < floor[from] {
				back++
			}
		}
	}
	return back, all
}

// called is the name of the function or method that is called; empty: it has none.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// stack orders files from the top down, with few calls back up: again and again the file that has
// the most calls out over those in comes next (Eades, Lin and Smyth, 1993).
func stack(calls map[string]map[string]bool) []string {
	left := make(map[string]bool)
	for from, tos := range calls {
		left[from] = true
		for to := range tos {
			left[to] = true
		}
	}
	var top, bottom []string
	for len(left) > 0 {
		out, in := make(map[string]int), make(map[string]int)
		for from := range left {
			for to := range calls[from] {
				if left[to] {
					out[from]++
					in[to]++
				}
			}
		}
		names := slices.Sorted(maps.Keys(left))
		i := slices.IndexFunc(names, func(n string) bool { return out[n] == 0 })
		if i >= 0 {
			bottom = append(bottom, names[i])
			delete(left, names[i])
			continue
		}
		next := slices.MaxFunc(names, func(a, b string) int {
			return cmp.Compare(out[a]-in[a], out[b]-in[b])
		})
		top = append(top, next)
		delete(left, next)
	}
	slices.Reverse(bottom)
	return append(top, bottom...)
}
