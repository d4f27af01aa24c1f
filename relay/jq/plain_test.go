package jq

import (
	"context"
	"fmt"
	"testing"

	"github.com/valyala/fastjson"
	"pgregory.net/rapid"
)

// What is plain, and what its leftmost look must find.
func TestPlain(t *testing.T) {
	f := func(text, path string, only int) {
		t.Helper()
		p := mustCompile(t, text).Plain()
		if p == nil {
			t.Errorf("%s is not plain", text)
			return
		}
		list, _ := p.Only()
		if p.Path() != path || len(list) != only {
			t.Errorf("%s: %q, only %v; want %q and %d", text, p.Path(), list, path, only)
		}
	}
	f(`.a.b == "x"`, "a\x00b\x00", 1)
	f(`"x" == .["a"]."b"`, "a\x00b\x00", 1)
	f(`(.a == 1 or .a == 2) and .c`, "a\x00", 2)
	f(`.a == 1 or .b == 2`, "a\x00", 0)
	f(`.a != null`, "a\x00", 0)
	f(`(.a | not) or .b`, "a\x00", 0)
	f(`.`, "", 0)
	for _, text := range []string{`.a[]`, `.a[0]`, `.a?`, `.a == .b`, `.a > 1`, `$type == "x"`,
		`.a == "\(.b)"`, `.a == 1e400`, `.a == 9007199254740993`, `def f: 1; .a`, `.a | .b`, `..`,
		`.a == [1]`, `not`, `.["a\u0000"]`, `def not: 1; .a | not`, `.a as $x | .b`} {
		if mustCompile(t, text).Plain() != nil {
			t.Errorf("%s is plain", text)
		}
	}
}

// A guard is the beginning of what is and-ed.
func TestGuard(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := "none"
		if g := mustCompile(t, text).Guard(); g != nil {
			got = g.Path()
		}
		if got != want {
			t.Errorf("%s is guarded by %q, want %q", text, got, want)
		}
	}
	f(`.a == 1`, "a\x00")
	f(`.a == 1 and (.b > 1)`, "a\x00")
	f(`.a == 1 and (.b > 1) and .c == 2`, "a\x00")
	f(`((.a == 1 and .b) and (.c | test("x")))`, "a\x00")
	f(`(.b > 1) and .a == 1`, "none")
	f(`.a == 1 or (.b > 1)`, "none")
	f(`def f: 1; .a == 1 and (.b > 1)`, "none")
	f(`.a == 1 and (.b > 1) | not`, "none")
}

// A plain program gives what the interpreter gives, and its prefilter refuses nothing that it
// would not.
func TestPlainAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		literal := rapid.SampledFrom([]string{`"x"`, `"ü"`, `""`, `1`, `1.0`, `1e0`, `0`, `-0`, `-1`,
			`true`, `false`, `null`, `9007199254740991`, `1.5`})
		path := rapid.SampledFrom([]string{`.a`, `.a.b`, `.["a"]`, `.`, `.b.a`, `."b"`})
		var program func(depth int) string
		program = func(depth int) string {
			switch n := rapid.IntRange(0, 8).Draw(t, "op"); {
			case depth > 0 && n < 2:
				return fmt.Sprintf("(%s and %s)", program(depth-1), program(depth-1))
			case depth > 0 && n < 4:
				return fmt.Sprintf("(%s or %s)", program(depth-1), program(depth-1))
			case depth > 0 && n == 4:
				return fmt.Sprintf("(%s | not)", program(depth-1))
			case n == 5:
				return path.Draw(t, "path")
			case n == 6:
				return fmt.Sprintf("(%s != %s)", path.Draw(t, "path"), literal.Draw(t, "literal"))
			}
			return fmt.Sprintf("(%s == %s)", path.Draw(t, "path"), literal.Draw(t, "literal"))
		}
		var value func(depth int) string
		value = func(depth int) string {
			switch n := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case depth > 0 && n < 3:
				return fmt.Sprintf(`{"a":%s,"b":%s}`, value(depth-1), value(depth-1))
			case depth > 0 && n == 3:
				return fmt.Sprintf(`{"a":%s,"a":%s}`, value(depth-1), value(depth-1))
			case n == 4:
				return `[1]`
			case n == 5:
				return rapid.SampledFrom([]string{`1e400`, `9007199254740992`,
					`-123456789012345678901234567890`}).Draw(t, "large")
			}
			return literal.Draw(t, "value")
		}
		text, payload := program(3), value(3)
		p, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := fastjson.Parse(payload)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		plain := p.Plain()
		if plain == nil {
			t.Fatalf("%s is not plain", text)
		}
		got, gotErr := plain.Holds(v)
		result, ok, wantErr := p.First(context.Background(), parsed, &Vars{})
		want := ok && result != nil && result != false
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s of %s: %v, %v; the interpreter says %v, %v", text, payload, got, gotErr,
				want, wantErr)
		}
		if only, ok := plain.Only(); ok && gotErr == nil && got {
			found, scalar := plain.Look(v).Literal()
			for _, l := range only {
				ok = ok && scalar
				if l == found {
					return
				}
			}
			t.Errorf("%s of %s: the prefilter would refuse it", text, payload)
		}
	})
}
