package jq

import (
	"errors"
	"strings"
	"testing"
)

// A program that is none says where, in lines and characters.
func TestFaults(t *testing.T) {
	f := func(text string, line, column int, message string) {
		t.Helper()
		_, err := Compile(text)
		var fault *Fault
		if !errors.As(err, &fault) {
			t.Fatalf("%q compiles, or its error is no Fault: %v", text, err)
		}
		if fault.Line != line || fault.Column != column ||
			!strings.Contains(fault.Message, message) {
			t.Errorf("%q: %d:%d %q; want %d:%d with %q", text, fault.Line, fault.Column,
				fault.Message, line, column, message)
		}
	}
	// Syntax: at the token that is too much, or at the end.
	f(".a = = 1", 1, 6, `unexpected token "="`)
	f(".a |\n  .b ==\n", 2, 8, "ends too early")
	f("\"ü\" | )", 1, 7, `unexpected token ")"`)
	f(`"abc`, 1, 5, "unterminated string")
	f("", 1, 1, "missing query")
	// Names that are not there.
	f(".a\n| nosuch(.b)", 2, 3, "function not defined: nosuch/1")
	f("# nosuch\n.nosuch | nosuch", 2, 11, "function not defined: nosuch/0")
	f(".a == $typ", 1, 7, "there are $type, $id, $session, $headers")
	// What reaches out of the cage.
	for _, name := range []string{"$ENV", "env", "input", "inputs", "input_filename",
		"input_line_number", "debug", "stderr", "now", "localtime", "strflocaltime", "halt",
		"halt_error", "modulemeta", "get_search_list", "fromstream"} {
		f(". | "+name, 1, 5, "is not here")
	}
	f(`.a | $ENV.PATH`, 1, 6, "the environment")
	f("def f: now; f", 1, 8, "the clock")
	f(`import "a" as a; .`, 1, 1, "no modules")
	f(`include "a"; .`, 1, 1, "no modules")
	f(`__times(1; 2)`, 1, 1, "hookspool's own")
	f(`1 as $__by | 2`, 1, 6, "hookspool's own")
	f(`.a[1048577] = 1`, 1, 4, "an index is at most")
	f(strings.Repeat(" ", TextMax)+".", 1, 1, "at most 65536 bytes")
	f("\"\xff\"", 1, 1, "not valid UTF-8")
}

// A program knows which variables it needs.
func TestUses(t *testing.T) {
	p, err := Compile(`$type == "a" and ($headers | has("x")) and "\($session)" == "b"`)
	if err != nil {
		t.Fatal(err)
	}
	if !p.UsesSession() || !p.UsesHeaders() {
		t.Error("the program uses $session and $headers")
	}
	if p, err = Compile(`.session`); err != nil || p.UsesSession() || p.UsesHeaders() {
		t.Error("the program uses neither", err)
	}
}
