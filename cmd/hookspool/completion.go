package main

import (
	"github.com/spf13/cobra"
)

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
