package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
)

// A checkReport is what "check --json" prints.
type checkReport struct {
	Schema   int                  `json:"schema"` // 1
	File     string               `json:"file"`
	Valid    bool                 `json:"valid"`
	Name     string               `json:"name,omitempty"`
	Flavors  []string             `json:"flavors,omitempty"` // beside the definition's own
	Problems []definition.Problem `json:"problems"`
	More     int                  `json:"more,omitempty"` // problems beyond those listed
	Warnings []string             `json:"warnings,omitempty"`
}

func newCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a definition",
		Long: `check reads a definition with all that it includes and says everything that is
wrong with it, with file, line and column. It needs no network.`,
		Example: `  ingot check
  ingot check --json web.yaml`,
		GroupID: groupMake,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := definitionPath(args)
			if err != nil {
				return err
			}
			d, err := definition.Load(path, loadOptions())
			if asJSON {
				return reportCheck(cmd, path, d, err)
			}
			if err != nil {
				return err
			}
			for _, w := range d.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "ingot: warning: %s\n", w)
			}
			var outputs []string
			for _, o := range d.Outputs {
				outputs = append(outputs, o.Format)
			}
			more := ""
			if names := flavorNames(d); len(names) > 0 {
				more = "; flavors " + strings.Join(names, ", ")
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %s, %s %s for %s, as %s%s\n", path, d.Name, d.Distro, d.Release,
				strings.Join(d.Arch, " and "), strings.Join(outputs, ", "), more)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// reportCheck prints the report of a definition that was read, or not.
func reportCheck(cmd *cobra.Command, path string, d *definition.Definition, loadErr error) error {
	r := checkReport{Schema: 1, File: path, Problems: []definition.Problem{}}
	if loadErr == nil {
		r.Valid, r.Name, r.Flavors, r.Warnings = true, d.Name, flavorNames(d), d.Warnings
		return printJSON(cmd, r)
	}
	problems, ok := errors.AsType[*definition.Problems](loadErr)
	if !ok {
		return loadErr
	}
	r.Problems, r.More = problems.List, problems.More
	if err := printJSON(cmd, r); err != nil {
		return err
	}
	first, _, _ := strings.Cut(loadErr.Error(), "\n")
	return fault.Newf(fault.CodeOf(loadErr), "%s", first) // the rest has just been printed
}

// flavorNames are what a definition's flavors are called beside its own.
func flavorNames(d *definition.Definition) []string {
	var out []string
	for _, v := range d.Variants() {
		if v.FlavorName != "" && !slices.Contains(out, v.FlavorName) {
			out = append(out, v.FlavorName)
		}
	}
	return out
}
