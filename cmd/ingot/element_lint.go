package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/element"
	"ingot/internal/fault"
)

// lintJSON is the object that "element lint --json" prints.
type lintJSON struct {
	Schema   int               `json:"schema"`   // 1
	Elements []string          `json:"elements"` // that were looked at
	Warnings []element.Warning `json:"warnings"`
}

func newElementLintCommand() *cobra.Command {
	var f elementFlags
	var strict bool
	var rules strings.Builder
	for _, r := range element.Rules {
		fmt.Fprintf(&rules, "\n  %-16s %s", r.Name, r.About)
	}
	cmd := &cobra.Command{
		Use:   "lint [DIR|NAME...]",
		Short: "Say what of elements diskimage-builder ignores or gets wrong",
		Long: `lint looks at elements for what diskimage-builder passes over without a word, or
does otherwise than it says. DIR is an element or a directory of elements, NAME an
element of the elements' path; without any, all elements of the path are looked at.

Warnings are lines FILE:LINE:COLUMN: MESSAGE (RULE). The rules:
` + rules.String(),
		Example: `  ingot element lint ./elements
  ingot element lint --strict ./elements/nginx`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, names, err := f.choose(args)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				return noElements()
			}
			out := lintJSON{Schema: 1, Elements: names, Warnings: []element.Warning{}}
			list, err := element.Lint(p, names)
			if err != nil {
				return err
			}
			out.Warnings = append(out.Warnings, list...)
			if f.json {
				err = printJSON(cmd, out)
			} else {
				for _, w := range list {
					fmt.Fprintln(cmd.OutOrStdout(), w)
					if w.Hint != "" {
						fmt.Fprintln(cmd.OutOrStdout(), "  "+w.Hint)
					}
				}
			}
			if err == nil && strict && len(list) > 0 {
				return fault.Newf(fault.Definition, "%d warnings", len(list))
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with code 3 if there is a warning")
	return cmd
}

// choose opens the path with the directories that were named in front, and gives the
// names of the elements to look at.
func (f *elementFlags) choose(args []string) (*element.Path, []string, error) {
	var dirs, names, whole []string
	for _, a := range args {
		info, err := os.Stat(a)
		if err != nil || !info.IsDir() {
			names = append(names, a)
			continue
		}
		dir, err := filepath.EvalSymlinks(a)
		if err == nil {
			dir, err = filepath.Abs(dir)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cannot tell where %s lies: %w", a, err)
		}
		if element.Is(os.DirFS(dir)) {
			names = append(names, filepath.Base(dir))
			dir = filepath.Dir(dir)
		} else {
			whole = append(whole, dir)
		}
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	p, err := f.open(dirs...)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range p.Names() {
		e, err := p.Load(name)
		if err == nil && (len(args) == 0 && e.Dir != "" || slices.Contains(whole, e.Source)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return p, slices.Compact(names), nil
}
