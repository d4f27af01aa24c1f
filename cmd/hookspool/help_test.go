package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
)

// TestHelpFits lays the help of every verb out for two screens: what is prose, a flag or a verb fits,
// and no word is lost. Examples stay as they are, so that they can be copied.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{80, 120} {
		c := &cli{getenv: func(name string) string {
			if name == "COLUMNS" {
				return fmt.Sprint(width)
			}
			return ""
		}}
		var walk func(cmd *cobra.Command)
		help := func(cmd *cobra.Command) string {
			var b strings.Builder
			cmd.SetOut(&b)
			cmd.InitDefaultHelpFlag()
			if err := cmd.Help(); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		walk = func(cmd *cobra.Command) {
			for _, sub := range cmd.Commands() {
				walk(sub)
			}
			text := help(cmd)
			before, examples, _ := strings.Cut(text, "\nExamples:\n")
			_, after, _ := strings.Cut(examples, "\n\n")
			for line := range strings.Lines(before + after) {
				laid := strings.HasPrefix(line, "  ") && strings.Contains(before, line)
				if n := uniseg.StringWidth(strings.TrimRight(line, "\n")); n > width && !laid {
					t.Errorf("%s at %d: %d columns: %s", cmd.CommandPath(), width, n, line)
				}
			}
			words := strings.Join(strings.Fields(text), " ")
			if want := strings.Join(strings.Fields(cmd.Long), " "); !strings.HasPrefix(words, want) {
				t.Errorf("%s at %d: the help does not begin with %q", cmd.CommandPath(), width, want)
			}
		}
		walk(c.rootCommand())
	}
}

// TestReflow keeps paragraphs apart and what is indented as it is.
func TestReflow(t *testing.T) {
	t.Parallel()
	f := func(text string, width int, want string) {
		t.Helper()
		if got := reflow(text, width); got != want {
			t.Errorf("%q at %d became %q, want %q", text, width, got, want)
		}
	}
	f("one two\nthree", 0, "one two\nthree")
	f("one two\nthree", 7, "one two\nthree")
	f("one two\nthree", 6, "one\ntwo\nthree")
	f("one two three\nfour\n\nfive", 9, "one two\nthree\nfour\n\nfive")
	f("one two three:\n  a  b  c  d\nlast", 10, "one two\nthree:\n  a  b  c  d\nlast")
	f("word-that-is-long a", 5, "word-that-is-long\na")
}
