package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// document is what this test wants to know of an OpenAPI document.
type document struct {
	Paths      map[string]map[string]operation
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]any
	}
}

type operation struct {
	Parameters  []parameter
	RequestBody any
	Responses   map[string]any
	Security    *[]any
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
}

// Every route is documented with every parameter it takes, and nothing else is. relay has the test
// of the answers.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	f := newFixture(t)
	a := f.ask("GET", "/openapi.json")
	f.ok(a, `"openapi": "3.1.0"`)
	var doc document
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	count := 0
	for i := range f.server.routes {
		r := &f.server.routes[i]
		if r.guard == pages && r.path != "/" {
			continue // a file of the console
		}
		op, ok := doc.Paths[r.path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s %s is not documented", r.method, r.path)
			continue
		}
		count++
		var query []string
		for _, p := range op.Parameters {
			if name, is := strings.CutPrefix(p.Ref, "#/components/parameters/"); is {
				p = doc.Components.Parameters[name]
			}
			if p.In == "query" && r.guard == api {
				query = append(query, p.Name)
			}
		}
		want := slices.Clone(r.query)
		slices.Sort(want)
		if slices.Sort(query); !slices.Equal(query, want) {
			t.Errorf("%s %s takes %q; documented are %q", r.method, r.path, want, query)
		}
		if body := r.takesBody(); body != (op.RequestBody != nil) {
			t.Errorf("%s %s: a body is documented: %t", r.method, r.path, !body)
		}
		if (op.Security != nil) != (r.guard == open) {
			t.Errorf("%s %s: the token is documented wrongly", r.method, r.path)
		}
	}
	documented := 0
	for _, ops := range doc.Paths {
		documented += len(ops)
	}
	if documented != count {
		t.Errorf("%d calls are documented, %d exist", documented, count)
	}
}
