package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv"
)

// Every mutant finds the code that it breaks, so that none rots unseen between two long runs.
func TestMutantsApply(t *testing.T) {
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants() {
		if _, err := m.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestJudge asserts what is read in the words of go test.
func TestJudge(t *testing.T) {
	const (
		none = "testing: warning: no tests to run\nPASS\nok  \thookspool\t0.1s [no tests to run]\n"
		flag = "flag provided but not defined: -cut\nUsage of testenv.test:\nFAIL\n"
		code = "./x_test.go:7:2: undefined: y\nFAIL\thookspool [build failed]\n"
		good = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n"
		skip = "=== RUN   TestB\n--- SKIP: TestB (0.00s)\n"
		bad  = "=== RUN   TestC\n--- FAIL: TestC (0.00s)\n"
		hang = "=== RUN   TestD\npanic: test timed out after 4m0s\n"
		part = "=== RUN   TestE\n=== RUN   TestE/ext4\n=== RUN   TestE/xfs\n"
	)
	f := func(out string, failed bool, want string) {
		t.Helper()
		got, err := judge(out, failed)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q, failed %v: %q, %v; want %q", out, failed, got, err, want)
		}
	}
	f(good+bad, true, victim)
	f(hang, true, victim)
	f(good, false, survivor)
	f(good+skip, false, survivor)
	f(skip, false, untried)
	// A test passes although all of its parts are skipped.
	f(part+"--- PASS: TestE (0.02s)\n    --- SKIP: TestE/ext4 (0.01s)\n"+
		"    --- SKIP: TestE/xfs (0.01s)\n", false, untried)
	f(part+"--- PASS: TestE (0.02s)\n    --- SKIP: TestE/ext4 (0.01s)\n"+
		"    --- PASS: TestE/xfs (0.01s)\n", false, survivor)
	// None of these tried anything.
	f(none, false, "")
	f(flag, true, "")
	f(code, true, "")
}

// TestMutantsArguments asserts that the tests know the flags that they are given.
func TestMutantsArguments(t *testing.T) {
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants() {
		for _, arg := range m.args {
			name, isFlag := strings.CutPrefix(arg, "-")
			if isFlag && !defines(t, filepath.Join(root, m.pkg), name) {
				t.Errorf("%s: no test of %s has the flag %s", m.name, m.pkg, arg)
			}
		}
	}
}

// defines reports whether a package's tests have a flag of a name.
func defines(t *testing.T, dir, name string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`flag\.\w+\("` + regexp.QuoteMeta(name) + `"`)
	return slices.ContainsFunc(paths, func(path string) bool {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return flags.Match(text)
	})
}
