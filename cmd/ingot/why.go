package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/plan"
	"ingot/internal/tree"
)

// whyJSON is the object that "why --json" prints.
type whyJSON struct {
	Schema  int        `json:"schema"` // 1
	Path    string     `json:"path"`
	Reasons []whyEntry `json:"reasons"`
}

type whyEntry struct {
	Arch    string `json:"arch"`
	Flavor  string `json:"flavor,omitempty"`
	Purpose string `json:"purpose"`
	Kind    string `json:"kind"`
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Step    string `json:"step,omitempty"`
	Changed string `json:"changed,omitempty"` // the step that changed what the package brought
}

func newWhyCommand() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "why PATH|PACKAGE [FILE][[FLAVOR]]",
		Short: "Say why a path or a package is in an image",
		Long: `why says who put a path into the image of a definition: a package with its
version, or a step of the build. The image must have been built before.

Of a package, which is a name without a slash, it says who asked for it, or what of
the starting set or of what was asked for leads to it; who needs it; what it would
take itself that is not there; and how large it is. Of one that is not there it says
who speaks of it, and what was taken in its place.`,
		Example: `  ingot why /usr/bin/curl
  ingot why libssl3
  ingot why open-vm-tools 'web[vmware]'`,
		GroupID: groupLook,
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.locked = true // this verb changes nothing
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			h, err := openHouse(f.sourceFlags, progress)
			if err != nil {
				return err
			}
			def, lockPath, variants, err := f.flavor.load(args[1:])
			if err != nil {
				return err
			}
			f.wish.Variants = variants
			p, _, err := f.plan(cmd.Context(), h, def, lockPath)
			if err != nil {
				return err
			}
			if !strings.Contains(args[0], "/") {
				out, err := explainPackage(cmd.Context(), h, p, args[0])
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(cmd, out)
				}
				return out.print(cmd.OutOrStdout())
			}
			out, err := explain(p, f.runner(h, p), args[0])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd, out)
			}
			for _, r := range out.Reasons {
				of := strings.TrimSpace(r.Arch + " " + r.Flavor)
				text := fmt.Sprintf("%s (%s, %s): package %s %s", out.Path, r.Purpose, of, r.Package, r.Version)
				if r.Package == "" {
					text = fmt.Sprintf("%s (%s, %s): step %s", out.Path, r.Purpose, of, r.Step)
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd)
	f.addWish(cmd)
	return cmd
}

func explain(p *plan.Plan, r *plan.Runner, name string) (whyJSON, error) {
	rel := strings.TrimPrefix(path.Clean("/"+name), "/")
	out := whyJSON{Schema: 1, Path: "/" + rel}
	built := 0
	for _, c := range p.Chains {
		t, ok := r.Tree(c)
		if !ok {
			continue
		}
		built++
		e, ok := t.Lookup(follow(t, rel))
		if !ok {
			continue
		}
		w := whyEntry{Arch: c.Arch, Flavor: c.Set.Flavor, Purpose: c.Purpose, Kind: e.Kind.String()}
		if pkg, ok := strings.CutPrefix(e.Owner, "deb:"); ok {
			w.Package = pkg
			for _, ref := range c.Set.Refs {
				if ref.Name == pkg {
					w.Version = ref.Version
				}
			}
		} else {
			w.Step = strings.TrimPrefix(e.Owner, "step:")
		}
		out.Reasons = append(out.Reasons, w)
	}
	if built == 0 {
		return out, fault.Newf(fault.NotFound, "no image of this lock was built here").WithHint("run 'ingot build' first")
	}
	if len(out.Reasons) == 0 {
		return out, fault.Newf(fault.NotFound, "the image has no path %s", out.Path)
	}
	return out, nil
}

// follow gives the path that a tree has for one whose parents may be symbolic
// links, such as /bin/sh.
func follow(t tree.Tree, p string) string {
	parts := strings.Split(p, "/")
	at, links := "", 0
	for i := 0; i < len(parts); i++ {
		next := strings.TrimPrefix(path.Join("/", at, parts[i]), "/")
		e, ok := t.Lookup(next)
		if ok && e.Kind == tree.Symlink && i < len(parts)-1 && links < 40 {
			links++
			target := e.Link
			if !strings.HasPrefix(target, "/") {
				target = "/" + at + "/" + target
			}
			parts = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), parts[i+1:]...)
			at, i = "", -1
			continue
		}
		at = next
	}
	return at
}
