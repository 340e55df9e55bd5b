package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/reason"
	"ingot/internal/spell"
	"ingot/internal/ui"
)

// whyPackageJSON is the object that "why PACKAGE --json" prints.
type whyPackageJSON struct {
	Schema  int                 `json:"schema"` // 1
	Package string              `json:"package"`
	Reasons []packageReasonJSON `json:"reasons"`
}

// packageReasonJSON is why a package is in one set, or why not.
type packageReasonJSON struct {
	Arch    string   `json:"arch"`
	Flavor  string   `json:"flavor,omitempty"`
	Purpose string   `json:"purpose"`
	Version string   `json:"version,omitempty"` // "" of one that is not in the set
	Strong  bool     `json:"strong"`
	Asked   []string `json:"asked,omitempty"`
	Start   string   `json:"start,omitempty"`
	Through []string `json:"through,omitempty"`
	// Group is the group that it is of, with its version, and Use what that is for.
	Group     string     `json:"group,omitempty"`
	Use       string     `json:"use,omitempty"`
	By        []needJSON `json:"by,omitempty"`
	Open      []needJSON `json:"open,omitempty"`
	Size      int64      `json:"size,omitempty"`
	Installed int64      `json:"installed,omitempty"`
}

type needJSON struct {
	Package  string   `json:"package"`
	Kind     string   `json:"kind"`
	Relation string   `json:"relation"`
	Met      []string `json:"met,omitempty"`
}

// explainPackage says of each set of a plan why a package is in it. What packages say of
// each other it reads from them, as far as the store has them, else from the indexes that the lock was
// made from; it fetches nothing.
func explainPackage(ctx context.Context, h *house, p *plan.Plan, name string) (whyPackageJSON, error) {
	out := whyPackageJSON{Schema: 1, Package: name}
	var known []string
	found := false
	var done []string
	for _, c := range p.Chains {
		if slices.Contains(done, c.Set.Name()) {
			continue
		}
		done = append(done, c.Set.Name())
		about, err := h.described(ctx, p.Lock, c.Set)
		if err != nil {
			return out, err
		}
		set := reason.Of(c.Set, func(r distro.Ref) distro.Description { return about[r.SHA256] })
		r := set.Why(name)
		for _, ref := range c.Set.Refs {
			known = append(known, ref.Name)
		}
		found = found || r.In() || len(r.By)+len(r.Asked) > 0
		one := reasonJSON(c.Set, r)
		if g, ok := p.Lock.Group(c.Set, r.Ref); ok {
			one.Group, one.Use = g.String(), g.Use
		}
		out.Reasons = append(out.Reasons, one)
	}
	if !found {
		e := fault.Newf(fault.NotFound, "no package %s is in the lock, and none that is there speaks of it", name)
		if near := spell.Nearest(name, known); near != "" {
			return out, e.WithHint("did you mean %s? A path begins with /", near)
		}
		return out, e.WithHint("a path begins with /")
	}
	return out, nil
}

// described is what the packages of a set say of themselves.
func (h *house) described(ctx context.Context, l *lock.Lock, set lock.Set) (map[digest.Digest]distro.Description, error) {
	about, missing, err := h.supply(l).Stored(ctx, set.Refs)
	if err != nil || len(missing) == 0 {
		return about, err
	}
	listed, err := debian.Listed(ctx, h.indexes(), l.Indexes, missing)
	if err != nil {
		return nil, err
	}
	for sum, p := range listed {
		about[sum] = debian.Debian{}.Describe(p)
	}
	missing = slices.DeleteFunc(missing, func(r distro.Ref) bool { _, ok := listed[r.SHA256]; return ok })
	if len(missing) > 0 {
		return nil, fault.Newf(fault.NotFound, "%d packages of %s are not in the store, %s the first", len(missing), set.Name(), missing[0].Name).
			WithHint("what needs a package is read from the packages, or from the indexes that the lock was made from, as long as the cache has them: 'ingot build' fetches packages")
	}
	return about, nil
}

func reasonJSON(set lock.Set, r reason.Reason) packageReasonJSON {
	needs := func(list []reason.Need) (out []needJSON) {
		for _, n := range list {
			out = append(out, needJSON(n))
		}
		return out
	}
	return packageReasonJSON{
		Arch: set.Arch, Flavor: set.Flavor, Purpose: set.Purpose, Version: r.Ref.Version, Strong: r.Strong, Asked: r.Asked, Start: r.Start,
		Through: r.Through, By: needs(r.By), Open: needs(r.Open), Size: r.Size, Installed: r.Installed,
	}
}

// print writes the reasons for people.
func (w whyPackageJSON) print(to io.Writer) error {
	var b strings.Builder
	for _, r := range w.Reasons {
		of := strings.TrimSpace(r.Purpose + ", " + r.Arch + " " + r.Flavor)
		if r.Version == "" {
			fmt.Fprintf(&b, "%s is not in %s\n", w.Package, of)
		} else {
			fmt.Fprintf(&b, "%s %s in %s: %s packed, %s installed\n", w.Package, r.Version, of, ui.Size(r.Size), ui.Size(r.Installed))
		}
		if len(r.Asked) > 0 {
			fmt.Fprintf(&b, "  asked for: %s\n", strings.Join(r.Asked, ", "))
		}
		if r.Group != "" {
			does := map[string]string{definition.Include: "includes it", definition.Patch: "gives it in this version"}
			fmt.Fprintf(&b, "  group %s %s\n", r.Group, does[r.Use])
		}
		if r.Start != "" {
			fmt.Fprintf(&b, "  of the starting set %s\n", r.Start)
		}
		if len(r.Through) > 0 {
			fmt.Fprintf(&b, "  through %s\n", strings.Join(r.Through, " > "))
		}
		for _, n := range r.By {
			text := fmt.Sprintf("%s %s %s", n.Package, n.Kind, n.Relation)
			if r.Version == "" {
				switch {
				case len(n.Met) > 0:
					text += ", which " + strings.Join(n.Met, " and ") + " meets"
				default:
					text += ", which nothing meets"
				}
			}
			fmt.Fprintf(&b, "  %s\n", text)
		}
		for _, n := range r.Open {
			fmt.Fprintf(&b, "  it %s %s, which was not taken\n", n.Kind, n.Relation)
		}
	}
	_, err := io.WriteString(to, b.String())
	return err
}
