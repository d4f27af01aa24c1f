package main

import (
	"strings"

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
		Example: "  hookspool help failures\n  hookspool help send\n" +
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
