package jq

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Whatever is given for a program and a payload: there is a fault with a place in the text, or a
// result, or an error, in time.
func FuzzProgram(f *testing.F) {
	for _, text := range []string{`.a == "x"`, `.a[.i] *= 2 | . - [1]`, `{id: $id, n: (.n // 1)}`,
		`def f: f; f`, `.a = = `, `"\(.a)" | tonumber`, `[.[] | contains("a")]`, `$headers.a?`,
		"# x\n..|numbers", `reduce .[] as [$a, {b: $c}] (0; . + $c)`, `@base64 "x\(.)"`, `.["a"].b`,
		`try error("x") catch .`, `label $out | 1, break $out`, `.a as $x | .b |= $x`} {
		f.Add(text, `{"a":[1,2,"x"],"i":1,"n":12345678901234567890}`)
	}
	f.Fuzz(func(t *testing.T, text, payload string) {
		p, err := Compile(text)
		var fault *Fault
		if errors.As(err, &fault) {
			if fault.Offset < 0 || fault.Offset > len(text) || fault.Line < 1 || fault.Column < 1 {
				t.Errorf("the fault is at %+v", fault)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := Parse([]byte(payload))
		if err != nil {
			return
		}
		began := time.Now()
		text1, err := p.One(context.Background(), v, &Vars{Type: "x"}, 1000)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err == nil {
			if _, err := Parse(text1); err != nil || len(text1) > 1000 {
				t.Errorf("it gives %q: %v", text1, err)
			}
		}
	})
}
