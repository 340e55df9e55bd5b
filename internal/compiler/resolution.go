package compiler

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/reason"
	"ingot/internal/ui"
)

// resolve fills in the lock's sets and tools.
func (c *Compiler) resolve(ctx context.Context, def *definition.Definition, l *lock.Lock, files []debian.IndexFile, read map[string]*debian.Index, old *lock.Lock, move Move, m *members) error {
	if move.Like != nil {
		old = move.Like
	}
	r := resolution{old: old, move: move, universes: map[string]*debian.Universe{}, members: m, behind: m.outdated, open: func(arch string, groups []*debian.Index) (*debian.Universe, error) {
		return universe(files, read, arch, groups)
	}}
	var tools []string
	for _, v := range def.Variants() {
		for _, arch := range v.Arch {
			sets, err := r.sets(ctx, v, arch)
			if err != nil {
				if v.FlavorName != "" {
					return fmt.Errorf("flavor %s: %w", v.FlavorName, err)
				}
				return err
			}
			l.Sets = append(l.Sets, sets...)
		}
		more, err := plan.ToolPackages(v, c.HostArch)
		if err != nil {
			return err
		}
		tools = append(tools, more...)
	}
	if err := r.judge(c.Progress); err != nil {
		return err
	}
	slices.Sort(tools)
	if tools = slices.Compact(tools); len(tools) == 0 {
		return nil
	}
	u, err := r.universe(ctx, nil, c.HostArch, nil)
	if err != nil {
		return err
	}
	if l.Tools, err = resolve(ctx, u, distro.Request{Arch: c.HostArch, Packages: tools}); err != nil {
		return fmt.Errorf("tools tree: %w", err)
	}
	return nil
}

// A resolution chooses the packages of one lock.
type resolution struct {
	old       *lock.Lock
	move      Move
	open      func(arch string, groups []*debian.Index) (*debian.Universe, error)
	universes map[string]*debian.Universe
	members   *members
	done      []chosen
	// behind are packages that are older than the newest that the indexes offer, and unlike those that
	// are in another version than in the lock to be like.
	behind, unlike []string
	// stays are packages that a group is subtracted for, and that are there all the same, with
	// who needs them.
	stays []string
}

// judge refuses older packages than there are, if that is wished, and tells which could not be as
// in the lock to be like.
func (r *resolution) judge(progress *ui.Progress) error {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	if list := sorted(r.behind); r.move.Latest && len(list) > 0 {
		return fault.Newf(fault.Choice, "not the newest there are: %s", some(list)).
			WithHint("'ingot lock --update' moves packages; a version that 'packages' asks for, or that another package needs, holds them back")
	}
	if list := sorted(r.unlike); len(list) > 0 {
		progress.Warnf("in another version than in the lock to be like: %s", some(list))
	}
	if list := sorted(r.stays); len(list) > 0 {
		progress.Warnf("subtracted, but there because something else needs it: %s", some(list))
	}
	return nil
}

// some is a list that a message has room for.
func some(list []string) string {
	const most = 20
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

// A chosen set is the answer to one request. Flavors often ask for the same.
type chosen struct {
	request distro.Request
	old     []distro.Ref
	exact   string // what groups decide
	refs    []distro.Ref
}

// universe is what there is to choose from for an architecture, with what groups decide.
func (r *resolution) universe(ctx context.Context, def *definition.Definition, arch string, of *choice) (*debian.Universe, error) {
	key := arch + " " + of.key()
	if u := r.universes[key]; u != nil {
		return u, nil
	}
	var groups []*debian.Index
	if of != nil {
		var err error
		if groups, err = r.members.indexes(ctx, def, of, arch); err != nil {
			return nil, err
		}
	}
	u, err := r.open(arch, groups)
	if err == nil {
		r.universes[key] = u
	}
	return u, err
}

// sets chooses the packages of a variant.
func (r *resolution) sets(ctx context.Context, def *definition.Definition, arch string) ([]lock.Set, error) {
	var out []lock.Set
	// Own is what is asked for, without what only holds versions.
	add := func(purpose string, req distro.Request, own []string) error {
		set := lock.Set{Arch: arch, Purpose: purpose, Flavor: def.FlavorLabel(), Start: req.Start}
		var of *choice
		var err error
		if purpose != lock.Bootstrap {
			if of, err = r.members.choose(def, arch, purpose, own); err != nil {
				return groupError{err}
			}
		}
		set.Asked = req.Packages
		if of != nil {
			set.Asked = slices.Concat(req.Packages, of.strong)
			req.Packages = slices.Concat(req.Packages, of.ask)
		}
		set.Asked = slices.Compact(slices.Sorted(slices.Values(set.Asked)))
		set.Refs, err = r.choose(ctx, def, req, oldSet(r.old, set), of)
		if err == nil && of != nil {
			err = r.attribute(ctx, def, &set, req, of)
		}
		out = append(out, set)
		return err
	}
	if def.Elements != nil && def.Elements.Root {
		if err := add(lock.Bootstrap, distro.Request{Arch: arch, Start: "minbase"}, nil); err != nil {
			return nil, err
		}
	}
	for _, purpose := range plan.Purposes(def) {
		req := distro.Request{Arch: arch, Start: def.Start, Packages: append(slices.Clone(def.Packages), plan.Implied(def)...), Remove: def.Remove, Recommends: def.Recommends}
		more, err := plan.PurposePackages(def, arch, purpose)
		if err != nil {
			return nil, fault.Wrap(fault.Definition, err)
		}
		req.Packages = append(req.Packages, more...)
		e := def.Elements
		if e == nil || e.Root {
			if err := add(purpose, req, req.Packages); err != nil {
				return nil, err
			}
			continue
		}
		// What elements' lists name comes on top of the rest, and changes nothing of it.
		if err := add(lock.Base(purpose), req, req.Packages); err != nil {
			return nil, err
		}
		base, strong := out[len(out)-1].Refs, out[len(out)-1].Asked
		req.Packages = slices.Concat(req.Packages, e.Listed, e.Packages)
		own := req.Packages
		asked := slices.Compact(slices.Sorted(slices.Values(req.Packages)))
		req.Packages = slices.Clone(own)
		for _, ref := range base {
			req.Packages = append(req.Packages, ref.Name+"="+ref.Version)
		}
		if err := add(purpose, req, own); err != nil {
			return nil, fmt.Errorf("packages of elements: %w", err)
		}
		out[len(out)-1].Asked = slices.Compact(slices.Sorted(slices.Values(slices.Concat(asked, strong)))) // the rest follows from the base
	}
	return out, nil
}

// attribute notes which of a set's packages are of which group, and those that are there although a group is
// subtracted that has them. What the starting set brings is no news.
func (r *resolution) attribute(ctx context.Context, def *definition.Definition, set *lock.Set, req distro.Request, of *choice) error {
	var stay []distro.Ref
	for _, ref := range set.Refs {
		if p, ok := of.exact[ref.Name]; ok && p.ref == ref {
			set.SetGroup(ref, p.label)
		}
		if of.gone[ref.Name] != "" {
			stay = append(stay, ref)
		}
	}
	if len(stay) == 0 {
		return nil
	}
	u, err := r.universe(ctx, def, req.Arch, of)
	if err != nil {
		return err
	}
	start, err := resolve(ctx, u, distro.Request{Arch: req.Arch, Start: req.Start})
	if err != nil {
		return err
	}
	stay = slices.DeleteFunc(stay, func(ref distro.Ref) bool { return slices.Contains(start, ref) })
	if len(stay) == 0 {
		return nil
	}
	why := reason.Of(*set, func(ref distro.Ref) distro.Description { return debian.Debian{}.Describe(u.Package(ref)) })
	for _, ref := range stay {
		text := ref.Name
		for _, n := range why.Why(ref.Name).By {
			if n.Kind != distro.Suggests {
				text += fmt.Sprintf(" (%s %s it)", n.Package, n.Kind)
				break
			}
		}
		r.stays = append(r.stays, text)
	}
	return nil
}

// choose answers one request.
func (r *resolution) choose(ctx context.Context, def *definition.Definition, req distro.Request, old []distro.Ref, of *choice) ([]distro.Ref, error) {
	for _, c := range r.done {
		if reflect.DeepEqual(c.request, req) && slices.Equal(c.old, old) && c.exact == of.key() {
			return c.refs, nil
		}
	}
	u, err := r.universe(ctx, def, req.Arch, of)
	if err != nil {
		return nil, err
	}
	refs, err := resolve(ctx, u, req)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if slices.Contains(req.Remove, ref.Name) {
			return nil, fault.Newf(fault.NotFound, "package %s cannot be removed: the starting set %q needs it", ref.Name, req.Start).
				WithHint("%s", remedy(ctx, u, req, ref.Name))
		}
	}
	refs = hold(ctx, u, req, refs, old, r.move)
	for _, ref := range refs {
		if v := u.Newest(ref.Name); v != "" && v != ref.Version {
			r.behind = append(r.behind, fmt.Sprintf("%s %s (%s)", ref.Name, ref.Version, v))
		}
		if r.move.Like != nil && slices.ContainsFunc(old, func(o distro.Ref) bool { return o.Name == ref.Name && o.Version != ref.Version && o.Arch == ref.Arch }) {
			r.unlike = append(r.unlike, ref.Name+" "+ref.Version)
		}
	}
	r.done = append(r.done, chosen{req, old, of.key(), refs})
	return refs, nil
}

// remedy says what to do for an image without a package that its starting set needs: the
// least set is one only where it can do without.
func remedy(ctx context.Context, u *debian.Universe, req distro.Request, name string) string {
	const out = "take it out of 'remove'"
	req.Start = "essential"
	refs, err := resolve(ctx, u, req)
	if err != nil || slices.ContainsFunc(refs, func(r distro.Ref) bool { return r.Name == name }) {
		return out
	}
	return out + ", or start from 'essential'"
}

// resolve chooses packages, unless nobody wants them any more.
func resolve(ctx context.Context, u *debian.Universe, req distro.Request) ([]distro.Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.Resolve(req)
}

// oldSet is what an old lock has in a set's place: the same set, else, of a flavor that is
// new, the first of its architecture and purpose.
func oldSet(old *lock.Lock, set lock.Set) []distro.Ref {
	if old == nil {
		return nil
	}
	if s, ok := old.Set(set.Arch, set.Purpose, set.Flavor); ok {
		return s.Refs
	}
	for _, s := range old.Sets {
		if s.Arch == set.Arch && s.Purpose == set.Purpose {
			return s.Refs
		}
	}
	return nil
}

// hold keeps the old lock's versions of packages that are chosen again and that
// may not move, as far as the archives still offer them, the request says nothing
// of their versions, and they fit together.
func hold(ctx context.Context, u *debian.Universe, req distro.Request, fresh, old []distro.Ref, move Move) []distro.Ref {
	if move.All {
		return fresh
	}
	versions := map[string]string{}
	for _, r := range old {
		versions[r.Name] = r.Version
	}
	for _, token := range req.Packages {
		if i := strings.IndexAny(token, "=/"); i >= 0 {
			delete(versions, token[:i])
		}
	}
	var held []string
	for _, r := range fresh {
		v, ok := versions[r.Name]
		if !ok || v == r.Version || slices.Contains(move.Packages, r.Name) || !u.Has(r.Name, v) {
			continue
		}
		held = append(held, r.Name+"="+v)
	}
	// Where all of them do not fit, each half of them may.
	var try func(held []string)
	try = func(held []string) {
		if len(held) == 0 || ctx.Err() != nil {
			return
		}
		more := req
		more.Packages = append(slices.Clone(req.Packages), held...)
		if refs, err := resolve(ctx, u, more); err == nil {
			req, fresh = more, refs
			return
		}
		if half := len(held) / 2; half > 0 {
			try(held[:half])
			try(held[half:])
		}
	}
	try(held)
	return fresh
}
