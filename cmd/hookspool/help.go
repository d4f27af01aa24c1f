package main

import (
	"fmt"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/cmd/hookspool/manual"
)

// helpCommand shows pages of the manual, and the help of verbs as cobra's own help does.
func (c *cli) helpCommand() *cobra.Command {
	noPager := false
	cmd := &cobra.Command{
		Use:   "help [PAGE|VERB]",
		Short: "Show a page of the manual, or the help of a verb",
		Long: "Show a page of the manual, or what VERB --help shows; without a name list both. On a\n" +
			"terminal a page is laid out for its width and goes through $PAGER (less, unless that is\n" +
			"set; empty: none). Elsewhere it is Markdown.",
		Example: "  hookspool help faults\n  hookspool help send\n" +
			"  hookspool help --no-pager configuration\n" +
			"  hookspool help metrics | grep pending",
		ValidArgsFunction: c.completePages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.listHelp(cmd.Root())
			}
			if page, text, ok := manual.Find(args[0]); ok && len(args) == 1 {
				return c.showPage(page, text, noPager)
			}
			verb, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 || verb == cmd.Root() {
				return c.unknownTopic(cmd.Root(), strings.Join(args, " "))
			}
			verb.InitDefaultHelpFlag() // as cobra's does: it shows --help as well
			return verb.Help()
		},
	}
	cmd.Flags().BoolVar(&noPager, "no-pager", false, "write a page straight to the terminal")
	return cmd
}

// listHelp lists the verbs and the pages.
func (c *cli) listHelp(root *cobra.Command) error {
	if c.json {
		return c.printJSON(struct {
			Pages []manual.Page `json:"pages"`
		}{manual.Pages()})
	}
	if err := root.Help(); err != nil {
		return err
	}
	c.print("\nPages of the manual (hookspool help PAGE):\n")
	t := &table{columns: []column{{name: ""}, {name: "", flex: true}}, headed: true}
	for _, p := range manual.Pages() {
		t.add("  "+p.Name, p.Summary)
	}
	c.printTable(t)
	return nil
}

// showPage lays a page out for a terminal. Elsewhere its text is what a program, or a person who
// looks for a word, can use.
func (c *cli) showPage(page manual.Page, text []byte, noPager bool) error {
	switch {
	case c.json:
		return c.printJSON(struct {
			manual.Page
			Text string `json:"text"`
		}{page, string(text)})
	case !isTerminal(c.out):
		c.print("%s", text)
		return nil
	}
	shown := manual.Terminal(text, c.width(c.out), c.colored(c.out))
	if noPager || !c.paged(shown) {
		c.print("%s", shown)
	}
	return nil
}

// unknownTopic is the failure of a name that neither a page nor a verb has.
func (c *cli) unknownTopic(root *cobra.Command, name string) error {
	hint := "hookspool help lists the pages and the verbs"
	near := root.SuggestionsFor(name)
	for _, p := range manual.Pages() {
		if strings.HasPrefix(p.Name, strings.ToLower(name)) ||
			strings.HasPrefix(strings.ToLower(name), p.Name) {
			near = append(near, p.Name)
		}
	}
	if len(near) > 0 {
		hint = "did you mean " + near[0] + "? " + hint
	}
	return misuse(hint, "there is no page and no verb %q", name)
}

func (c *cli) completePages(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion,
	cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) == 0 {
		for _, p := range manual.Pages() {
			names = append(names, cobra.CompletionWithDesc(p.Name, p.Summary))
		}
		for _, verb := range cmd.Root().Commands() {
			if verb.IsAvailableCommand() {
				names = append(names, cobra.CompletionWithDesc(verb.Name(), verb.Short))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// layOutHelp has the help of all verbs laid out for the screen; width asks how wide that is, 0: it
// is none.
func layOutHelp(root *cobra.Command, width func() int) {
	root.SetUsageFunc(func(cmd *cobra.Command) error { return printUsage(cmd, width()) })
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		long := cmd.Long
		if long == "" {
			long = cmd.Short
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", // a stream remembers
			reflow(strings.TrimSpace(long), width()), cmd.UsageString())
	})
}

// reflow fits prose to a screen. What is indented is laid out already, and a text that fits stays
// as it is.
func reflow(text string, width int) string {
	fits := true
	for line := range strings.Lines(text) {
		fits = fits && uniseg.StringWidth(strings.TrimRight(line, "\n")) <= width
	}
	if width <= 0 || fits {
		return text
	}
	var out []string
	prose := ""
	flush := func() {
		if prose != "" {
			out = append(out, wrapWords(prose, width, 0))
		}
		prose = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			out = append(out, line)
			continue
		}
		prose = strings.TrimSpace(prose + " " + line)
	}
	flush()
	return strings.Join(out, "\n")
}

// wrapWords breaks a line between words, and indents those after the first.
func wrapWords(line string, width, indent int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(line) {
		n := uniseg.StringWidth(word)
		switch {
		case column == 0:
		case width > 0 && indent+column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// printUsage is cobra's template in our words. A template would do, but it calls methods by names
// that only it knows, so that the linker has to keep every method of every type: a third of the
// binary.
func printUsage(cmd *cobra.Command, width int) error {
	var b strings.Builder
	part := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n\n%s:\n%s", title, strings.TrimRight(text, " \n"))
		}
	}
	b.WriteString("Usage:\n  " + cmd.UseLine())
	part("Examples", cmd.Example)
	verbs := ""
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			verbs += fmt.Sprintf("  %-*s %s\n", sub.NamePadding(), sub.Name(),
				wrapWords(sub.Short, width, sub.NamePadding()+3))
		}
	}
	part("Verbs", verbs)
	part("Flags", cmd.LocalFlags().FlagUsagesWrapped(width))
	part("Global Flags", cmd.InheritedFlags().FlagUsagesWrapped(width))
	_, err := fmt.Fprintln(cmd.OutOrStderr(), &b)
	return err
}
