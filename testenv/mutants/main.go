// Command mutants shows that the tests can fail: it breaks hookspool on purpose, one promise at a
// time, and wants the test that guards the promise to notice. The broken source goes to the
// compiler as an overlay, so that neither the repository nor a shipped build has a switch for it.
//
//	go run ./testenv/mutants              # all of them, three quarters of an hour
//	go run ./testenv/mutants -only sync   # those whose name matches
//	go run ./testenv/mutants -list
//
// A mutant that needs root and loop devices (a power cut) is skipped, and said so, where the tests
// that should notice skip themselves. Exit 1 if a mutant survives.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hookspool/hookspool/testenv"
)

// timeLimit bounds one mutant's tests: a broken relay may also hang.
const timeLimit = "4m"

func main() {
	only := flag.String("only", "", "only mutants whose name matches this regular expression")
	list := flag.Bool("list", false, "print the mutants and run nothing")
	flag.Parse()
	if err := run(*only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(only string, list bool) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("cannot read -only: %w", err)
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	survived := 0
	for _, m := range mutants() {
		if !match.MatchString(m.name) {
			continue
		}
		if list {
			fmt.Printf("%-28s %s: go test ./%s %s\n", m.name, m.file, m.pkg, m.chosen())
			continue
		}
		began := time.Now()
		verdict, err := m.try(root)
		if err != nil {
			return fmt.Errorf("cannot try %q: %w", m.name, err)
		}
		if verdict == survivor {
			survived++
		}
		fmt.Printf("%-28s %-9s %5.1fs  %s %s\n", m.name, verdict, time.Since(began).Seconds(),
			m.pkg, m.chosen())
	}
	if survived > 0 {
		return fmt.Errorf("%d mutants survived", survived)
	}
	return nil
}

// try builds the mutant, runs its tests and says what became of it.
func (m *mutant) try(root string) (verdict string, err error) {
	dir, err := os.MkdirTemp("", "hookspool-mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-overlay", overlay, "./...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build, so it proves nothing: %w\n%s", err, out)
	}
	test := exec.Command("go", append([]string{"test", "-v", "-count=1", "-timeout", timeLimit,
		"-run", m.tests, "./" + m.pkg, "-args"}, m.args...)...)
	test.Dir = root
	// By the environment, so that the binary that testenv builds is the mutant as well.
	test.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay, "HOOKSPOOL_BINARY=",
		"HOOKSPOOL_LONG=1")
	out, err := test.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return judge(string(out), err != nil)
}

// chosen is what chooses the mutant's tests.
func (m *mutant) chosen() string {
	return strings.Join(append([]string{"-run '" + m.tests + "'"}, m.args...), " ")
}

// What becomes of a mutant.
const (
	victim   = "killed"
	survivor = "SURVIVED"
	untried  = "skipped" // each of its tests needs what is not here
)

// judge reads the verdict in what go test -v said. Tests that did not begin, because they do not
// compile or do not know a flag, fail as well and prove nothing.
func judge(out string, failed bool) (verdict string, err error) {
	passed, skipped := 0, 0
	for _, match := range regexp.MustCompile(`(?m)^ *--- (PASS|SKIP): (\S+)`).
		FindAllStringSubmatch(out, -1) {
		switch {
		case strings.Contains(out, "=== RUN   "+match[2]+"/"): // its parts say it
		case match[1] == "PASS":
			passed++
		default:
			skipped++
		}
	}
	switch {
	case !strings.Contains(out, "=== RUN"):
		return "", fmt.Errorf("its tests do not run, so they prove nothing:\n%s", out)
	case failed:
		return victim, nil
	case passed == 0 && skipped > 0:
		return untried, nil
	}
	return survivor, nil
}

// overlay writes the broken file and the list that the compiler wants.
func (m *mutant) overlay(root, dir string) (string, error) {
	path := filepath.Join(root, filepath.FromSlash(m.file))
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.from); n != 1 {
		return "", fmt.Errorf("%s has the code to break %d times, want 1:\n%s", m.file, n, m.from)
	}
	broken := filepath.Join(dir, "broken.go")
	text = []byte(strings.Replace(string(text), m.from, m.to, 1))
	if err := os.WriteFile(broken, text, 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
