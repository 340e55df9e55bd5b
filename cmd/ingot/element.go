package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ingot/internal/element"
	"ingot/internal/fault"
)

func newElementCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "element",
		Short: "Look at diskimage-builder's elements, check them, make new ones",
		Long: `An element is a directory of scripts, files and package lists that images are made
of, in the form of diskimage-builder. Elements are looked for in the directories of
--elements-path, or else of the variable ELEMENTS_PATH, of which an earlier one
overrides a later one; before all of them come those that are inside ingot.`,
		GroupID: groupLook,
	}
	cmd.AddCommand(newElementListCommand(), newElementShowCommand(), newElementDepsCommand(), newElementLintCommand(), newElementPlanCommand(), newElementNewCommand())
	return cmd
}

// elementFlags are those of all verbs about elements.
type elementFlags struct {
	path string
	json bool
}

func (f *elementFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "elements-path", "", "`directories` of elements, with colons between them (default $ELEMENTS_PATH)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// open opens the elements' path, with some more directories in front.
func (f *elementFlags) open(more ...string) (*element.Path, error) {
	sources := []element.Source{element.Own()}
	for _, dir := range more {
		sources = append(sources, element.Dir(dir))
	}
	return element.Open(append(sources, element.Dirs(or(f.path, environ("ELEMENTS_PATH")))...)...)
}

// elementJSON is an element in the objects of "element list" and "element deps".
type elementJSON struct {
	Name     string   `json:"name"`
	Source   string   `json:"source"`        // the directory of elements that it is in
	Dir      string   `json:"dir,omitempty"` // its own; of one inside ingot there is none
	About    string   `json:"about,omitempty"`
	Deps     []string `json:"deps,omitempty"`
	Provides []string `json:"provides,omitempty"`
	Hides    []string `json:"hides,omitempty"` // directories of others of that name
}

func toElementJSON(e *element.Element) elementJSON {
	out := elementJSON{Name: e.Name, Source: e.Source, Dir: e.Dir, About: e.About()}
	for _, w := range e.Deps {
		out.Deps = append(out.Deps, w.Text)
	}
	for _, w := range e.Provides {
		out.Provides = append(out.Provides, w.Text)
	}
	for _, h := range e.Hidden {
		out.Hides = append(out.Hides, h.At(""))
	}
	return out
}

// elementsJSON is the object that "element list --json" prints.
type elementsJSON struct {
	Schema   int           `json:"schema"` // 1
	Sources  []string      `json:"sources"`
	Elements []elementJSON `json:"elements"`
}

func newElementListCommand() *cobra.Command {
	var f elementFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the elements there are",
		Example: `  ingot element list --elements-path ./elements:/usr/share/elements
  ingot element list --json | jq -r '.elements[] | select(.provides) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			out := elementsJSON{Schema: 1}
			for _, s := range p.Sources() {
				out.Sources = append(out.Sources, s.Name)
			}
			for _, name := range p.Names() {
				e, err := p.Load(name)
				if err != nil {
					return err
				}
				out.Elements = append(out.Elements, toElementJSON(e))
			}
			if f.json {
				return printJSON(cmd, out)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			for _, e := range out.Elements {
				fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, e.Source, e.About)
			}
			return t.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

// dependenciesJSON is the object that "element deps --json" prints.
type dependenciesJSON struct {
	Schema   int               `json:"schema"` // 1
	Asked    []string          `json:"asked"`
	Elements []elementJSON     `json:"elements"`
	Provided map[string]string `json:"provided"` // names that are no element here, and who provides them
}

func newElementDepsCommand() *cobra.Command {
	var f elementFlags
	var o element.Options
	cmd := &cobra.Command{
		Use:   "deps NAME...",
		Short: "Say which elements a build of some elements is made of",
		Long: `deps adds to elements all those that they depend on, as a build does: base too,
unless --skip-base is said, and a block device where there is a vm without one. A
build's elements must provide an operating system; --any looks without one.`,
		Example: `  ingot element deps debian-minimal vm
  ingot element deps --skip-base --any growroot`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			set, err := element.Expand(p, names, o)
			if err != nil {
				return err
			}
			out := dependenciesJSON{Schema: 1, Asked: set.Asked, Provided: set.Provided}
			for _, e := range set.Elements {
				out.Elements = append(out.Elements, toElementJSON(e))
			}
			if f.json {
				return printJSON(cmd, out)
			}
			return out.print(cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&o.SkipBase, "skip-base", "n", false, "do not add the element base")
	cmd.Flags().BoolVar(&o.AnyOS, "any", false, "do not insist on an operating system")
	cmd.Flags().StringVar(&o.Arch, "arch", hostArch(), "for this architecture")
	cmd.Flags().StringVar(&o.Ramdisk, "ramdisk-element", "", "add this `element`, as ramdisk-image-create does")
	return cmd
}

func (d dependenciesJSON) print(w io.Writer) error {
	wanted := map[string][]string{}
	for _, e := range d.Elements {
		for _, dep := range e.Deps {
			if by := d.Provided[dep]; by != "" {
				dep = by
			}
			wanted[dep] = append(wanted[dep], e.Name)
		}
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, e := range d.Elements {
		why := "asked for"
		if by := wanted[e.Name]; len(by) > 0 {
			why = "for " + strings.Join(by, ", ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, or(e.Dir, e.Source), why)
	}
	return t.Flush()
}

func noElements() error {
	return fault.Newf(fault.Usage, "there are no elements to look at").
		WithHint("name directories, or set ELEMENTS_PATH or --elements-path")
}
