package main

import (
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	f := func(want bool, says string, lines ...string) {
		t.Helper()
		v := newVerdict()
		text := strings.NewReplacer("'", `"`).Replace(strings.Join(lines, "\n"))
		if err := v.read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		var w strings.Builder
		if got := v.tell(&w, time.Minute); got != want || !strings.Contains(w.String(), says) {
			t.Errorf("%v: well: %v, want %v and %q:\n%s", lines, got, want, says, w.String())
		}
	}
	const (
		start = `{'Action':'start','Package':'p'}`
		run   = `{'Action':'run','Package':'p','Test':'TestA'}`
		pass  = `{'Action':'pass','Package':'p','Test':'TestA','Elapsed':2.5}`
		fail  = `{'Action':'fail','Package':'p','Test':'TestA'}`
		good  = `{'Action':'pass','Package':'p','Elapsed':3}`
		bad   = `{'Action':'fail','Package':'p'}`
	)
	says := func(test, words string) string {
		return `{'Action':'output','Package':'p','Test':'` + test + `','Output':'` + words + `\n'}`
	}
	f(true, "2.5 s  p TestA", start, run, pass, good)
	f(false, "FAILED p TestA", start, run, fail, bad)
	// A test that passes when it runs again is told with what it said first.
	f(true, "FLAKY p TestA\nsix of seven", start, run, says("TestA", "six of seven"), fail, bad,
		start, run, says("TestA", "five of seven"), fail, bad, start, run, pass, good)
	// What is promised is not forgiven.
	for _, words := range []string{"LOST: event 7", "WARNING: DATA RACE", "panic: nil", "BUG: x",
		"2 packets left loopback", "found unexpected goroutines:"} {
		f(false, "NOT FORGIVEN p TestA", start, run, says("TestA", words), fail, bad,
			start, run, pass, good)
	}
	// A test that passes may say what it likes.
	f(true, "", start, run, says("TestA", "panic: expected"), pass, good)
	// A package that fails without a failing test has left something behind.
	f(false, "p failed without a failing test", start, run, pass, says("", "x"), bad)
	f(false, "p failed without a failing test", start, run, fail, bad, start, run, pass, bad)
	f(true, "3.0 s  all packages", "# compiling", start, run, pass, good)
	f(false, "TOO LONG", start, run, pass, `{'Action':'pass','Package':'p','Elapsed':61}`)
}
