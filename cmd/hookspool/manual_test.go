package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookspool/hookspool/cmd/hookspool/manual"
	"github.com/hookspool/hookspool/relay/sample"
)

// updateEnv has the tests write what they would compare.
const updateEnv = "HOOKSPOOL_UPDATE"

// checkMade holds the part of a page that begins with a heading to what it is made of.
func checkMade(t *testing.T, page, heading, made string) {
	t.Helper()
	path := "manual/" + page + ".md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, is, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", path, heading)
	}
	if made = strings.TrimSpace(made); strings.TrimSpace(is) == made {
		return
	}
	if os.Getenv(updateEnv) == "" {
		t.Errorf("%s is not what it is made of: HOOKSPOOL_UPDATE=1 go test ./cmd/hookspool "+
			"-run Manual writes it again", path)
		return
	}
	err = os.WriteFile(path, []byte(before+"\n"+heading+"\n\n"+made+"\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
}

// TestManualCommands holds the page of the verbs to the verbs.
func TestManualCommands(t *testing.T) {
	root := (&cli{getenv: func(string) string { return "" }}).rootCommand()
	var b strings.Builder
	b.WriteString("All verbs have these flags:\n\n")
	writeFlags(&b, root.PersistentFlags())
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				writeVerb(&b, sub)
				walk(sub)
			}
		}
	}
	walk(root)
	checkMade(t, "commands", "## Every verb", b.String())
}

func writeVerb(b *strings.Builder, cmd *cobra.Command) {
	level := strings.Repeat("#", 2+strings.Count(cmd.CommandPath(), " "))
	fmt.Fprintf(b, "\n%s `%s`\n\n%s.\n\n", level, cmd.CommandPath(), cmd.Short)
	if long := strings.TrimSpace(cmd.Long); long != cmd.Short {
		b.WriteString(proseMarkup(long) + "\n\n")
	}
	fmt.Fprintf(b, "```text\n%s\n```\n\n", strings.TrimSpace(cmd.UseLine()))
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		writeFlags(b, flags)
		b.WriteString("\n")
	}
	b.WriteString("```sh norun: examples, with files and names of your own\n")
	for line := range strings.Lines(cmd.Example) {
		b.WriteString(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ") + "\n")
	}
	b.WriteString("```\n")
}

// writeFlags writes a table of flags, in the words of their help.
func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		cell := "`--" + f.Name
		if f.Shorthand != "" {
			cell = "`-" + f.Shorthand + "`, " + cell
		}
		if name != "" && f.Value.Type() != "bool" {
			cell += " " + name
		}
		if d := f.DefValue; d != "" && d != "0" && d != "false" && d != "[]" && d != "0s" {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(b, "| %s` | %s |\n", cell, proseMarkup(usage))
	})
}

// TestManualConfiguration holds the page of the config to config.example.toml.
func TestManualConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	// The head of the file is about the file; the page has words of its own for that.
	_, body, _ := strings.Cut(string(text), "\n\n[server]\n")
	var b strings.Builder
	b.WriteString("### `[server]`\n\n")
	table := "server"
	for part := range strings.SplitSeq(body, "\n\n") {
		table = writePart(&b, strings.Split(strings.TrimSpace(part), "\n"), table)
	}
	checkMade(t, "configuration", "## Every key", b.String())
}

// writePart writes a comment with the keys or the table that it stands above, and returns the table
// of what follows.
func writePart(b *strings.Builder, lines []string, table string) string {
	var words, values, names []string
	header := regexp.MustCompile(`^\[([a-z.]+)\]$`)
	key := regexp.MustCompile(`^([a-z_]+) = `)
	for _, line := range lines {
		if comment, is := strings.CutPrefix(line, "#"); is {
			words = append(words, strings.TrimSpace(comment))
			continue
		}
		if m := header.FindStringSubmatch(line); m != nil {
			table = strings.Replace(m[1], "target.local", "target.NAME", 1)
			fmt.Fprintf(b, "### `[%s]`\n\n", table)
			if len(values) == 0 && len(words) > 0 {
				b.WriteString(proseMarkup(strings.Join(words, "\n")) + "\n\n")
				words = nil
			}
			continue
		}
		if m := key.FindStringSubmatch(line); m != nil {
			names = append(names, "`"+table+"."+m[1]+"`")
		}
		values = append(values, line)
	}
	if len(values) > 0 {
		fmt.Fprintf(b, "#### %s\n\n```toml\n%s\n```\n\n%s\n\n", strings.Join(names, ", "),
			strings.Join(values, "\n"), proseMarkup(strings.Join(words, "\n")))
	}
	return table
}

// proseMarkup makes Markdown of plain text: what is code in it is marked as such, and nothing in it
// becomes markup by accident.
func proseMarkup(text string) string {
	code := regexp.MustCompile(`(?:\$[A-Z]|\./|/[a-z]+/)[\w./-]+|\{ [^}]*\}|\[[^\]]*\]|"[^"]*"|\bhookspool (?:[a-z]+ ?)?--[a-z-]+|--[a-z]` +
		`[a-z0-9-]*|\b[a-z][a-z0-9]*(?:[_.][a-z0-9]+)+\b|\S*[*<>]\S*`)
	return code.ReplaceAllStringFunc(text, func(found string) string {
		end := strings.TrimRight(found, ".,:;")
		return "`" + end + "`" + found[len(end):]
	})
}

// TestManualNames asserts that no page has the name of a verb, that every page is in the list of
// help, and that the catalogue tells of every event that has a sample.
func TestManualNames(t *testing.T) {
	t.Parallel()
	root := (&cli{getenv: func(string) string { return "" }}).rootCommand()
	var verbs []string
	for _, verb := range root.Commands() {
		verbs = append(verbs, verb.Name())
	}
	files, err := os.ReadDir("manual")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, is := strings.CutSuffix(file.Name(), ".md")
		if _, _, listed := manual.Find(name); is && !listed {
			t.Errorf("manual.Pages does not list %s", file.Name())
		}
	}
	for _, page := range manual.Pages() {
		for _, verb := range verbs {
			if page.Name == verb {
				t.Errorf("the page %q has the name of a verb", page.Name)
			}
		}
	}
	_, catalogue, _ := manual.Find("sessions")
	for _, typ := range sample.Types() {
		if !strings.Contains(string(catalogue), "`"+typ+"`") {
			t.Errorf("the catalogue does not tell of %s", typ)
		}
	}
}
