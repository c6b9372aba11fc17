package cli

import "github.com/spf13/cobra"

func (t *tree) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion {bash|zsh|fish|powershell}",
		Short: "Print the script with which a shell completes commands",
		Long: "Print a script that makes a shell complete the commands of this program with the Tab key.\n\n" +
			"bash needs the package bash-completion.",
		Example: "  latchbolt completion bash > ~/.local/share/bash-completion/completions/latchbolt\n" +
			"  latchbolt completion zsh > \"${fpath[1]}/_latchbolt\"\n" +
			"  latchbolt completion fish > ~/.config/fish/completions/latchbolt.fish",
		Args:      wantArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: shells,
		RunE: t.here(func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), t.front.Stdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			}
			return root.GenPowerShellCompletionWithDesc(w)
		}),
	}
}
