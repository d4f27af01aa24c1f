package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryVerbHasAnExample asks every verb for --help: it comes on stdout, with an example that
// names the verb.
func TestEveryVerbHasAnExample(t *testing.T) {
	t.Parallel()
	verbs := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		verbs++
		path := strings.Fields(cmd.CommandPath())
		var out, errOut bytes.Buffer
		code := run(append(path[1:], "--help"), strings.NewReader(""), &out, &errOut)
		_, example, ok := strings.Cut(out.String(), "\nExamples:\n")
		if code != 0 || errOut.Len() > 0 || !ok || !strings.Contains(example, cmd.Name()) {
			t.Errorf("%s --help: exit %d, no example of it in\n%s%s", cmd.CommandPath(), code,
				out.String(), errOut.String())
		}
	}
	walk((&cli{getenv: func(string) string { return "" }}).rootCommand())
	if verbs < 20 {
		t.Errorf("there are %d verbs; this test looks in the wrong place", verbs)
	}
}

// TestErrorsHaveHints asserts that no failure is told without a way on.
func TestErrorsHaveHints(t *testing.T) {
	t.Parallel()
	f := func(args ...string) {
		t.Helper()
		var errOut bytes.Buffer
		run(args, strings.NewReader(""), &bytes.Buffer{}, &errOut)
		if text := errOut.String(); !strings.HasPrefix(text, "error: ") ||
			!strings.Contains(text, "\nhint: ") {
			t.Errorf("%q: %q has no error with a hint", args, text)
		}
	}
	f("send", "nope.json")
	f("listen", "--status", "99")
	f("listen", "--latency", "-1s")
	f("sign", "--secret", "env:HOOKSPOOL_TEST_NOT_SET", "--id", "a")
	f("sign", "--secret", "file:nope", "--id", "a")
	f("spool", "export", "--out", "nope/nope", "--dir", "nope")
	f("spool", "import", "nope.ndjson", "--dir", "nope")
}

// TestWithoutLines cuts the numbers of a relay's lines out of its words, and only those.
func TestWithoutLines(t *testing.T) {
	t.Parallel()
	f := func(detail, want string) {
		t.Helper()
		if got := withoutLines(detail); got != want {
			t.Errorf("%q became %q, want %q", detail, got, want)
		}
	}
	f("nothing of the batch was accepted; line 1: it is not JSON (lines at fault: [1])",
		"it is not JSON")
	f("nothing of the batch was accepted; line 12: id \"a: b\" (lines at fault: [1]) was used (lines "+
		"at fault: [12 13] and 8 more)", "id \"a: b\" (lines at fault: [1]) was used")
	f("nothing of the batch was accepted; line 1: other words", "nothing of the batch was accepted; "+
		"line 1: other words")
	f("the spool is full", "the spool is full")
	var err error = &refused{failure: fail("", "other")}
	if got := (&batch{lines: []int{3}}).locate(err); !errors.Is(got, err) || got.Error() != "other" {
		t.Errorf("a refusal without lines became %v", got)
	}
}
