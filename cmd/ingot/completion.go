package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/format"
)

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell's completion script",
		Long: `Print a script that lets a shell complete verbs, flags and arguments of ingot.

  bash   needs the package bash-completion
  zsh    needs "autoload -U compinit; compinit" in ~/.zshrc`,
		Example: `  ingot completion bash > ~/.local/share/bash-completion/completions/ingot
  ingot completion zsh > "${fpath[1]}/_ingot"
  ingot completion fish > ~/.config/fish/completions/ingot.fish`,
		GroupID:               groupOther,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return errors.New("want one shell: bash, zsh or fish")
			}
			return nil
		},
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			default:
				return cmd.Root().GenFishCompletion(out, true)
			}
		},
	}
}

// complete tells shells the values of flags that have few, in every verb.
func complete(cmd *cobra.Command) {
	for name, values := range map[string][]string{
		"output":   format.Names(),
		"firmware": {"bios", "uefi", "secure"},
		"arch":     {hostArch()},
		"progress": {"auto", "plain", "json"},
		"color":    {"auto", "always", "never"},
	} {
		if cmd.LocalNonPersistentFlags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for no such flag only
		}
	}
	for _, c := range cmd.Commands() {
		complete(c)
	}
}
