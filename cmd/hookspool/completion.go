package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// completionTimeout is how long somebody who presses Tab may wait for a relay.
const completionTimeout = time.Second

func (c *cli) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes verbs and flags in a shell",
		Long: "Print a script that completes verbs and flags: SHELL is bash, zsh, fish or powershell.\n" +
			"It works from the next shell on when it is where that shell looks for such scripts.",
		Example: "  source <(hookspool completion bash)     # in this shell only\n" +
			"  hookspool completion bash >/etc/bash_completion.d/hookspool\n" +
			"  hookspool completion zsh >\"${fpath[1]}/_hookspool\"\n" +
			"  hookspool completion fish >~/.config/fish/completions/hookspool.fish\n" +
			"  hookspool completion powershell | Out-String | Invoke-Expression",
		Args:                  arguments(1, "SHELL"),
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.out)
			}
			return misuse("the shells are bash, zsh, fish and powershell", "there is no script for %q",
				args[0])
		},
	}
}

// completeTarget offers the names of targets for the first argument.
func (c *cli) completeTarget(cmd *cobra.Command, args []string, _ string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.targetNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// completeFlags offers the names of targets for --target, and the states for --state.
func (c *cli) completeFlags(cmd *cobra.Command, states ...string) {
	offer := func(flag string, words func(context.Context) []string) {
		if cmd.Flags().Lookup(flag) == nil {
			return
		}
		err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) (
			[]string, cobra.ShellCompDirective) {
			return words(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		})
		if err != nil {
			panic("BUG: a flag is completed twice: " + err.Error())
		}
	}
	offer("target", c.targetNames)
	offer("state", func(context.Context) []string { return states })
}

// targetNames are those of the running relay, else those of the config, else none.
func (c *cli) targetNames(ctx context.Context) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	var names []string
	var list admin.TargetList
	if relay, err := c.admin(); err == nil && relay.call(ctx, "GET", "/v1/targets", &list) == nil {
		for i := range list.Targets {
			names = append(names, list.Targets[i].Name)
		}
		return names
	}
	cfg, err := c.loadConfig()
	if err != nil {
		return nil
	}
	for i := range cfg.Targets {
		names = append(names, cfg.Targets[i].Name)
	}
	return names
}
