package debian

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"ingot/internal/distro"
)

// onTop installs packages on a tree that has some. All that it may refuse, it refuses
// before it changes anything.
func (i *installer) onTop(ctx context.Context, pkgs []*deb) error {
	s, err := i.readStanding(ctx)
	if err != nil {
		return err
	}
	hasApt := slices.ContainsFunc(slices.Concat(s.installed, pkgs), func(p *deb) bool { return p.Ref.Name == "apt" })
	fresh, err := s.fresh(pkgs, i.in.Arch)
	if err != nil {
		return err
	}
	if err := s.relations(fresh, i.in.Arch); err != nil {
		return err
	}
	if err := i.fill(ctx, fresh); err != nil {
		return err
	}
	if err := i.room(ctx, s, fresh); err != nil {
		return err
	}
	i.triggers, i.diversions = s.triggers, s.diversions
	for _, p := range s.installed {
		i.configured[p.base()] = true
	}
	if len(fresh) > 0 {
		if err := i.addOnTop(ctx, fresh); err != nil {
			return err
		}
	}
	if !hasApt {
		return nil
	}
	old, err := i.read(ctx, extendedStatesPath)
	if err != nil {
		return err
	}
	states := mergeStates(old, fresh, i.in.Asked, i.in.Arch)
	if bytes.Equal(old, states) {
		return nil
	}
	return i.write(ctx, map[string]record{extendedStatesPath: {0o644, states}})
}

// addOnTop installs what may be installed. Whatever comes of it, no stand-in stays.
func (i *installer) addOnTop(ctx context.Context, fresh []*deb) (err error) {
	if err := i.holdStanding(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.restore(ctx))
		}
	}()
	if err := i.early(ctx); err != nil {
		return err
	}
	for _, phase := range phases(fresh, false) {
		if err := i.phase(ctx, phase, false); err != nil {
			return err
		}
	}
	if err := i.makeInitramfs(ctx); err != nil {
		return err
	}
	return i.restore(ctx)
}

// fill gives packages their files.
func (i *installer) fill(ctx context.Context, pkgs []*deb) error {
	refs := make([]distro.Ref, len(pkgs))
	for n, p := range pkgs {
		refs[n] = p.Ref
	}
	us, err := i.in.Unpacked(ctx, refs)
	if err != nil {
		return err
	}
	for n, p := range pkgs {
		p.unpacked(us[n])
	}
	return nil
}
