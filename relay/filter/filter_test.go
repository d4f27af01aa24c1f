package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/spool"
)

// setOf makes a set of texts; "" is no program, and equal texts are one.
func setOf(tb testing.TB, texts ...string) *Set {
	tb.Helper()
	known := make(map[string]*jq.Program)
	var list []*jq.Program
	for _, text := range texts {
		p := known[text]
		if text != "" && p == nil {
			var err error
			if p, err = jq.Compile(text); err != nil {
				tb.Fatal(err)
			}
			known[text] = p
		}
		list = append(list, p)
	}
	return NewSet(list)
}

func eventOf(tb testing.TB, payload string, in States) *Event {
	tb.Helper()
	d := &spool.Draft{Type: "message", ContentType: "application/json", Payload: []byte(payload),
		Headers: []spool.Header{{Name: "ce-tenant", Value: "a"}}}
	v, err := fastjson.Parse(payload)
	return &Event{Draft: d, Payload: parsed{v, err == nil}, In: in}
}

// parsed is a Payload that was read before.
type parsed struct {
	value *fastjson.Value
	ok    bool
}

func (p parsed) JSON([]byte, *fastjson.Parser) (*fastjson.Value, bool) { return p.value, p.ok }

// Who wants an event, in the order of the targets: what stands in an index, what is plain, what is
// for the interpreter, and who has no program.
func TestWanted(t *testing.T) {
	t.Parallel()
	texts := []string{
		0: `.a == "x"`, 1: ``, 2: `.a == "y"`, 3: `.a == "x" or .a == "y"`, 4: `.a == "x" and .n > 1`,
		5: `.a != "x"`, 6: `.a`, 7: `.a | startswith("x")`, 8: `$type == "message"`,
		9: `.a == "x"`, 10: `.n == 2`, 11: `(.a == "x") and (.n == 3)`, 12: `.list[]?`, 13: `empty`,
		14: `$headers["ce-tenant"] == "a" and $headers["content-type"] == "application/json"`,
		15: `$id == null`, 16: `.a == "x" and (.n | . > 1) and .list`, 17: `.a and (.n | . > 2)`,
	}
	s := setOf(t, texts...)
	f := func(payload string, want ...int) {
		t.Helper()
		var got []int
		for _, hit := range s.Wanted(eventOf(t, payload, Of(spool.SessionNone))) {
			if hit.Err != nil || hit.In != Of(spool.SessionNone) {
				t.Errorf("%s, target %d: %+v", payload, hit.Index, hit)
			}
			got = append(got, hit.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s goes to %v, want %v", payload, got, want)
		}
	}
	f(`{"a":"x","n":2}`, 0, 1, 3, 4, 6, 7, 8, 9, 10, 14, 15)
	f(`{"a":"x","n":3.0,"list":[7,null]}`, 0, 1, 3, 4, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17)
	f(`{"a":"y","n":2e0,"list":[false,1]}`, 1, 2, 3, 5, 6, 8, 10, 14, 15)
	f(`{"a":"z","a":"x"}`, 0, 1, 3, 6, 7, 8, 9, 14, 15)
	// What is not JSON goes to those alone who ask for nothing.
	f(`{"a":"x"`, 1)
	f(``, 1)
}

// A program that fails makes the event wanted, and says why, whichever way it was to be decided.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := setOf(t, `.a.b == "x"`, `.a.b == "y" and .c`, `.a.b`, `.a.b | startswith("x")`, `error("e")`,
		`last(repeat(1))`, `.c == 1`, `.a.b == "x" and (.c | . > 2)`, `.a.b and (.c | . > 2)`)
	var got []string
	for _, hit := range s.Wanted(eventOf(t, `{"a":"447700900123","c":1}`, Always)) {
		text := ""
		if hit.Err != nil {
			text = jq.Blind(hit.Err)
		}
		got = append(got, fmt.Sprint(hit.Index, " ", text))
	}
	want := []string{"0 expected an object but got: string", "1 expected an object but got: string",
		"2 expected an object but got: string", "3 expected an object but got: string",
		"4 it called error", "5 it ran longer than 10ms", "6 ", "7 expected an object but got: string",
		"8 expected an object but got: string"}
	if !slices.Equal(got, want) {
		t.Errorf("it went to\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A program that asks for the session is decided for each state that it may be in.
func TestStates(t *testing.T) {
	t.Parallel()
	s := setOf(t, `$session == "active"`, `$session != "active"`, `$session == null`, `.a`)
	f := func(in States, want ...States) {
		t.Helper()
		got := make([]States, 4)
		for _, hit := range s.Wanted(eventOf(t, `{"a":1}`, in)) {
			got[hit.Index] = hit.In
		}
		if !slices.Equal(got, want) {
			t.Errorf("in %b: %b, want %b", in, got, want)
		}
	}
	none, active, inactive := Of(spool.SessionNone), Of(spool.SessionActive), Of(spool.SessionInactive)
	f(none, 0, none, none, none)
	f(active|inactive, active, inactive, 0, active|inactive)
}

// BenchmarkWanted is what a where costs an event, by how many targets have one.
func BenchmarkWanted(b *testing.B) {
	payload := `{"eventType":"message","country":"c7","text":"` + strings.Repeat("x", 500) + `"}`
	run := func(name string, texts ...string) {
		b.Run(name, func(b *testing.B) {
			s, e := setOf(b, texts...), eventOf(b, payload, Of(spool.SessionNone))
			b.ReportAllocs()
			for b.Loop() {
				if hits := s.Wanted(e); len(hits) == 0 {
					b.Fatal("nobody wants it")
				}
			}
		})
	}
	many := func(format string) (texts []string) {
		for i := range 1000 {
			texts = append(texts, fmt.Sprintf(format, i))
		}
		return texts
	}
	run("one", `.country == "c7"`)
	run("1000 with a literal each", many(`.country == "c%d"`)...)
	run("1000 with more behind it", many(`.country == "c%d" and (.text | length > 3)`)...)
	run("interpreted", `.country | startswith("c")`)
	run("1000 equal, interpreted, but for one that is wanted",
		append(slices.Repeat([]string{`.country | startswith("x")`}, 999), `.country == "c7"`)...)
}
