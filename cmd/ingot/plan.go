package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/plan"
	"ingot/internal/ui"
)

// planJSON is the object that "plan --json" prints.
type planJSON struct {
	Schema int         `json:"schema"` // 1
	Lock   string      `json:"lock"`   // its digest
	Chains []chainJSON `json:"chains"`
}

type chainJSON struct {
	Arch     string     `json:"arch"`
	Flavor   string     `json:"flavor,omitempty"`
	Purpose  string     `json:"purpose"`
	Packages int        `json:"packages"`
	Missing  int        `json:"missing"` // packages that the store does not have
	Bytes    int64      `json:"bytes"`   // of them, to fetch
	Steps    []stepJSON `json:"steps"`
}

type stepJSON struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Cached bool   `json:"cached"`
	Shared bool   `json:"shared,omitempty"` // it runs for a chain before
	// Secrets are files that the bytes of an output depend on, beside its lock; enrolled
	// are its containers whose key everybody knows until a machine's first start.
	Secrets  []string `json:"secrets,omitempty"`
	Enrolled []string `json:"enrolled,omitempty"`

	caveat string // both, in words
}

func newPlanCommand() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "plan [FILE][[FLAVOR]]",
		Short: "Show the steps of a build, and which are cached, without running any",
		Long: `plan prints what build would do: each step with its key, the digest of all that
the step reads, and whether its result is known already. It is the plan of the lock
as build would have it, and writes none.`,
		GroupID: groupMake,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			h, err := openHouse(f.sourceFlags, progress)
			if err != nil {
				return err
			}
			def, lockPath, variants, err := f.flavor.load(args)
			if err != nil {
				return err
			}
			f.wish.Variants = variants
			p, changed, err := f.plan(cmd.Context(), h, def, lockPath)
			if err != nil {
				return err
			}
			out := describePlan(p, f.runner(h, p))
			if changed {
				progress.Notef("%s is not written; 'ingot lock' or 'ingot build' does", filepath.Base(lockPath))
			}
			progress.Close()
			if f.json {
				return printJSON(cmd, out)
			}
			return out.print(cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	f.addWish(cmd)
	return cmd
}

func describePlan(p *plan.Plan, r *plan.Runner) planJSON {
	out := planJSON{Schema: 1, Lock: p.Lock.Digest().String()}
	before := map[string]bool{}
	for _, c := range p.Chains {
		j := chainJSON{Arch: c.Arch, Flavor: c.Set.Flavor, Purpose: c.Purpose, Packages: len(c.Set.Refs)}
		for _, ref := range r.Supply.Missing(c.Set.Refs) {
			j.Missing++
			j.Bytes += ref.Size
		}
		steps, outputs := r.Known(p, c)
		for i, s := range c.Steps {
			key := s.Key.String()
			j.Steps = append(j.Steps, stepJSON{Name: s.Name, Key: key, Cached: steps[i], Shared: !steps[i] && before[key]})
			before[key] = true
		}
		for i, o := range c.Outputs {
			j.Steps = append(j.Steps, stepJSON{Name: "output " + o.Name(), Key: o.Key.String(), Cached: outputs[i], Secrets: o.Secrets, Enrolled: o.Enrolled, caveat: o.Caveat()})
		}
		out.Chains = append(out.Chains, j)
	}
	return out
}

func (p planJSON) print(w io.Writer) error {
	for _, c := range p.Chains {
		fetch := "all in the store"
		if c.Missing > 0 {
			fetch = fmt.Sprintf("%d to fetch, %s", c.Missing, ui.Size(c.Bytes))
		}
		if _, err := fmt.Fprintf(w, "%s for %s: %d packages, %s\n", c.Purpose, strings.TrimSpace(c.Arch+" "+c.Flavor), c.Packages, fetch); err != nil {
			return err
		}
		for _, s := range c.Steps {
			state := "run"
			switch {
			case s.Cached:
				state = "cached"
			case s.Shared:
				state = "shared"
			}
			caveat := ""
			if s.caveat != "" {
				caveat = ": " + s.caveat
			}
			if _, err := fmt.Fprintf(w, "  %-6s  %s  %s%s\n", state, s.Key[:12], s.Name, caveat); err != nil {
				return err
			}
		}
	}
	return nil
}
