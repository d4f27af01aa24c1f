package jq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func mustCompile(t testing.TB, text string) *Program {
	t.Helper()
	p, err := Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func mustParse(t testing.TB, payload string) any {
	t.Helper()
	v, err := Parse([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// One result, as compact JSON.
func TestOne(t *testing.T) {
	vars := &Vars{Type: "message", ID: "evt_1", Session: "active",
		Headers: map[string]any{"traceparent": "00-1"}}
	f := func(text, payload, want string) {
		t.Helper()
		got, err := mustCompile(t, text).One(context.Background(), mustParse(t, payload), vars, 1000)
		if err != nil || string(got) != want {
			t.Errorf("%s of %s: %s, %v; want %s", text, payload, got, err, want)
		}
	}
	f(`.`, ` { "b" : 1 , "a" : [ "x" ] } `, `{"a":["x"],"b":1}`)
	f(`.a`, "\xef\xbb\xbf"+`{"a":1,"a":2}`, `2`)
	// Numbers are kept to the digit, and integers computed with exactly.
	f(`.`, `[12345678901234567890123, 1.10, 1e2, -0.0]`, `[12345678901234567890123,1.10,1e2,-0.0]`)
	f(`.n + 1`, `{"n":12345678901234567890123}`, `12345678901234567890124`)
	f(`.n * 3`, `{"n":12345678901234567890123}`, `37037036703703703670369`)
	f(`.n == 9007199254740993`, `{"n":9007199254740992}`, `false`)
	// The variables.
	f(`[$type, $id, $session, $headers.traceparent]`, `0`, `["message","evt_1","active","00-1"]`)
	// Text stays text.
	f(`.`, `"<ü\u2028\ud83d\ude00>"`, "\"<ü\u2028😀>\"")
	// The guards compute what jq does.
	f(`"ab" * 3, empty`, `0`, `"ababab"`)
	f(`{a:{b:1}} * {a:{c:2}}`, `0`, `{"a":{"b":1,"c":2}}`)
	f(`[(1,2) * (10,20)]`, `0`, `[10,20,20,40]`)
	f(`.a *= 2`, `{"a":3}`, `{"a":6}`)
	f(`.a[.i] *= .k`, `{"a":[1,2],"i":1,"k":5}`, `{"a":[1,10],"i":1,"k":5}`)
	f(`[path(.a[.i])]`, `{"a":[1],"i":0}`, `[["a",0]]`)
	f(`setpath(["a",2]; 1)`, `{}`, `{"a":[null,null,1]}`)
	f(`def f(x): x * 2; f(.a) * 2`, `{"a":1.5}`, `6`)
	f(`[10 - 3, 1.5 - 1, ([1,2,1] - [1]), (.n - 1)]`, `{"n":12345678901234567890}`,
		`[7,0.5,[2],12345678901234567889]`)
	f(`.a -= 2 | .b -= ["x"]`, `{"a":3,"b":["x","y"]}`, `{"a":1,"b":["y"]}`)
	f(`[contains({a: ["x"]}), (.a | index("y"), indices("x"), (.[0] | inside("xyz")))]`,
		`{"a":["x","y"]}`, `[true,1,[0],true]`)
	f(`def index(f): map(f); .a | index(. + 1)`, `{"a":[1,2]}`, `[2,3]`)
	f(`[.[] | contains("a", "b")]`, `["a"]`, `[true,false]`)
	f(`.a | map(tonumber + 1)[1]`, `{"a":["1", 7]}`, `8`)
	f(`.a | fromjson.b`, `{"a":"{\"b\":[12345678901234567890]}"}`, `[12345678901234567890]`)
	f(`4611686018427387904 * 4`, `0`, `18446744073709551616`)
}

// What is no one result is an error, and no error is quoted to whoever must not read the payload.
func TestErrors(t *testing.T) {
	f := func(text, payload, message, blind string) {
		t.Helper()
		_, err := mustCompile(t, text).One(context.Background(), mustParse(t, payload), &Vars{}, 1000)
		var failed *Error
		if !errors.As(err, &failed) {
			t.Fatalf("%s of %s: %v, which is no Error", text, payload, err)
		}
		if !strings.Contains(failed.Message, message) || !strings.Contains(Blind(err), blind) {
			t.Errorf("%s: %q, blind %q; want %q, %q", text, failed.Message, Blind(err), message, blind)
		}
		if strings.Contains(Blind(err), "4477") {
			t.Errorf("%s: %q quotes the payload", text, Blind(err))
		}
	}
	f(`empty`, `0`, "gives no result", "gives no result")
	f(`1, 2`, `0`, "more than one result", "more than one")
	f(`.a.b`, `{"a":"447700900123"}`, `expected an object but got: string ("447700900123")`, "got: string")
	f(`error("no " + .a)`, `{"a":"447700900123"}`, "no 447700900123", "it called error")
	f(`1, error("late")`, `0`, "late", "it called error")
	f(`"x" * 500 * 3`, `0`, "larger than 1000 bytes", "larger than")
	f(`[range(400)]`, `0`, "has 1491 bytes, the most is 1000", "has 1491 bytes")
	// Beyond what a step may make.
	f(`"x" * .n`, `{"n":2000000000}`, "at most 1048576 bytes", "at most 1048576")
	f(`.n * "xy"`, `{"n":1e300}`, "at most 1048576 bytes", "at most 1048576")
	f(`"x" as $s | .s *= 1e9 | .s`, `{"s":"x"}`, "at most 1048576 bytes", "at most 1048576")
	f(`[] | .[1e3 * 1e5] = 1`, `0`, "an index is at most", "an index is at most")
	f(`setpath([.n]; 1)`, `{"n":500000000}`, "", "an index is at most")
	f(`getpath(["a", 500000000]) = 1`, `{}`, "an index is at most", "an index is at most")
	f(`.n | tonumber`, `{"n":"`+strings.Repeat("9", 500_000)+`"}`, "1000 digits", "1000 digits")
	f(`.n | fromjson`, `{"n":"[`+strings.Repeat("9", 500_000)+`]"}`, "1000 digits", "1000 digits")
	f(`. - .`, `[`+strings.Repeat("1,", 9999)+`2]`, "too long to be compared", "too long")
	f(`contains(.)`, `[`+strings.Repeat("[1],", 9999)+`2]`, "too long to be compared", "too long")
	f(`indices(.)`, `[`+strings.Repeat("[1],", 9999)+`2]`, "too long to be compared", "too long")
	// A small value that holds itself many times over is not written out.
	f(`reduce range(40) as $i (1; [., .])`, `0`, "larger than 1000 bytes", "larger than")
}

// A program that runs for ever ends in time, and in little room.
func TestForever(t *testing.T) {
	for _, text := range []string{
		`def f: f; f`, `def f: 1 + f; f`, `def f: [f]; f`, `last(repeat(1))`, `[repeat(1)]`,
		`[range(1e18)]`, `last(range(infinite))`, `until(false; .)`, `[recurse(.)]`,
		`reduce repeat("x") as $x (""; . + $x)`, `reduce range(1000) as $i ("x"; . + .)`,
		`reduce range(1000) as $i ("x"; [.,.,.,.] | join(""))`, `[limit(1e9; repeat(0))] | length`,
		`reduce range(60) as $i (99999999999999999999; . * .)`, `first(range(1e18) | select(. < 0))`,
		`def f: try error("x") catch f; f`, `while(true; . + 1) | empty`,
	} {
		t.Run(text, func(t *testing.T) {
			p := mustCompile(t, text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := p.One(context.Background(), 0, &Vars{}, 1<<20)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("it ended")
			}
			made := (after.TotalAlloc - before.TotalAlloc) >> 20
			if took > 10*time.Second || made > 1024 {
				t.Errorf("it took %v and made %d MiB", took, made)
			}
			t.Logf("%v, %d MiB: %v", took, made, err)
		})
	}
}

// The context of the caller ends a run before its time.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := mustCompile(t, `last(repeat(1))`).First(ctx, nil, &Vars{})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A program runs over one value on many goroutines at once, and changes nothing.
func TestConcurrent(t *testing.T) {
	p := mustCompile(t, `.a.b |= . + 1 | .a.list[0] = "y" | .a`)
	v := mustParse(t, `{"a":{"b":1,"list":["x"]}}`)
	done := make(chan error)
	for range 8 {
		go func() {
			for range 200 {
				got, err := p.One(context.Background(), v, &Vars{}, 100)
				if err != nil || string(got) != `{"b":2,"list":["y"]}` {
					done <- fmt.Errorf("%s, %w", got, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What is no JSON value, or one that would take long to compute with, is not parsed.
func TestParse(t *testing.T) {
	for _, payload := range []string{"", "x", "{", "1 2", `{"a":1}}`, "\xef\xbb\xbf", "NaN",
		strings.Repeat("9", digitsMax+1), `[{"a":` + strings.Repeat("9", 2000) + `}]`,
		strings.Repeat("[", 20000) + strings.Repeat("]", 20000)} {
		if v, err := Parse([]byte(payload)); err == nil {
			t.Errorf("%.20q is %v", payload, v)
		}
	}
	deep := strings.Repeat("[", 5000) + "7" + strings.Repeat("]", 5000)
	got, err := mustCompile(t, `.`).One(context.Background(), mustParse(t, deep), &Vars{}, 1<<20)
	if err != nil || string(got) != deep {
		t.Error("what is nested deep is not kept", err)
	}
}

func BenchmarkFirst(b *testing.B) {
	p := mustCompile(b, `.a.b == "x" and .c > 3`)
	v := mustParse(b, `{"a":{"b":"x"},"c":4}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.First(context.Background(), v, &Vars{}); err != nil {
			b.Fatal(err)
		}
	}
}
