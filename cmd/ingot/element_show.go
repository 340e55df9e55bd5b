package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/element"
)

// shownJSON is the object that "element show --json" prints.
type shownJSON struct {
	Schema int `json:"schema"` // 1
	elementJSON
	Scripts     []scriptJSON  `json:"scripts"`
	Environment []string      `json:"environment"` // files of environment.d, in order
	Packages    []packageJSON `json:"packages"`
	Sources     []string      `json:"sources"` // lines of source-repository files
	Ignored     []ignoredJSON `json:"ignored"` // files that are passed over
}

// scriptJSON is a script in the order in which it runs.
type scriptJSON struct {
	Phase string       `json:"phase"`
	Side  element.Side `json:"side"` // host or target
	Name  string       `json:"name"`
}

// packageJSON is an entry of package-installs.yaml or .json as it is written.
type packageJSON struct {
	Name   string `json:"name"`
	Phase  string `json:"phase"`
	Remove string `json:"remove,omitempty"` // uninstall or build-only
	Where  string `json:"where,omitempty"`  // on what it depends, in words
}

type ignoredJSON struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

func newElementShowCommand() *cobra.Command {
	var f elementFlags
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show what an element does: scripts, packages, sources",
		Example: `  ingot element show debian-minimal`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			out, err := show(p, args[0])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd, out)
			}
			return out.print(cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	return cmd
}

func show(p *element.Path, name string) (shownJSON, error) {
	e, err := p.Load(name)
	if err != nil {
		return shownJSON{}, err
	}
	out := shownJSON{Schema: 1, elementJSON: toElementJSON(e), Scripts: []scriptJSON{}, Environment: []string{}, Packages: []packageJSON{}, Sources: []string{}, Ignored: []ignoredJSON{}}
	h, err := element.Merge(element.Set{Elements: []*element.Element{e}})
	if err != nil {
		return out, err
	}
	for _, phase := range element.Phases {
		for _, s := range h.Phase(phase.Name) {
			out.Scripts = append(out.Scripts, scriptJSON{s.Phase, s.Side, s.Name})
		}
	}
	out.Environment = append(out.Environment, h.Environment()...)
	wishes, err := e.Packages()
	if err != nil {
		return out, err
	}
	for _, w := range wishes {
		out.Packages = append(out.Packages, packageJSON{w.Package, w.Phase, w.Remove, w.Where()})
	}
	sources, err := h.Sources()
	if err != nil {
		return out, err
	}
	for _, s := range sources {
		out.Sources = append(out.Sources, s.Raw)
	}
	for _, i := range h.Ignored() {
		out.Ignored = append(out.Ignored, ignoredJSON{i.Path, i.Why})
	}
	return out, nil
}

func (s shownJSON) print(w io.Writer) error {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", key, value)
		}
	}
	line("element", s.Name)
	line("", s.About)
	line("from", or(s.Dir, s.Source))
	line("hides", strings.Join(s.Hides, ", "))
	line("needs", strings.Join(s.Deps, " "))
	line("provides", strings.Join(s.Provides, " "))
	for _, e := range s.Environment {
		line("environment", e)
	}
	for _, r := range s.Scripts {
		line("script", fmt.Sprintf("%s/%s (%s)", r.Phase, r.Name, r.Side))
	}
	for _, p := range s.Packages {
		text := p.Name
		for _, more := range []string{p.Phase, p.Remove, p.Where} {
			if more != "" && more != "install.d" {
				text += ", " + more
			}
		}
		line("package", text)
	}
	for _, r := range s.Sources {
		line("source", r)
	}
	for _, i := range s.Ignored {
		line("ignored", i.File+": "+i.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
