package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/errand"
	"ingot/internal/fault"
	"ingot/internal/machine"
)

// making is how machines are made: what "provision" takes, and what it passes on to the host
// that makes them.
type making struct {
	accel             string
	plan, start, json bool
}

func (m *making) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.plan, "plan", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&m.start, "start", false, "start the machine")
	cmd.Flags().StringVar(&m.accel, "accel", "", "how to run its code: kvm or tcg (default what is found to work)")
	cmd.Flags().BoolVar(&m.json, "json", false, "print one JSON object")
	_ = cmd.RegisterFlagCompletionFunc("accel", cobra.FixedCompletions([]string{"kvm", "tcg"}, cobra.ShellCompDirectiveNoFileComp)) // fails for no such flag only
}

// provisionJSON is the object that "provision --json" prints.
type provisionJSON struct {
	Schema  int            `json:"schema"` // 1
	Machine machine.Record `json:"machine"`
	Steps   []machine.Step `json:"steps"`
	Done    bool           `json:"done"` // false with --plan
}

// make carries a request out on this host.
func (m *making) make(cmd *cobra.Command, r machine.Request) error {
	home, cacheDir, err := dirs()
	if err != nil {
		return err
	}
	machines := machine.At(home)
	p, err := machines.Plan(r)
	if err != nil {
		return err
	}
	if !m.plan {
		if err := p.Do(cmd.Context()); err != nil {
			return err
		}
	}
	if m.start && !m.plan {
		if p.Record, err = startMachine(cmd, machines, r.Name, m.accel, cacheDir); err != nil {
			return err
		}
	}
	switch {
	case m.json:
		return printJSON(cmd, provisionJSON{1, p.Record, p.Steps, !m.plan})
	case m.plan:
		return printSteps(cmd.OutOrStdout(), p.Steps)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), machines.Path(r.Name))
	return err
}

// errand has another host carry a request out. Of the definition it takes the text along,
// which says there whether a machine is outdated, and nothing that a build reads: there may
// be secrets among that.
func (m *making) errand(cmd *cobra.Command, def *definition.Definition, r machine.Request) (*errand.Errand, error) {
	e := &errand.Errand{Args: append(worldWords(cmd), "machine", "make"), Bundle: errand.BundleOf(def.Name, r.From)}
	for _, flag := range []string{"plan", "start", "accel", "json"} {
		if f := cmd.Flags().Lookup(flag); f.Changed {
			e.Args = append(e.Args, flagWord(f))
		}
	}
	if err := machine.CheckName(r.Name); err != nil {
		return nil, err
	}
	for i, in := range def.Inputs {
		rel, err := filepath.Rel(def.Dir, in.Path)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, fault.Newf(fault.Failed, "%s is not in the definition's directory", in.Path)
		}
		if err := e.Take(filepath.ToSlash(rel), in.Path); err != nil {
			return nil, err
		}
		if i == 0 {
			r.From = rel
		}
	}
	if err := machine.CheckImage(r.Image); err != nil {
		return nil, err
	}
	image := "image/" + filepath.Base(r.Image) // where no text of a definition lies: those end otherwise
	if err := e.Take(image, r.Image); err != nil {
		return nil, err
	}
	r.Image = image
	var b bytes.Buffer
	if err := r.Encode(&b); err != nil {
		return nil, err
	}
	e.Stdin = b.Bytes()
	return e, nil
}

// newMachineMakeCommand is what "provision --on" has run on the other host.
func newMachineMakeCommand() *cobra.Command {
	var m making
	cmd := &cobra.Command{
		Use:    "make",
		Short:  "Make the machine that is asked for on standard input",
		Hidden: true, // the request's form is this program's own
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := machine.DecodeRequest(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if r.From, err = filepath.Abs(strings.TrimSpace(r.From)); err != nil {
				return err
			}
			return m.make(cmd, r)
		},
	}
	m.add(cmd)
	return cmd
}
