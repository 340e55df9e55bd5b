package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
)

// usageTemplate is the second half of a help text, after what the command does.
const usageTemplate = `Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}} VERB{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}

{{$group.Title}}{{range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if eq (len .Groups) 0}}

Verbs:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every verb:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasHelpSubCommands}}

Topics:{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad (print "help " .Name) .CommandPathPadding}} {{.Short}}{{end}}{{end}}{{end}}
`

// newHelpCommand is "ingot help [VERB]".
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]",
		Short:   "Show help for a verb or a topic",
		GroupID: groupOther,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || c == cmd.Root() && len(rest) > 0 {
				return fault.Newf(fault.Usage, "no help on %q", strings.Join(args, " ")).WithHint("%s", seeHelp(cmd.Root()))
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// watchHelp keeps why a help text could not be written: cobra's help gives no error.
func watchHelp(root *cobra.Command) *error {
	unwritten := new(error)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		var text bytes.Buffer
		out := cmd.OutOrStdout()
		cmd.SetOut(&text)
		help(cmd, args)
		cmd.SetOut(out)
		if _, err := out.Write(text.Bytes()); err != nil {
			*unwritten = fmt.Errorf("cannot write the help: %w", err)
		}
	})
	return unwritten
}
