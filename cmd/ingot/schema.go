package main

import (
	"github.com/spf13/cobra"

	"ingot/internal/definition"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of ingot.yaml",
		Long: `schema prints the JSON schema (draft 2020-12) of a definition, with which
editors complete and check it while it is written.`,
		Example: `  ingot schema > ingot.schema.json
  # and as the first line of ingot.yaml:
  # yaml-language-server: $schema=ingot.schema.json`,
		GroupID: groupOther,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(definition.Schema())
			return err
		},
	}
}
